//! The user this program runs as, and what that user may write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::install::facts::UserFacts;

/// Looks at the user and tries the folders: created when absent, a file written, all of it removed again.
#[must_use]
pub fn look(folders: &[String]) -> UserFacts {
    let uid = rustix::process::geteuid().as_raw();
    let name = std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| uid.to_string());
    let folders: BTreeMap<_, _> = folders.iter().map(|folder| (folder.clone(), try_folder(Path::new(folder)).err())).collect();
    UserFacts { uid, name, folders }
}

fn try_folder(folder: &Path) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{} cannot be written: {error}", folder.display());
    let created: Vec<PathBuf> = folder.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
    let made = std::fs::create_dir_all(folder);
    // The file has a name of its own and is gone when this returns, whatever happens.
    let written = made.and_then(|()| tempfile::Builder::new().prefix(".mosip-setup-").tempfile_in(folder).map(drop));
    for path in created {
        // Only ever an empty folder: one that somebody began to use meanwhile stays.
        let _ = std::fs::remove_dir(path);
    }
    written.map_err(fail)
}

/// The name of the user this program runs as; its number where the system has no name for it.
#[must_use]
pub fn name() -> String {
    name_of(rustix::process::getuid().as_raw())
}

/// The name of a user; the number where the system has no name for it.
#[must_use]
pub fn name_of(uid: u32) -> String {
    let uid = uid.to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entry = passwd.lines().find(|line| line.split(':').nth(2) == Some(uid.as_str()));
    entry.and_then(|line| line.split(':').next()).map_or(uid.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_tried_and_left_as_they_were() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        std::fs::write(root.path().join("file"), "").unwrap();
        let blocked = root.path().join("file/below");
        let paths = [deep.display().to_string(), blocked.display().to_string(), root.path().display().to_string()];
        let facts = look(&paths);
        assert_eq!(facts.folders[&paths[0]], None);
        assert!(facts.folders[&paths[1]].as_ref().unwrap().contains("cannot be written"));
        assert_eq!(facts.folders[&paths[2]], None);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
