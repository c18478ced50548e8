//! What kind of file system a folder lies on: locks and sockets hold on one machine only.

use std::io;
use std::path::Path;

/// The kinds that several machines may share, by the number that statfs(2) gives.
const SHARED: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0xff53_4d42, "a Windows share (CIFS)"),
    (0xfe53_4d42, "a Windows share (SMB2)"),
    (0x517b, "a Windows share (SMB)"),
    (0x5346_414f, "AFS"),
    (0x00c3_6400, "CephFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x0102_1997, "a 9P share"),
];

fn kind(number: u32) -> Option<&'static str> {
    SHARED.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// The kind of file system below a folder, where it is one that several machines may share; none: it is not.
///
/// # Errors
/// The folder does not exist or cannot be looked at.
pub fn shared(folder: &Path) -> io::Result<Option<&'static str>> {
    let found = rustix::fs::statfs(folder)?;
    // The kernel's numbers have 32 bits; the type is wider on some machines, and signed.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number is 32 bits in every width")]
    let number = found.f_type as u32;
    Ok(kind(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_number() {
        assert_eq!(kind(0x6969), Some("NFS"));
        // ext4, XFS, btrfs, tmpfs, overlay, ZFS.
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1] {
            assert_eq!(kind(local), None, "{local:x}");
        }
        assert_eq!(shared(Path::new("/proc")).unwrap(), None);
        assert!(shared(Path::new("/nowhere/at/all")).is_err());
    }
}
