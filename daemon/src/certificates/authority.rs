//! The authority of one box: makes and signs certificates and revocation lists. Time is an argument; keys and serial numbers are
//! random. ECDSA with P-256 throughout, which every client of the last ten years takes.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams,
    SanType, SerialNumber,
};
use thiserror::Error;
use time::OffsetDateTime;

use super::revocation::Withdrawn;

const DAY_S: u64 = 24 * 3600;
/// The authority: longer than the box lives, so that nobody has to distribute it again.
const AUTHORITY_DAYS: u64 = 20 * 365;
/// Everything that it signs.
pub const LEAF_DAYS: u64 = 2 * 365;
/// A revocation list is good for as long as there is no newer one.
const LIST_DAYS: u64 = AUTHORITY_DAYS;
/// Certificates begin so much in the past: the clocks of clients may be behind.
const BACKDATED_S: u64 = DAY_S;
/// Longest common name (X.520).
const NAME_BYTES_MAX: usize = 64;

/// Why something was not made.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The library or the system's randomness failed.
    #[error("make {what}")]
    Make {
        /// What.
        what: &'static str,
        /// Cause.
        source: rcgen::Error,
    },
    /// The files of the authority are damaged, or do not belong together.
    #[error("read the authority's {what}")]
    Read {
        /// Certificate or key.
        what: &'static str,
        /// Cause.
        source: rcgen::Error,
    },
    /// Not a name for a certificate.
    #[error("{name:?} cannot be a name in a certificate: expected 1 to 64 bytes of printable text")]
    Name {
        /// The name.
        name: String,
    },
    /// No random numbers.
    #[error("get a random serial number: {0}")]
    Random(getrandom::Error),
}

/// When something is made, and from when it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// From when it counts, seconds since 1970.
    pub from_s: u64,
    /// Now, seconds since 1970.
    pub now_s: u64,
}

impl Moment {
    /// Things count from a day ago, so that clients whose clock is a little behind accept them. Where the clock of this box is not
    /// trusted, they count from when the program was built: whatever the time is, that is over.
    pub fn new(now_s: u64, is_trusted: bool, built_at_s: u64) -> Self {
        let from_s = if is_trusted { now_s.saturating_sub(BACKDATED_S) } else { built_at_s.min(now_s) };
        Self { from_s, now_s }
    }
}

/// A certificate and its key, both PEM.
#[derive(Debug)]
pub struct Issued {
    /// Certificate.
    pub certificate: String,
    /// Private key; none where the key stayed as it was.
    pub key: Option<String>,
    /// Serial number.
    pub serial: Vec<u8>,
}

/// Whose certificate.
#[derive(Clone, Debug)]
pub enum Subject<'a> {
    /// The node's, under these names and addresses; the first is its common name.
    Server(&'a [String]),
    /// A client's: its name is its user.
    Client(&'a str),
}

/// An authority that can sign.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A new authority for the box called `host`: its certificate and key.
///
/// # Errors
/// The system gives no random numbers.
pub fn create(host: &str, moment: Moment) -> Result<Issued, AuthorityError> {
    let key = new_key()?;
    // Told from an earlier one of the same box.
    let mark: String = serial()?.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    let host: String = host.chars().take(30).collect();
    sign_self(&common_name(&format!("Selvedge {host} {mark}"))?, key, moment)
}

/// The same authority, name and key, good for as long as a new one.
///
/// # Errors
/// The files are damaged.
pub fn renew(certificate: &str, key: &str, moment: Moment) -> Result<Issued, AuthorityError> {
    let key = KeyPair::from_pem(key).map_err(|source| AuthorityError::Read { what: "key", source })?;
    let name = super::facts::first_name(certificate).unwrap_or_default();
    sign_self(&common_name(&name)?, key, moment)
}

fn sign_self(name: &DistinguishedName, key: KeyPair, moment: Moment) -> Result<Issued, AuthorityError> {
    let mut params = CertificateParams::default();
    let serial = serial()?;
    params.serial_number = Some(SerialNumber::from(serial.clone()));
    (params.not_before, params.not_after) = validity(moment, AUTHORITY_DAYS);
    params.distinguished_name = name.clone();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate =
        params.self_signed(&key).map_err(|source| AuthorityError::Make { what: "the authority", source })?;
    Ok(Issued { certificate: certificate.pem(), key: Some(key.serialize_pem()), serial })
}

impl Authority {
    /// From its two files.
    ///
    /// # Errors
    /// They are damaged, or the key is another's.
    pub fn open(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let read = |what| move |source| AuthorityError::Read { what, source };
        let key = KeyPair::from_pem(key).map_err(read("key"))?;
        if super::facts::public_key(certificate).as_deref() != Some(key.public_key_raw()) {
            return Err(read("key")(rcgen::Error::KeyGenerationUnavailable));
        }
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(read("certificate"))?;
        Ok(Self { issuer })
    }

    /// Signs a certificate for `subject`, for a new key or for `key`.
    ///
    /// # Errors
    /// A name does not fit, or the key is damaged.
    pub fn issue(&self, subject: &Subject<'_>, key: Option<&str>, moment: Moment) -> Result<Issued, AuthorityError> {
        let make = |source| AuthorityError::Make { what: "a certificate", source };
        let (pair, is_new) = match key {
            Some(pem) => {
                (KeyPair::from_pem(pem).map_err(|source| AuthorityError::Read { what: "key", source })?, false)
            }
            None => (new_key()?, true),
        };
        let mut params = CertificateParams::default();
        let serial = serial()?;
        params.serial_number = Some(SerialNumber::from(serial.clone()));
        (params.not_before, params.not_after) = validity(moment, LEAF_DAYS);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        match subject {
            Subject::Server(names) => {
                params.distinguished_name = common_name(names.first().map_or("selvedge", String::as_str))?;
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                params.subject_alt_names = names.iter().map(|name| alternative(name)).collect::<Result<_, _>>()?;
            }
            Subject::Client(name) => {
                params.distinguished_name = common_name(name)?;
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
        }
        let certificate = params.signed_by(&pair, &self.issuer).map_err(make)?;
        Ok(Issued { certificate: certificate.pem(), key: is_new.then(|| pair.serialize_pem()), serial })
    }

    /// A revocation list, PEM, with a `number` above that of the last one.
    ///
    /// # Errors
    /// The library refuses.
    pub fn revocation_list(
        &self,
        withdrawn: &[Withdrawn],
        number: u64,
        moment: Moment,
    ) -> Result<String, AuthorityError> {
        let make = |source| AuthorityError::Make { what: "a revocation list", source };
        let (this_update, next_update) = validity(moment, LIST_DAYS);
        let revoked_certs = withdrawn
            .iter()
            .map(|withdrawn| RevokedCertParams {
                serial_number: SerialNumber::from(withdrawn.serial.clone()),
                revocation_time: at(withdrawn.at_s),
                reason_code: Some(RevocationReason::Unspecified),
                invalidity_date: None,
            })
            .collect();
        let list = CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(make)
    }
}

fn new_key() -> Result<KeyPair, AuthorityError> {
    KeyPair::generate().map_err(|source| AuthorityError::Make { what: "a key", source })
}

/// 16 random bytes, positive and without a leading zero byte.
fn serial() -> Result<Vec<u8>, AuthorityError> {
    let mut bytes = vec![0; 16];
    getrandom::fill(&mut bytes).map_err(AuthorityError::Random)?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(bytes)
}

fn common_name(name: &str) -> Result<DistinguishedName, AuthorityError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(AuthorityError::Name { name: name.to_owned() });
    }
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    Ok(names)
}

fn alternative(name: &str) -> Result<SanType, AuthorityError> {
    let refused = |_| AuthorityError::Name { name: name.to_owned() };
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Err(AuthorityError::Name { name: name.to_owned() })
        }
        Err(_) => Ok(SanType::DnsName(name.try_into().map_err(refused)?)),
    }
}

fn validity(moment: Moment, days: u64) -> (OffsetDateTime, OffsetDateTime) {
    (at(moment.from_s), at(moment.now_s.saturating_add(days * DAY_S)))
}

fn at(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::facts::{Kind, read};
    use crate::certificates::revocation;

    const NOW: Moment = Moment { from_s: 1_799_913_600, now_s: 1_800_000_000 };

    fn authority() -> (Issued, Authority) {
        let made = create("box", NOW).unwrap();
        let opened = Authority::open(&made.certificate, made.key.as_deref().unwrap()).unwrap();
        (made, opened)
    }

    #[test]
    fn the_node_has_its_names_and_a_client_its_user() {
        let (_, authority) = authority();
        let names = ["box".to_owned(), "box.local".to_owned(), "192.0.2.7".to_owned(), "::1".to_owned()];
        let server = authority.issue(&Subject::Server(&names), None, NOW).unwrap();
        let facts = read(server.certificate.as_bytes()).unwrap().remove(0);
        assert_eq!((facts.kind, facts.common_name.as_deref()), (Kind::Server, Some("box")));
        assert_eq!(facts.names, ["box", "box.local", "192.0.2.7", "::1"]);
        let client = authority.issue(&Subject::Client("pump-1"), None, NOW).unwrap();
        let facts = read(client.certificate.as_bytes()).unwrap().remove(0);
        assert_eq!((facts.kind, facts.common_name.as_deref()), (Kind::Client, Some("pump-1")));
        assert_eq!(facts.serial, client.serial);
    }

    #[test]
    fn validity_begins_a_day_ago_or_with_the_program_where_the_clock_is_wrong() {
        assert_eq!(Moment::new(NOW.now_s, true, 7), NOW);
        assert_eq!(Moment::new(NOW.now_s, false, 7).from_s, 7);
        let (made, authority) = authority();
        let facts = read(made.certificate.as_bytes()).unwrap().remove(0);
        assert_eq!((facts.not_before_s, facts.kind), (NOW.now_s - DAY_S, Kind::Authority));
        assert_eq!(facts.not_after_s, NOW.now_s + 20 * 365 * DAY_S);
        let leaf = authority.issue(&Subject::Client("a"), None, Moment { from_s: 7, now_s: 1000 }).unwrap();
        let facts = read(leaf.certificate.as_bytes()).unwrap().remove(0);
        assert_eq!((facts.not_before_s, facts.not_after_s), (7, 1000 + 2 * 365 * DAY_S));
    }

    #[test]
    fn a_renewed_authority_has_its_name_and_key_and_a_foreign_key_is_refused() {
        let (made, _) = authority();
        let later = Moment { now_s: NOW.now_s + DAY_S, ..NOW };
        let renewed = renew(&made.certificate, made.key.as_deref().unwrap(), later).unwrap();
        assert_eq!(renewed.key, made.key);
        let (old, new) = (&made.certificate, &renewed.certificate);
        assert_eq!(super::super::facts::first_name(old), super::super::facts::first_name(new));
        assert_ne!(old, new);
        let other = create("box", NOW).unwrap();
        assert!(Authority::open(&made.certificate, other.key.as_deref().unwrap()).is_err());
        assert!(Authority::open("", "").is_err());
    }

    #[test]
    fn a_key_is_kept_on_renewal() {
        let (_, authority) = authority();
        let names = ["box".to_owned()];
        let first = authority.issue(&Subject::Server(&names), None, NOW).unwrap();
        let second = authority.issue(&Subject::Server(&names), first.key.as_deref(), NOW).unwrap();
        assert!(second.key.is_none());
        let public = |issued: &Issued| super::super::facts::public_key(&issued.certificate);
        assert_eq!(public(&first), public(&second));
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let (_, authority) = authority();
        for name in ["", "a\nb", &"x".repeat(65)] {
            assert!(authority.issue(&Subject::Client(name), None, NOW).is_err(), "{name:?}");
        }
        assert!(authority.issue(&Subject::Client(&"x".repeat(64)), None, NOW).is_ok());
        for name in ["", "a b", "é"] {
            let names = ["box".to_owned(), name.to_owned()];
            assert!(authority.issue(&Subject::Server(&names), None, NOW).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_list_names_what_was_withdrawn_and_is_signed_by_the_authority() {
        let (made, authority) = authority();
        let withdrawn = [Withdrawn { serial: vec![0x41, 2], at_s: NOW.now_s }, Withdrawn { serial: vec![7], at_s: 5 }];
        let list = authority.revocation_list(&withdrawn, 9, NOW).unwrap();
        let read = revocation::read(list.as_bytes(), made.certificate.as_bytes()).unwrap();
        assert_eq!((read.own.len(), read.number), (2, 9));
        assert_eq!(read.own[0], withdrawn[0]);
        let other = create("box", NOW).unwrap();
        assert!(revocation::read(list.as_bytes(), other.certificate.as_bytes()).is_err());
    }
}
