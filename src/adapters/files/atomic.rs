//! Whole files: written beside their place, flushed to disk, then moved over the old one. A reader sees the old file or the new, never a half.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How the names of files begin that are being written.
const UNFINISHED: &str = ".mosip-setup.";

/// Why a file could not be written. What was there before is unchanged.
#[derive(Debug, thiserror::Error)]
#[error("{path} could not be written: {source}. {advice}")]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
    /// What to do.
    pub advice: &'static str,
}

impl WriteError {
    /// Wraps a system error.
    #[must_use]
    pub fn new(path: &Path, source: io::Error) -> Self {
        let advice = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "The disk is full: make room and try again; what was there before is unchanged"
            }
            io::ErrorKind::PermissionDenied => {
                "The folder does not belong to you: check who owns it (a run with sudo leaves root's files behind)"
            }
            io::ErrorKind::ReadOnlyFilesystem => "The file system is read-only",
            _ => "What was there before is unchanged",
        };
        Self { path: path.to_owned(), source, advice }
    }
}

/// Replaces a file as a whole. Parents are made where absent. A symbolic link is followed, so that what it points to is replaced.
///
/// # Errors
/// The file could not be written; the old one is unchanged.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    replace(&place, bytes, mode).map_err(|source| WriteError::new(path, source))
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut temporary = tempfile::Builder::new().prefix(UNFINISHED).permissions(fs::Permissions::from_mode(0o600)).tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    // The move itself is on disk only once the folder is.
    fs::File::open(folder)?.sync_all()
}

/// Removes what a writer that was killed has left in a folder. Nobody else may write there meanwhile.
pub fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let unfinished = entry.file_name().to_str().and_then(|name| name.strip_prefix(UNFINISHED)).is_some_and(|rest| rest.len() == 6);
        if unfinished && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            // What cannot be removed is in nobody's way.
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Makes a file that must not exist yet.
///
/// # Errors
/// It exists, or could not be written; nothing is left behind then.
pub fn create_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    let attempt = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if written.is_err() {
            drop(fs::remove_file(path));
        }
        written
    };
    attempt().map_err(|source| WriteError::new(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_writer_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".mosip-setup.aB3xYz", ".mosip-setup.toml", "hosts.ini", ".mosip-setup.before1"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        sweep(folder.path());
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".mosip-setup.before1", ".mosip-setup.toml", "hosts.ini"]);
        sweep(&folder.path().join("missing"));
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn replaces_with_the_mode_asked_and_leaves_nothing_behind() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a/b.txt");
        write(&path, b"one", 0o644).unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (b"one".as_slice(), 0o644));
        write(&path, b"two", 0o600).unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (b"two".as_slice(), 0o600));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let scratch = tempfile::tempdir().unwrap();
        let (real, link) = (scratch.path().join("real"), scratch.path().join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, b"new", 0o600).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
    }

    #[test]
    fn a_folder_in_the_place_of_the_file_is_an_error_that_names_it() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("taken");
        fs::create_dir_all(path.join("inside")).unwrap();
        let error = write(&path, b"x", 0o600).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_file_never_replaces_one() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("token");
        create_new(&path, b"first", 0o600).unwrap();
        assert!(create_new(&path, b"second", 0o600).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }

    #[test]
    fn a_full_disk_is_named() {
        let error = WriteError::new(Path::new("site/all.yml"), io::Error::from(io::ErrorKind::StorageFull)).to_string();
        assert!(error.contains("site/all.yml") && error.contains("disk is full"), "{error}");
    }
}
