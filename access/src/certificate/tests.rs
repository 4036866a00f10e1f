//! Names of certificates made for the purpose, and revocation lists.

use std::sync::LazyLock;

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

use super::*;

fn certificate(common_names: &[&str], alternative: Vec<SanType>) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (index, name) in common_names.iter().enumerate() {
        // A distinguished name here holds a type once; further common names go under its object identifier.
        let kind = if index == 0 { DnType::CommonName } else { DnType::CustomDnType(vec![2, 5, 4, 3]) };
        params.distinguished_name.push(kind, *name);
    }
    params.subject_alt_names = alternative;
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn name(der: &[u8], from: NameFrom) -> Result<String, CertificateError> {
    ClientCertificate::read(der, from).map(|certificate| certificate.user)
}

#[test]
fn the_configured_name_is_the_user() {
    let der = certificate(
        &["sensor-7"],
        vec![
            dns("Sensor-7.Example.org"),
            SanType::Rfc822Name("s7@example.org".try_into().unwrap()),
            SanType::URI("urn:device:7".try_into().unwrap()),
        ],
    );
    assert_eq!(name(&der, NameFrom::CommonName).as_deref(), Ok("sensor-7"));
    assert_eq!(name(&der, NameFrom::Dns).as_deref(), Ok("sensor-7.example.org"));
    assert_eq!(name(&der, NameFrom::Email).as_deref(), Ok("s7@example.org"));
    assert_eq!(name(&der, NameFrom::Uri).as_deref(), Ok("urn:device:7"));
}

#[test]
fn a_certificate_without_the_name_or_with_several_is_refused() {
    let bare = certificate(&[], vec![]);
    for from in [NameFrom::CommonName, NameFrom::Dns, NameFrom::Email, NameFrom::Uri] {
        assert_eq!(name(&bare, from), Err(CertificateError::NoName(from)));
    }
    let two = certificate(&["a", "b"], vec![dns("a"), dns("b")]);
    assert_eq!(name(&two, NameFrom::CommonName), Err(CertificateError::SeveralNames(NameFrom::CommonName)));
    assert_eq!(name(&two, NameFrom::Dns), Err(CertificateError::SeveralNames(NameFrom::Dns)));
    assert_eq!(name(&two, NameFrom::Email), Err(CertificateError::NoName(NameFrom::Email)));
}

#[test]
fn a_name_that_is_none_is_refused() {
    for common_name in ["", "a\0b", "a\nb", &"x".repeat(257)] {
        let der = certificate(&[common_name], vec![]);
        assert!(matches!(name(&der, NameFrom::CommonName), Err(CertificateError::Name { .. })), "{common_name:?}");
    }
    assert!(name(&certificate(&[&"x".repeat(256)], vec![]), NameFrom::CommonName).is_ok());
}

#[test]
fn certificates_are_told_apart_by_issuer_and_serial() {
    let id = CertificateId::new;
    assert_eq!(id(b"issuer", &[0, 0, 7]), id(b"issuer", &[7]));
    assert_ne!(id(b"issuer", &[7]), id(b"issuer", &[8]));
    assert_ne!(id(b"issuer", &[7]), id(b"issues", &[7]));
    assert_ne!(id(b"a", b"bc"), id(b"ab", b"c"));
}

#[test]
fn bytes_around_a_certificate_and_endless_ones_are_refused() {
    let der = certificate(&["a"], vec![]);
    let after = [der.as_slice(), b"x"].concat();
    assert_eq!(name(&after, NameFrom::CommonName), Err(CertificateError::Malformed));
    assert_eq!(name(&der[..der.len() - 1], NameFrom::CommonName), Err(CertificateError::Malformed));
    assert_eq!(name(&[], NameFrom::CommonName), Err(CertificateError::Malformed));
    let long = vec![0x30; CERTIFICATE_BYTES_MAX + 1];
    assert_eq!(name(&long, NameFrom::CommonName), Err(CertificateError::TooLong));
    assert_eq!(name(&long[1..], NameFrom::CommonName), Err(CertificateError::Malformed));
}

/// Of the one authority of these tests.
static CA_KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().unwrap());

/// A certificate with serial number `serial`, and a list of its issuer that withdraws `revoked`.
pub(crate) fn issued(user: &str, serial: u64, revoked: &[u64]) -> (Vec<u8>, String) {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::CrlSign, KeyUsagePurpose::KeyCertSign];
    let issuer = Issuer::new(ca, &*CA_KEY);
    let mut client = CertificateParams::default();
    client.distinguished_name.push(DnType::CommonName, user);
    client.serial_number = Some(SerialNumber::from(serial));
    let der = client.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().to_vec();
    let entry = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2036, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    (der, list.signed_by(&issuer).unwrap().pem().unwrap())
}

#[test]
fn withdrawn_certificates_are_found_by_serial_and_issuer() {
    let (der, list) = issued("sensor", 300, &[7, 300]);
    let id = ClientCertificate::read(&der, NameFrom::CommonName).unwrap().id;
    let revoked = Revoked::parse(list.as_bytes()).unwrap();
    assert_eq!(revoked.len(), 2);
    assert!(revoked.contains(id));
    let (other, _) = issued("sensor", 301, &[]);
    assert!(!revoked.contains(ClientCertificate::read(&other, NameFrom::CommonName).unwrap().id));
    let self_signed = ClientCertificate::read(&certificate(&["sensor"], vec![]), NameFrom::CommonName).unwrap();
    assert!(!revoked.contains(self_signed.id));
}

#[test]
fn lists_are_read_in_pem_and_der_and_several_together() {
    let (_, first) = issued("a", 1, &[1]);
    let (_, second) = issued("a", 1, &[2, 3]);
    assert_eq!(Revoked::parse(format!("{first}\n{second}").as_bytes()).unwrap().len(), 3);
    let (_, pem) = x509_parser::pem::parse_x509_pem(first.as_bytes()).unwrap();
    assert_eq!(Revoked::parse(&pem.contents).unwrap().len(), 1);
    let (_, none) = issued("a", 1, &[]);
    assert!(Revoked::parse(none.as_bytes()).unwrap().is_empty());
}

#[test]
fn what_is_no_list_is_refused() {
    assert_eq!(Revoked::parse(b"").unwrap_err(), RevokedError::Empty);
    assert_eq!(Revoked::parse(b"no list").unwrap_err(), RevokedError::Malformed(1));
    assert_eq!(Revoked::parse(&certificate(&["a"], vec![])).unwrap_err(), RevokedError::Malformed(1));
    let (_, list) = issued("a", 1, &[1]);
    let other = list.replace("X509 CRL", "CERTIFICATE");
    assert_eq!(Revoked::parse(format!("{list}{other}").as_bytes()).unwrap_err(), RevokedError::Malformed(2));
    assert_eq!(Revoked::parse(&list.as_bytes()[..list.len() - 40]).unwrap_err(), RevokedError::Malformed(1));
    let long = vec![b'x'; REVOKED_BYTES_MAX + 1];
    assert_eq!(Revoked::parse(&long).unwrap_err(), RevokedError::TooLarge(REVOKED_BYTES_MAX + 1));
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..2000, byte in any::<u8>()) {
        let (mut der, mut list) = issued("sensor", 300, &[7, 300]);
        let at_der = at % der.len();
        der[at_der] = byte;
        let mut list = std::mem::take(&mut list).into_bytes();
        let at_list = at % list.len();
        list[at_list] = byte;
        for content in [&bytes, &der, &list] {
            let _ = Revoked::parse(content);
            for from in [NameFrom::CommonName, NameFrom::Dns, NameFrom::Email, NameFrom::Uri] {
                let _ = ClientCertificate::read(content, from);
            }
        }
    }
}
