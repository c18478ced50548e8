//! Makes certificates: a leaf for some names, signed by an authority that is thrown away.

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

/// A chain and its key, PEM.
#[derive(Debug)]
pub struct Made {
    /// The leaf, then the authority.
    pub chain: Vec<u8>,
    /// The leaf's key.
    pub key: Vec<u8>,
}

/// Makes a certificate for these names that ends in so many days (in the past where negative).
///
/// # Errors
/// OpenSSL cannot make keys.
pub fn make(names: &[&str], days: i64) -> Result<Made, ErrorStack> {
    let authority_key = PKey::from_rsa(Rsa::generate(2048)?)?;
    let mut authority = begin("Rehearsal authority", &authority_key, 30)?;
    authority.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    authority.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    authority.sign(&authority_key, MessageDigest::sha256())?;
    let authority: X509 = authority.build();
    let key = PKey::from_rsa(Rsa::generate(2048)?)?;
    let mut leaf = begin(names.first().copied().unwrap_or("localhost"), &key, days)?;
    leaf.set_issuer_name(authority.subject_name())?;
    let mut alternatives = SubjectAlternativeName::new();
    for name in names {
        alternatives.dns(name);
    }
    let alternatives = alternatives.build(&leaf.x509v3_context(Some(&authority), None))?;
    leaf.append_extension(alternatives)?;
    leaf.sign(&authority_key, MessageDigest::sha256())?;
    let mut chain = leaf.build().to_pem()?;
    chain.extend(authority.to_pem()?);
    Ok(Made { chain, key: key.private_key_to_pem_pkcs8()? })
}

fn begin(name: &str, key: &PKey<Private>, days: i64) -> Result<X509Builder, ErrorStack> {
    let mut subject = X509NameBuilder::new()?;
    subject.append_entry_by_text("CN", name)?;
    let subject = subject.build();
    let mut serial = BigNum::new()?;
    serial.rand(120, MsbOption::MAYBE_ZERO, false)?;
    let now = jiff::Timestamp::now().as_second();
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(&subject)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*Asn1Time::from_unix(now - 90 * 86_400)?)?;
    builder.set_not_after(&*Asn1Time::from_unix(now + days * 86_400)?)?;
    Ok(builder)
}
