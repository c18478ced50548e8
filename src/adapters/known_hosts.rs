//! The site's own known hosts: read, asked and extended by this program, and given to `ssh` and Ansible.
//!
//! The reader is our own, because the one in libssh2 overlooks `@revoked` and `@cert-authority` lines, and drops a whole file for one bad line.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use sha2::{Digest as _, Sha256};

use crate::install::facts::HostKey;

/// A known_hosts file larger than this is refused, bytes.
const SIZE_LIMIT: u64 = 4 * 1024 * 1024;

/// Why known hosts could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the known hosts {}: {reason}", path.display())]
pub struct KnownHostsError {
    /// `read` or `write`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The system's reason.
    pub reason: String,
}

/// What a line stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Key,
    Revoked,
    Authority,
}

#[derive(Debug, Clone)]
struct Entry {
    mark: Mark,
    hosts: String,
    kind: String,
    base64: String,
}

/// A file of known hosts.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
    /// Lines that could not be understood: number and reason.
    pub problems: Vec<(usize, String)>,
}

/// What the file says about a key that a host presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Recorded, exactly this key.
    Known,
    /// Nothing is recorded for this host. `authority`: a certificate authority is, which this program cannot use.
    Unknown {
        /// Whether a `@cert-authority` line covers the host.
        authority: bool,
    },
    /// Another key is recorded; fingerprints.
    Changed(Vec<String>),
    /// This key is marked as revoked.
    Revoked,
}

impl KnownHosts {
    /// Reads a file; one that does not exist is empty.
    ///
    /// # Errors
    /// When it exists and cannot be read, or is larger than 4 MiB.
    pub fn read(path: &Path) -> Result<Self, KnownHostsError> {
        let fail = |reason: String| KnownHostsError { action: "read", path: path.to_owned(), reason };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(fail(error.to_string())),
            Ok(data) if data.len() > SIZE_LIMIT => return Err(fail(format!("it has {} bytes; 4 MiB is the limit", data.len()))),
            Ok(_) => {}
        }
        let bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
        Ok(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    /// Reads a text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut known = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match Entry::parse(line) {
                Ok(entry) => known.entries.push(entry),
                Err(reason) => known.problems.push((number + 1, reason)),
            }
        }
        known
    }

    /// Judges a key that a host presents.
    #[must_use]
    pub fn judge(&self, host: &str, port: u16, key: &HostKey) -> Trust {
        let name = host_name(host, port);
        let of = |mark: Mark| self.entries.iter().filter(move |entry| entry.mark == mark);
        if of(Mark::Revoked).any(|entry| entry.base64 == key.base64 && entry.covers(&name)) {
            return Trust::Revoked;
        }
        let recorded: Vec<&Entry> = of(Mark::Key).filter(|entry| entry.covers(&name)).collect();
        if recorded.iter().any(|entry| entry.base64 == key.base64) {
            return Trust::Known;
        }
        if recorded.is_empty() {
            return Trust::Unknown { authority: of(Mark::Authority).any(|entry| entry.covers(&name)) };
        }
        Trust::Changed(recorded.iter().map(|entry| format!("{} ({})", fingerprint(&entry.base64), entry.kind)).collect())
    }

    /// The key types recorded for a host, so that the server is asked for a key that can be compared.
    #[must_use]
    pub fn key_types(&self, host: &str, port: u16) -> Vec<&str> {
        let name = host_name(host, port);
        let covering = self.entries.iter().filter(|entry| entry.mark == Mark::Key && entry.covers(&name));
        covering.map(|entry| entry.kind.as_str()).collect()
    }
}

impl Entry {
    fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let mut first = words.next().unwrap_or_default();
        let mark = match first {
            "@revoked" => Mark::Revoked,
            "@cert-authority" => Mark::Authority,
            marker if marker.starts_with('@') => return Err(format!("the marker {marker} is not known")),
            _ => Mark::Key,
        };
        if mark != Mark::Key {
            first = words.next().unwrap_or_default();
        }
        let (Some(kind), Some(base64)) = (words.next(), words.next()) else {
            return Err("expected: host, key type, key".to_owned());
        };
        let blob = STANDARD.decode(base64).map_err(|_| "the key is not base64".to_owned())?;
        match key_type(&blob) {
            Some(inside) if inside == kind => {}
            Some(inside) => return Err(format!("the line says {kind}, the key is {inside}")),
            None => return Err("the key is cut off".to_owned()),
        }
        Ok(Self { mark, hosts: first.to_owned(), kind: kind.to_owned(), base64: base64.to_owned() })
    }

    fn covers(&self, name: &str) -> bool {
        if let Some(hashed) = self.hosts.strip_prefix("|1|") {
            return hashed.split_once('|').is_some_and(|(salt, hash)| hashed_name(salt, name).is_some_and(|own| own == hash));
        }
        let mut covered = false;
        for pattern in self.hosts.split(',') {
            match pattern.strip_prefix('!') {
                Some(refused) if matches(refused, name) => return false,
                Some(_) => {}
                None => covered |= matches(pattern, name),
            }
        }
        covered
    }
}

/// A host as known hosts write it: the port only where it is not 22.
#[must_use]
pub fn host_name(host: &str, port: u16) -> String {
    if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") }
}

/// A host key from the bytes a server presents; none where they are no key.
#[must_use]
pub fn host_key(blob: &[u8]) -> Option<HostKey> {
    let base64 = STANDARD.encode(blob);
    Some(HostKey { kind: key_type(blob)?, fingerprint: fingerprint(&base64), base64 })
}

/// `SHA256:…` of a base64 key, as OpenSSH shows it.
#[must_use]
pub fn fingerprint(base64: &str) -> String {
    let blob = STANDARD.decode(base64).unwrap_or_default();
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob)))
}

/// The type named inside a key: a length and a text.
fn key_type(blob: &[u8]) -> Option<String> {
    let length = usize::try_from(u32::from_be_bytes(blob.get(..4)?.try_into().ok()?)).ok()?;
    let name = std::str::from_utf8(blob.get(4..length.checked_add(4)?)?).ok()?;
    (blob.len() > length + 4 && !name.is_empty()).then(|| name.to_owned())
}

fn hashed_name(salt: &str, name: &str) -> Option<String> {
    let key = PKey::hmac(&STANDARD.decode(salt).ok()?).ok()?;
    let mut signer = Signer::new(MessageDigest::sha1(), &key).ok()?;
    signer.update(name.as_bytes()).ok()?;
    Some(STANDARD.encode(signer.sign_to_vec().ok()?))
}

/// OpenSSH's patterns: `*` any characters, `?` one, case ignored.
fn matches(pattern: &str, name: &str) -> bool {
    fn step(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.first(), name.first()) {
            (None, None) => true,
            (Some(b'*'), _) => step(&pattern[1..], name) || (!name.is_empty() && step(pattern, &name[1..])),
            (Some(b'?'), Some(_)) => step(&pattern[1..], &name[1..]),
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other) && step(&pattern[1..], &name[1..]),
            _ => false,
        }
    }
    // More stars than this are no host pattern, and would take long.
    pattern.bytes().filter(|byte| *byte == b'*').count() <= 4 && step(pattern.as_bytes(), name.as_bytes())
}

/// Records keys: what is there already stays, the file is replaced in one piece with mode 0600.
///
/// # Errors
/// When the file cannot be read or written.
pub fn accept(path: &Path, keys: &[(String, u16, HostKey)]) -> Result<(), KnownHostsError> {
    rewrite(path, |text| {
        let known = KnownHosts::parse(text);
        let mut added = text.to_owned();
        if !added.is_empty() && !added.ends_with('\n') {
            added.push('\n');
        }
        for (host, port, key) in keys {
            let line = format!("{} {} {}\n", host_name(host, *port), key.kind, key.base64);
            if known.judge(host, *port, key) != Trust::Known && !added.contains(&line) {
                added.push_str(&line);
            }
        }
        added
    })
}

/// Removes the plain lines of a host, after the operator has found out why its key changed. Revoked and authority lines stay.
///
/// # Errors
/// When the file cannot be read or written.
pub fn forget(path: &Path, host: &str, port: u16) -> Result<(), KnownHostsError> {
    let name = host_name(host, port);
    let stays = |line: &str| !Entry::parse(line.trim()).is_ok_and(|entry| entry.mark == Mark::Key && entry.covers(&name));
    rewrite(path, |text| text.lines().filter(|line| stays(line)).map(|line| format!("{line}\n")).collect())
}

fn rewrite(path: &Path, change: impl FnOnce(&str) -> String) -> Result<(), KnownHostsError> {
    let fail = |action: &'static str, error: std::io::Error| KnownHostsError { action, path: path.to_owned(), reason: error.to_string() };
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(fail("read", error)),
    };
    let changed = change(&text);
    if changed == text && path.exists() {
        return Ok(());
    }
    let write = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(changed.as_bytes())?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error| fail("write", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, filling: u8) -> HostKey {
        let mut blob = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
        blob.extend_from_slice(kind.as_bytes());
        blob.extend_from_slice(&[filling; 36]);
        host_key(&blob).unwrap()
    }

    #[test]
    fn keys_are_recorded_once_and_judged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site/known_hosts");
        let (one, two) = (key("ssh-ed25519", 1), key("ssh-ed25519", 2));
        let entries = [("10.0.0.1".to_owned(), 22, one.clone()), ("10.0.0.2".to_owned(), 2222, one.clone())];
        accept(&path, &entries).unwrap();
        accept(&path, &entries).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("[10.0.0.2]:2222 ssh-ed25519 AAAA"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let known = KnownHosts::read(&path).unwrap();
        assert_eq!(known.judge("10.0.0.1", 22, &one), Trust::Known);
        assert_eq!(known.judge("10.0.0.1", 2222, &one), Trust::Unknown { authority: false });
        assert!(matches!(known.judge("10.0.0.2", 2222, &two), Trust::Changed(prints) if prints[0].starts_with("SHA256:")));
        assert_eq!(known.key_types("10.0.0.1", 22), ["ssh-ed25519"]);
        forget(&path, "10.0.0.2", 2222).unwrap();
        assert_eq!(KnownHosts::read(&path).unwrap().judge("10.0.0.2", 2222, &two), Trust::Unknown { authority: false });
        assert_eq!(KnownHosts::read(&path).unwrap().judge("10.0.0.1", 22, &one), Trust::Known);
    }

    #[test]
    fn marks_patterns_and_bad_lines_are_not_overlooked() {
        let (one, two) = (key("ssh-ed25519", 1), key("ssh-ed25519", 2));
        let text = format!(
            "# comment\n@revoked * ssh-ed25519 {0}\n@cert-authority *.example.org ssh-ed25519 {1}\n10.1.*,!10.1.0.9 ssh-ed25519 {1} who@where\n\
             garbage\nhost ssh-rsa {1}\nhost ssh-ed25519 !!!\n",
            one.base64, two.base64
        );
        let known = KnownHosts::parse(&text);
        assert_eq!(known.problems.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [5, 6, 7]);
        assert_eq!(known.judge("10.1.0.1", 22, &one), Trust::Revoked);
        assert_eq!(known.judge("10.1.0.1", 22, &two), Trust::Known);
        assert_eq!(known.judge("10.1.0.9", 22, &two), Trust::Unknown { authority: false });
        assert_eq!(known.judge("vm1.example.org", 22, &two), Trust::Unknown { authority: true });
    }

    #[test]
    fn what_ssh_keygen_hashes_is_found() {
        if which::which("ssh-keygen").is_err() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        let mine = folder.path().join("key");
        let made = std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&mine).status().unwrap();
        assert!(made.success());
        let public = std::fs::read_to_string(mine.with_extension("pub")).unwrap();
        let base64 = public.split_whitespace().nth(1).unwrap();
        let key = host_key(&STANDARD.decode(base64).unwrap()).unwrap();
        accept(&path, &[("10.0.0.7".into(), 22, key.clone()), ("10.0.0.7".into(), 2222, key.clone())]).unwrap();
        assert!(std::process::Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&path).output().unwrap().status.success());
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("|1|"));
        let known = KnownHosts::read(&path).unwrap();
        assert_eq!(known.judge("10.0.0.7", 22, &key), Trust::Known);
        assert_eq!(known.judge("10.0.0.7", 2222, &key), Trust::Known);
        assert_eq!(known.judge("10.0.0.8", 22, &key), Trust::Unknown { authority: false });
        let shown = std::process::Command::new("ssh-keygen").args(["-l", "-f"]).arg(mine.with_extension("pub")).output().unwrap();
        assert!(String::from_utf8_lossy(&shown.stdout).contains(&key.fingerprint));
    }
}
