//! Certificates, their keys, and SSH private keys: read from files, never changed, never quoted.

use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::pkey::PKey;
use openssl::x509::{X509, X509NameRef, X509Ref};

use crate::install::facts::{CertificateFacts, KeyFacts, OneCertificate};

/// The largest file read, bytes. A long chain has some 20 KiB.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// Certificates looked at in one file.
const CHAIN_LIMIT: usize = 32;

/// Reads a file of bounded size, following links, regular files only.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let fail = |error: std::io::Error| format!("{shown} cannot be read: {error}");
    // Looked at before opening: opening a named pipe would wait for ever.
    let data = std::fs::metadata(path).map_err(fail)?;
    if !data.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    if data.len() > SIZE_LIMIT {
        return Err(format!("{shown} has {} bytes, and 1 MiB is the limit: it is not a PEM file of this kind", data.len()));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(SIZE_LIMIT).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// Reads a certificate chain and its key.
#[must_use]
pub fn certificate(chain: &Path, key: &Path) -> CertificateFacts {
    let looked_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let mut facts = CertificateFacts { looked_at, ..CertificateFacts::default() };
    let certificates = match read_chain(chain) {
        Ok(certificates) => certificates,
        Err(problem) => {
            facts.chain_problem = Some(problem);
            Vec::new()
        }
    };
    if let Some(leaf) = certificates.first() {
        facts.names = names(leaf);
    }
    facts.certificates = certificates.iter().map(describe).collect();
    facts.order_problem = order_problem(&certificates);
    read_key(key, certificates.first(), &mut facts);
    facts
}

fn read_chain(path: &Path) -> Result<Vec<X509>, String> {
    let bytes = read(path)?;
    let shown = path.display();
    let text = String::from_utf8_lossy(&bytes);
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        let what = if text.trim().is_empty() {
            "is empty"
        } else if text.contains("PRIVATE KEY-----") {
            "holds a private key instead of certificates"
        } else if text.contains("CERTIFICATE REQUEST-----") {
            "holds a signing request, not the certificate made from it"
        } else {
            "holds no PEM certificate (-----BEGIN CERTIFICATE-----)"
        };
        return Err(format!("{shown} {what}"));
    }
    let certificates = X509::stack_from_pem(&bytes).map_err(|_| format!("{shown} holds a certificate that cannot be parsed"))?;
    match certificates.len() {
        0 => Err(format!("{shown} holds no certificate that can be parsed")),
        count if count > CHAIN_LIMIT => Err(format!("{shown} holds {count} certificates: a bundle of authorities, not a chain")),
        _ => Ok(certificates),
    }
}

fn read_key(path: &Path, leaf: Option<&X509>, facts: &mut CertificateFacts) {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(problem) => {
            facts.key_problem = Some(problem);
            return;
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        facts.key_encrypted = true;
        return;
    }
    if !text.contains("PRIVATE KEY-----") {
        facts.key_problem = Some(format!("{} holds no PEM private key", path.display()));
        return;
    }
    // The callback gives an empty passphrase: OpenSSL must never ask on the terminal.
    match PKey::private_key_from_pem_callback(&bytes, |_| Ok(0)) {
        Ok(key) => facts.key_matches = leaf.and_then(|leaf| leaf.public_key().ok()).map(|public| public.public_eq(&key)),
        Err(_) => facts.key_problem = Some(format!("{} holds a private key that cannot be parsed", path.display())),
    }
}

fn names(certificate: &X509Ref) -> Vec<String> {
    let alternatives = certificate.subject_alt_names().into_iter().flatten();
    alternatives
        .filter_map(|name| name.dnsname().map(str::to_ascii_lowercase).or_else(|| name.ipaddress().and_then(ip_text)))
        .take(1000)
        .collect()
}

fn ip_text(bytes: &[u8]) -> Option<String> {
    <[u8; 4]>::try_from(bytes).ok().map(|four| std::net::Ipv4Addr::from(four).to_string())
}

fn describe(certificate: &X509) -> OneCertificate {
    OneCertificate {
        subject: name(certificate.subject_name()),
        issuer: name(certificate.issuer_name()),
        self_signed: issued(certificate, certificate),
        not_before: seconds(certificate.not_before()),
        not_after: seconds(certificate.not_after()),
    }
}

fn name(name: &X509NameRef) -> String {
    let parts = name.entries().filter_map(|entry| {
        let key = entry.object().nid().short_name().ok()?;
        Some(format!("{key}={}", entry.data().to_string().ok()?))
    });
    let text = parts.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "(no name)".to_owned() } else { text }
}

fn seconds(time: &Asn1TimeRef) -> i64 {
    let difference = Asn1Time::from_unix(0).ok().and_then(|epoch| epoch.diff(time).ok());
    difference.map_or(0, |difference| i64::from(difference.days) * 86_400 + i64::from(difference.secs))
}

/// Whether `issuer` signed `certificate`.
fn issued(issuer: &X509Ref, certificate: &X509Ref) -> bool {
    issuer.public_key().is_ok_and(|key| certificate.verify(&key).unwrap_or(false))
}

fn order_problem(chain: &[X509]) -> Option<String> {
    chain.windows(2).enumerate().find(|(_, pair)| !issued(&pair[1], &pair[0])).map(|(at, _)| {
        let (one, other) = (at + 1, at + 2);
        format!("certificate {other} did not issue certificate {one}: the order must be server certificate, then the one that issued it, and so on")
    })
}

/// Looks at an SSH private key file.
#[must_use]
pub fn private_key(path: &Path) -> KeyFacts {
    let mut facts = KeyFacts { path: path.display().to_string(), uid: rustix::process::geteuid().as_raw(), ..KeyFacts::default() };
    if let Ok(data) = std::fs::metadata(path) {
        facts.mode = data.permissions().mode() & 0o7777;
        facts.owner = data.uid();
    }
    match read(path) {
        Ok(bytes) => (facts.format, facts.passphrase) = key_format(&String::from_utf8_lossy(&bytes)),
        Err(problem) => facts.problem = Some(problem),
    }
    facts
}

/// Format and whether a passphrase protects it, from the header alone.
fn key_format(text: &str) -> (Option<String>, Option<bool>) {
    let some = |format: &str, passphrase: Option<bool>| (Some(format.to_owned()), passphrase);
    if text.starts_with("PuTTY-User-Key-File") {
        return some("PuTTY", Some(!text.contains("Encryption: none")));
    }
    if let Some((_, rest)) = text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----") {
        let body: String = rest.split("-----END").next().unwrap_or_default().split_whitespace().collect();
        let blob = base64::engine::general_purpose::STANDARD.decode(body).unwrap_or_default();
        let Some(after) = blob.strip_prefix(b"openssh-key-v1\0") else { return some("OpenSSH", None) };
        let cipher = after.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes).and_then(|length| {
            let length = usize::try_from(length).ok()?;
            after.get(4..length.checked_add(4)?)
        });
        return some("OpenSSH", cipher.map(|cipher| cipher != b"none"));
    }
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return some("PKCS#8", Some(true));
    }
    if text.contains("-----BEGIN PRIVATE KEY-----") {
        return some("PKCS#8", Some(false));
    }
    let pem = ["RSA", "EC", "DSA"].iter().any(|kind| text.contains(&format!("-----BEGIN {kind} PRIVATE KEY-----")));
    if pem { some("PEM", Some(text.contains("Proc-Type: 4,ENCRYPTED"))) } else { (None, None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::asn1::Asn1Integer;
    use openssl::bn::BigNum;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::Private;
    use openssl::symm::Cipher;
    use openssl::x509::extension::SubjectAlternativeName;
    use openssl::x509::{X509Builder, X509NameBuilder};

    fn key() -> PKey<Private> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    }

    fn made(subject: &str, key: &PKey<Private>, issuer: Option<(&X509, &PKey<Private>)>, days: u32) -> X509 {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", subject).unwrap();
        let name = name.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        builder.set_serial_number(&Asn1Integer::from_bn(&BigNum::from_u32(7).unwrap()).unwrap()).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(issuer.map_or(&name, |(issuer, _)| issuer.subject_name())).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(days).unwrap()).unwrap();
        builder.set_pubkey(key).unwrap();
        let names = SubjectAlternativeName::new().dns(subject).dns("*.Example.org").build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(names).unwrap();
        builder.sign(issuer.map_or(key, |(_, key)| key), MessageDigest::sha256()).unwrap();
        builder.build()
    }

    #[test]
    fn a_chain_is_read_in_order_and_out_of_order() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, private) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let (root_key, leaf_key) = (key(), key());
        let root = made("Root", &root_key, None, 900);
        let leaf = made("example.org", &leaf_key, Some((&root, &root_key)), 60);
        let join = |list: &[&X509]| list.iter().flat_map(|one| one.to_pem().unwrap()).collect::<Vec<u8>>();
        std::fs::write(&private, leaf_key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        std::fs::write(&chain, join(&[&leaf, &root])).unwrap();
        let facts = certificate(&chain, &private);
        assert_eq!((facts.key_matches, facts.order_problem, facts.certificates.len()), (Some(true), None, 2));
        assert_eq!(facts.names, ["example.org", "*.example.org"]);
        assert_eq!(facts.certificates[0].issuer, "CN=Root");
        assert!(facts.certificates[1].self_signed && !facts.certificates[0].self_signed);
        let days = (facts.certificates[0].not_after - facts.looked_at) / 86_400;
        assert!((59..=60).contains(&days), "{days}");
        std::fs::write(&chain, join(&[&root, &leaf])).unwrap();
        let facts = certificate(&chain, &private);
        assert_eq!(facts.key_matches, Some(false));
        assert!(facts.order_problem.unwrap().contains("certificate 2 did not issue certificate 1"));
        std::fs::write(&private, leaf_key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret").unwrap()).unwrap();
        let facts = certificate(&chain, &private);
        assert!(facts.key_encrypted && facts.key_matches.is_none());
    }

    #[test]
    fn bad_files_are_named_and_not_read_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let key = file("key", b"nothing");
        let problem = |path: &Path| certificate(path, &key).chain_problem.unwrap();
        assert!(problem(&folder.path().join("absent")).contains("No such file"));
        assert!(problem(folder.path()).contains("not a regular file"));
        assert!(problem(&file("big", &vec![b'a'; 10 << 20])).contains("10485760 bytes"));
        assert!(problem(&file("text", b"put your certificate here")).contains("no PEM certificate"));
        assert!(problem(&file("cut", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")).contains("cannot be parsed"));
        assert!(problem(&file("swapped", b"-----BEGIN PRIVATE KEY-----\n")).contains("private key instead"));
        assert!(problem(&file("empty", b"\n")).ends_with("empty is empty"));
        assert!(problem(&file("many", &b"-----BEGIN CERTIFICATE-----\n".repeat(30_000))).contains("cannot be parsed"));
        assert!(certificate(&key, &key).key_problem.unwrap().contains("no PEM private key"));
        // A named pipe without a writer would be waited for.
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        let facts = certificate(&pipe, &pipe);
        assert!(facts.chain_problem.unwrap().contains("not a regular file") && facts.key_problem.unwrap().contains("not a regular file"));
        assert!(private_key(&pipe).problem.unwrap().contains("not a regular file"));
    }

    #[test]
    fn an_expired_intermediate_and_a_chain_whose_issuers_are_swapped_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, private) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let (root_key, between_key, leaf_key) = (key(), key(), key());
        let root = made("Root", &root_key, None, 900);
        let between = made("Between", &between_key, Some((&root, &root_key)), 0);
        let leaf = made("example.org", &leaf_key, Some((&between, &between_key)), 60);
        let join = |list: &[&X509]| list.iter().flat_map(|one| one.to_pem().unwrap()).collect::<Vec<u8>>();
        std::fs::write(&private, leaf_key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        std::fs::write(&chain, join(&[&leaf, &between, &root])).unwrap();
        let facts = certificate(&chain, &private);
        assert_eq!((facts.order_problem, facts.key_matches), (None, Some(true)));
        assert!(facts.certificates[1].not_after <= facts.looked_at && facts.certificates[0].not_after > facts.looked_at);
        std::fs::write(&chain, join(&[&leaf, &root, &between])).unwrap();
        assert!(certificate(&chain, &private).order_problem.unwrap().contains("certificate 2 did not issue certificate 1"));
    }

    #[test]
    fn private_keys_show_whether_they_have_a_passphrase() {
        if which::which("ssh-keygen").is_err() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        for (number, (format, passphrase)) in
            [("RFC4716", ""), ("RFC4716", "secret"), ("PEM", "secret"), ("PKCS8", "")].into_iter().enumerate()
        {
            let path = folder.path().join(number.to_string());
            let mut command = std::process::Command::new("ssh-keygen");
            command.args(["-q", "-t", "ecdsa", "-m", format, "-N", passphrase, "-f"]).arg(&path);
            assert!(command.status().unwrap().success());
            let facts = private_key(&path);
            assert_eq!(facts.passphrase, Some(!passphrase.is_empty()), "{format} {facts:?}");
            assert_eq!((facts.mode, facts.owner == facts.uid), (0o600, true));
        }
        assert_eq!(private_key(&folder.path().join("0.pub")).format, None);
        assert!(private_key(&folder.path().join("absent")).problem.is_some());
    }
}
