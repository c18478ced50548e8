//! Unix sockets in folders whose names may be longer than a socket's address (108 bytes): the folder is opened, and the socket reached
//! through that.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// The folder, held open, and a short name for the socket in it.
fn short(path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(io::Error::other("a socket needs a folder")) };
    let folder = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((folder, short))
}

/// Listens on a socket for its owner alone (0600). A socket left by a process that has ended is replaced; so the caller must know that
/// nobody else listens there.
///
/// # Errors
/// The folder is missing or not ours, or something else has that name.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let (_folder, short) = short(path)?;
    if fs::symlink_metadata(&short).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(&short)?;
    }
    let listener = UnixListener::bind(&short)?;
    fs::set_permissions(&short, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to a socket without waiting: a listener that takes nothing in is an error. The stream itself blocks.
///
/// # Errors
/// There is no such socket, nobody listens there, or too many wait there already.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let (_folder, short) = short(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(&short)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_socket_works_at_the_end_of_a_long_path_and_is_private() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("a".repeat(120)).join("b".repeat(120));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("engine.sock");
        assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut near = connect(&path).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(b"hello").unwrap();
        drop(near);
        let mut said = String::new();
        far.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello");
    }

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_and_a_file_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("engine.sock");
        drop(listen(&path).unwrap());
        assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let _listener = listen(&path).unwrap();
        connect(&path).unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "kept").unwrap();
        assert!(listen(&file).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }
}
