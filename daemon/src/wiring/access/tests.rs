//! The gate as the broker and HTTP ask it: files in, verdicts out.

use std::net::SocketAddr;
use std::sync::mpsc::channel;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use selvedge_access::password::{self, PasswordCost};
use selvedge_access::scram::{Client, NONCE_BYTES, Verifier};
use selvedge_access::users::edit::{Secrets, add_user, set_disabled};
use selvedge_broker::{Attempt, Authenticate, PeerCertificate, Verdict};
use selvedge_codec::{ProtocolVersion, ReasonCode};
use selvedge_core::{Action, Authorize, Principal};

use super::authenticator::Authenticator;
use super::authorizer::Rules;
use super::http_login::HttpLogins;
use super::sources::SourceFiles;
use super::*;
use crate::certificates::authority::{self, Moment, Subject};
use crate::config::Config;
use crate::config::surroundings::FilePlaces;
use crate::config::tls::ClientCertificates;
use crate::trusted_clock;

const CHEAP: PasswordCost = PasswordCost { memory_kib: 8, passes: 1, lanes: 1 };

struct House {
    _data: tempfile::TempDir,
    files: SourceFiles,
    places: FilePlaces,
    gate: Arc<Gate>,
}

/// A node with the user `joe`, password `right`, and the rules that a node begins with. Listener 0 lets anonymous clients in,
/// listener 1 does not.
fn house(adjust: impl FnOnce(&mut Config)) -> House {
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    adjust(&mut config);
    let places = FilePlaces::new(&config, data.path());
    std::fs::create_dir(data.path().join("access")).unwrap();
    let secrets = Secrets {
        password: Some(password::hash(b"right", [1; 16], CHEAP).unwrap()),
        scram: Some(Verifier::derive("right", [2; 16], 4096).unwrap()),
    };
    std::fs::write(&places.users, add_user("", "joe", &secrets, None).unwrap()).unwrap();
    std::fs::write(&places.rules, selvedge_access::rules::starting_rules()).unwrap();
    let files = SourceFiles::new(&config, places.clone(), [3; 32]);
    let clock = Arc::new(TrustedClock::open(data.path()));
    let access = files.read(None, None).access;
    let gate = Arc::new(Gate::new(access, &config.access, vec![true, false], clock, [4; 32]));
    House { _data: data, files, places, gate }
}

impl House {
    fn read_again(&self) -> Vec<String> {
        let snapshot = self.files.read(None, Some(&self.gate.access()));
        self.gate.replace(Arc::new(snapshot.access));
        snapshot.problems
    }

    fn login(&self, attempt: Attempt<'_>) -> Result<selvedge_broker::Identity, ReasonCode> {
        let authenticator = Authenticator(Arc::clone(&self.gate));
        let verdict = authenticator.quick(&attempt).unwrap_or_else(|| authenticator.check(&attempt));
        match verdict {
            Verdict::Accept(identity) => Ok(identity),
            Verdict::Refuse(reason) => Err(reason),
            Verdict::Continue { .. } => panic!("an exchange was begun"),
        }
    }

    fn counted(&self, kind: &str, result: &str) -> u64 {
        self.gate.counts().0.iter().find(|(k, r, _)| (*k, *r) == (kind, result)).unwrap().2
    }
}

fn attempt<'a>(listener: usize, username: Option<&'a str>, password: Option<&'a [u8]>) -> Attempt<'a> {
    Attempt {
        listener,
        address: SocketAddr::from(([192, 0, 2, 1], 5)),
        version: ProtocolVersion::V5,
        client_id: "c",
        username,
        password,
        certificate: None,
        method: None,
        data: &[],
    }
}

#[test]
fn a_password_lets_in_and_a_wrong_one_does_not() {
    let house = house(|_| {});
    let joe = house.login(attempt(1, Some("joe"), Some(b"right"))).unwrap();
    assert_eq!(joe.user.as_deref(), Some("joe"));
    let wrong = |name, password| house.login(attempt(1, Some(name), Some(password))).unwrap_err();
    assert_eq!(wrong("joe", b"wrong"), ReasonCode::BadUserNameOrPassword);
    assert_eq!(wrong("eve", b"right"), ReasonCode::BadUserNameOrPassword);
    assert_eq!((house.counted("password", "accepted"), house.counted("password", "bad_credentials")), (1, 2));
}

#[test]
fn clients_without_a_login_come_in_where_the_listener_says_so() {
    let house = house(|_| {});
    assert_eq!(house.login(attempt(0, None, None)).unwrap().user, None);
    assert_eq!(house.login(attempt(1, None, None)).unwrap_err(), ReasonCode::NotAuthorized);
    assert_eq!(house.login(attempt(7, None, None)).unwrap_err(), ReasonCode::NotAuthorized);
}

#[test]
fn failures_of_one_address_close_it_and_not_another() {
    let house = house(|config| config.access.failures_max = 3);
    for _ in 0..3 {
        assert_eq!(
            house.login(attempt(1, Some("joe"), Some(b"wrong"))).unwrap_err(),
            ReasonCode::BadUserNameOrPassword
        );
    }
    assert_eq!(house.login(attempt(1, Some("eve"), Some(b"x"))).unwrap_err(), ReasonCode::ConnectionRateExceeded);
    let elsewhere =
        Attempt { address: SocketAddr::from(([192, 0, 2, 2], 5)), ..attempt(1, Some("joe"), Some(b"right")) };
    assert!(house.login(elsewhere).is_ok());
    assert_eq!(house.counted("password", "throttled"), 1);
}

#[test]
fn a_removed_user_is_revoked_and_a_broken_file_revokes_nobody() {
    let house = house(|_| {});
    let joe = house.login(attempt(1, Some("joe"), Some(b"right"))).unwrap();
    let permit = joe.permit.unwrap();
    std::fs::write(&house.places.users, "").unwrap();
    assert_eq!(house.read_again().len(), 1);
    assert!(!permit.is_revoked());
    assert_eq!(house.login(attempt(1, Some("joe"), Some(b"right"))).unwrap_err(), ReasonCode::ServerUnavailable);
    std::fs::write(&house.places.users, "# nobody\n").unwrap();
    assert_eq!(house.read_again(), Vec::<String>::new());
    assert!(permit.is_revoked());
}

#[test]
fn rules_hold_and_topics_of_the_node_are_never_written() {
    let house = house(|_| {});
    let joe = house.login(attempt(1, Some("joe"), Some(b"right"))).unwrap();
    let rules = Rules(house.gate.access());
    let who = Principal { client_id: "c", user: joe.user.as_ref(), permit: joe.permit.as_ref() };
    let publish = Action::Publish { retain: false };
    assert!(rules.may_connect(who) && rules.may(who, publish, "a/b") && rules.may(who, Action::Subscribe, "$SYS/#"));
    assert!(
        !rules.may(who, publish, "$SYS/x") && !rules.may(who, Action::Will { retain: true }, "$twin/a/update/accepted")
    );
    std::fs::write(&house.places.rules, "[[rule]]\npublish = [\"own/%u/#\"]\n").unwrap();
    house.read_again();
    let rules = Rules(house.gate.access());
    assert!(rules.may(who, publish, "own/joe/t") && !rules.may(who, publish, "a/b"));
    assert!(!rules.may(who, Action::Subscribe, "own/joe/t"));
}

#[test]
fn scram_lets_in_who_knows_the_password_and_another_method_is_refused() {
    let house = house(|_| {});
    let authenticator = Authenticator(Arc::clone(&house.gate));
    let unknown = Attempt { method: Some("GS2-KRB5"), ..attempt(1, None, None) };
    assert!(matches!(authenticator.quick(&unknown), Some(Verdict::Refuse(ReasonCode::BadAuthenticationMethod))));
    for (password, accepted) in [("right", true), ("wrong", false)] {
        let (client, first) = Client::start("joe", password, [9; NONCE_BYTES]).unwrap();
        let begun = Attempt { method: Some(scram_method()), data: &first, ..attempt(1, None, None) };
        assert!(authenticator.quick(&begun).is_none());
        let Verdict::Continue { data, exchange } = authenticator.check(&begun) else { panic!("no exchange") };
        let (_, last) = client.answer(&data).unwrap();
        match exchange.step(&last) {
            Verdict::Accept(identity) => assert!(accepted && identity.user.as_deref() == Some("joe")),
            other => assert!(!accepted, "{other:?}"),
        }
    }
    assert_eq!(house.counted("scram", "accepted"), 1);
}

fn scram_method() -> &'static str {
    selvedge_access::scram::METHOD
}

#[test]
fn http_asks_for_the_same_users_and_for_the_right_to_read() {
    let house = house(|_| {});
    let logins = HttpLogins::new(Arc::clone(&house.gate));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ask = |authorization: Option<&str>| {
        let (sender, receiver) = channel();
        runtime.block_on(async { sender.send(logins.login([192, 0, 2, 1].into(), authorization).await).unwrap() });
        receiver.recv().unwrap().map_err(|error| error.status)
    };
    // joe:right, joe:wrong
    let (right, wrong) = ("Basic am9lOnJpZ2h0", "Basic am9lOndyb25n");
    assert_eq!(ask(None).err(), Some(401));
    assert_eq!(ask(Some("Digest x")).err(), Some(401));
    assert_eq!(ask(Some(wrong)).err(), Some(401));
    assert!(ask(Some(right)).unwrap().0.may_read_twin("pump"));
    std::fs::write(&house.places.rules, "[[rule]]\nsubscribe = [\"$twin/a/#\"]\napi = [\"read\"]\n").unwrap();
    house.read_again();
    let reader = ask(Some(right)).unwrap();
    assert!(reader.0.may_read_twin("a") && !reader.0.may_read_twin("b"));
    std::fs::write(&house.places.rules, "[[rule]]\nsubscribe = [\"#\"]\n").unwrap();
    house.read_again();
    assert_eq!(ask(Some(right)).err(), Some(403));
}

#[test]
fn a_certificate_is_its_user_until_it_ends_or_the_user_is_disabled() {
    let house = house(|config| config.tls.client_certificates = ClientCertificates::Optional);
    let moment = Moment::new(trusted_clock::system_s(), true, trusted_clock::built_at_s());
    let made = authority::create("box", moment).unwrap();
    let issuer = authority::Authority::open(&made.certificate, made.key.as_deref().unwrap()).unwrap();
    let issued = issuer.issue(&Subject::Client("joe"), None, moment).unwrap();
    let der = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap().to_vec();
    let certificate = Arc::new(PeerCertificate { der });
    let shown = |username| Attempt { certificate: Some(&certificate), ..attempt(1, username, None) };
    let joe = house.login(shown(None)).unwrap();
    assert_eq!(joe.user.as_deref(), Some("joe"));
    let left = joe.expires_in.unwrap().as_secs();
    let days = left / (24 * 3600);
    assert!((authority::LEAF_DAYS - 1..=authority::LEAF_DAYS).contains(&days), "{days}");
    assert_eq!(house.login(shown(Some("eve"))).unwrap_err(), ReasonCode::BadUserNameOrPassword);
    let users = std::fs::read_to_string(&house.places.users).unwrap();
    std::fs::write(&house.places.users, set_disabled(&users, "joe", true).unwrap()).unwrap();
    house.read_again();
    assert_eq!(house.login(shown(None)).unwrap_err(), ReasonCode::NotAuthorized);
    assert!(joe.permit.unwrap().is_revoked());
}
