//! A node's access from files to decisions.

use std::{net::IpAddr, time::Duration};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{login::TOKEN_USER_NAME, *};
use crate::{
    LoginLimits, Logins,
    certificate::tests::issued,
    password::{self, PasswordCost},
    rules::starting_rules,
    scram::{Client, NONCE_BYTES, Verifier},
    token::{
        Algorithm, TokenRefusal,
        tests::{GOOD_AT_MS, HS256_SECRET, hs256},
    },
    users::edit,
};

const CHEAP: PasswordCost = PasswordCost { memory_kib: 8, passes: 1, lanes: 1 };
const NOW: Now = Now { wall_ms: Some(GOOD_AT_MS), monotonic_ms: 5_000 };
const PUBLISH: Operation = Operation::Publish { retain: false };

/// The files of a node.
#[derive(Clone)]
struct Node {
    users: Option<String>,
    rules: Option<String>,
    secret: Option<Vec<u8>>,
    revoked: Option<String>,
    certificates: bool,
}

impl Node {
    /// Alice with the password "secret", the starting rules.
    fn of_alice() -> Self {
        let users = edit::add_user("", "alice", &secrets("secret", false), None).unwrap();
        let rules = starting_rules().to_owned();
        Self { users: Some(users), rules: Some(rules), secret: None, revoked: None, certificates: false }
    }

    fn with_tokens() -> Self {
        Self { secret: Some(HS256_SECRET.to_vec()), ..Self::of_alice() }
    }

    fn parse(&self, last_good: Option<&Access>) -> (Access, Vec<Fault>) {
        let state = |content: &'_ Option<String>| content.clone();
        let (users, rules, revoked) = (state(&self.users), state(&self.rules), state(&self.revoked));
        let sources = Sources {
            users: file(&users),
            rules: file(&rules),
            revoked: file(&revoked),
            keys: self
                .secret
                .iter()
                .map(|secret| KeySource { format: KeyFormat::Secret, content: FileState::Read(secret) })
                .collect(),
            tokens: TokenRules { algorithms: vec![Algorithm::Hs256], ..TokenRules::default() },
            certificate_name: self.certificates.then_some(NameFrom::CommonName),
            node_key: [3; 32],
        };
        Access::parse(&sources, last_good)
    }

    fn access(&self) -> Access {
        let (access, faults) = self.parse(None);
        assert_eq!(faults, []);
        access
    }
}

fn file(content: &Option<String>) -> FileState<'_> {
    content.as_ref().map_or(FileState::Absent, |content| FileState::Read(content.as_bytes()))
}

fn secrets(password: &str, scram: bool) -> edit::Secrets {
    let hash = password::hash(password.as_bytes(), [9; 16], CHEAP).unwrap();
    let scram = scram.then(|| Verifier::derive(password, [8; 16], 4096).unwrap());
    edit::Secrets { password: Some(hash), scram }
}

fn logins() -> Logins {
    Logins::new(LoginLimits::default(), [1; 32])
}

fn shown<'a>(username: Option<&'a str>, password: Option<&'a str>) -> Login<'a> {
    Login {
        address: IpAddr::from([10, 0, 0, 1]),
        client_id: Some("client"),
        username,
        password: password.map(str::as_bytes),
        certificate: None,
        anonymous_allowed: false,
    }
}

/// A login to its end.
fn finish(access: &Access, logins: &mut Logins, login: &Login<'_>, now: Now) -> Result<Identity, Refusal> {
    match access.login(logins, login, now) {
        Step::Done(decided) => decided,
        Step::Compute(computation) => {
            logins.reserve(&computation, now)?;
            access.conclude(logins, computation.run(), now)
        }
    }
}

fn log_in(access: &Access, login: &Login<'_>) -> Result<Identity, Refusal> {
    finish(access, &mut logins(), login, NOW)
}

fn name(decided: &Result<Identity, Refusal>) -> Option<&str> {
    decided.as_ref().unwrap().user.as_deref()
}

fn may(access: &Access, user: Option<&str>) -> bool {
    access.may(Subject { user, client_id: "client" }, PUBLISH, "topic")
}

#[test]
fn a_node_without_any_of_it_is_open_where_the_listener_is() {
    let access = Access::open();
    assert!(access.is_open());
    let mut login = shown(Some("anybody"), Some("anything"));
    assert_eq!(log_in(&access, &login).unwrap_err(), Refusal::Anonymous);
    login.anonymous_allowed = true;
    assert_eq!(name(&log_in(&access, &login)), None);
    assert!(may(&access, None) && access.may_connect(Some("who")));
}

#[test]
fn the_right_password_gets_in_and_nothing_else() {
    let access = Node::of_alice().access();
    assert_eq!(name(&log_in(&access, &shown(Some("alice"), Some("secret")))), Some("alice"));
    for (user, password) in [("alice", "Secret"), ("alice", ""), ("bob", "secret"), ("Alice", "secret"), ("", "secret")]
    {
        assert_eq!(
            log_in(&access, &shown(Some(user), Some(password))).unwrap_err(),
            Refusal::Credentials,
            "{user} {password}"
        );
    }
    assert_eq!(log_in(&access, &shown(Some("alice"), None)).unwrap_err(), Refusal::Credentials);
    assert_eq!(log_in(&access, &shown(None, Some("secret"))).unwrap_err(), Refusal::Credentials);
    assert_eq!(Refusal::Credentials.answer(), Answer::BadCredentials);
}

#[test]
fn no_credentials_are_enough_only_where_the_listener_says_so() {
    let access = Node::of_alice().access();
    let mut login = shown(None, None);
    assert_eq!(log_in(&access, &login).unwrap_err(), Refusal::Anonymous);
    login.anonymous_allowed = true;
    assert_eq!(name(&log_in(&access, &login)), None);
    login.username = Some("alice");
    assert_eq!(log_in(&access, &login).unwrap_err(), Refusal::Credentials, "a name is a claim to be somebody");
}

#[test]
fn an_unknown_user_costs_a_computation_too() {
    let access = Node::of_alice().access();
    for user in ["alice", "bob"] {
        let step = access.login(&mut logins(), &shown(Some(user), Some("wrong")), NOW);
        assert!(matches!(step, Step::Compute(computation) if computation.is_expensive()), "{user}");
    }
}

#[test]
fn a_password_that_was_right_is_not_computed_again_until_it_changes() {
    let node = Node::of_alice();
    let (access, mut logins) = (node.access(), logins());
    let login = shown(Some("alice"), Some("secret"));
    finish(&access, &mut logins, &login, NOW).unwrap();
    assert!(matches!(access.login(&mut logins, &login, NOW), Step::Done(Ok(_))));
    let wrong = shown(Some("alice"), Some("wrong"));
    assert!(matches!(access.login(&mut logins, &wrong, NOW), Step::Compute(_)));

    let changed = edit::set_password(node.users.as_deref().unwrap(), "alice", &secrets("new", false)).unwrap();
    let changed = Node { users: Some(changed), ..node.clone() }.access();
    assert_eq!(finish(&changed, &mut logins, &login, NOW).unwrap_err(), Refusal::Credentials);

    let removed = Node { users: Some("# nobody".to_owned()), ..node }.access();
    assert_eq!(finish(&removed, &mut logins, &login, NOW).unwrap_err(), Refusal::Credentials);
}

#[test]
fn a_user_that_changes_while_the_password_is_computed_does_not_get_in() {
    let node = Node::of_alice();
    let mut logins = logins();
    let Step::Compute(computation) = node.access().login(&mut logins, &shown(Some("alice"), Some("secret")), NOW)
    else {
        panic!("nothing to compute");
    };
    let removed = Node { users: Some("# nobody".to_owned()), ..node }.access();
    assert_eq!(removed.conclude(&mut logins, computation.run(), NOW).unwrap_err(), Refusal::Credentials);
    assert_eq!(logins.statistics().accepted, 0);
}

#[test]
fn a_flood_of_wrong_passwords_is_refused_unseen_and_the_right_one_with_it() {
    let (access, mut logins) = (Node::of_alice().access(), logins());
    for _ in 0..10 {
        assert_eq!(
            finish(&access, &mut logins, &shown(Some("alice"), Some("wrong")), NOW).unwrap_err(),
            Refusal::Credentials
        );
    }
    for password in ["wrong", "secret"] {
        let refused = finish(&access, &mut logins, &shown(Some("alice"), Some(password)), NOW).unwrap_err();
        assert_eq!(
            refused,
            Refusal::Throttled { retry_in_ms: 60_000 },
            "a guess would show by being refused otherwise"
        );
        assert_eq!(refused.answer(), Answer::TooManyAttempts);
    }
    let later = Now { monotonic_ms: NOW.monotonic_ms + 60_000, ..NOW };
    assert_eq!(name(&finish(&access, &mut logins, &shown(Some("alice"), Some("secret")), later)), Some("alice"));
}

#[test]
fn a_device_that_was_right_before_is_not_locked_out_by_another_at_the_same_address() {
    let (access, mut logins) = (Node::of_alice().access(), logins());
    let right = shown(Some("alice"), Some("secret"));
    finish(&access, &mut logins, &right, NOW).unwrap();
    for _ in 0..20 {
        let _ = finish(&access, &mut logins, &shown(Some("mallory"), Some("wrong")), NOW);
    }
    assert!(finish(&access, &mut logins, &shown(Some("mallory"), Some("wrong")), NOW).is_err());
    assert_eq!(name(&finish(&access, &mut logins, &right, NOW)), Some("alice"));
}

#[test]
fn too_many_computations_are_refused_without_blame() {
    let access = Node::of_alice().access();
    let limits =
        LoginLimits { computations_burst: 4, computations_per_s: 0, failures_max: 100, ..LoginLimits::default() };
    let mut logins = Logins::new(limits, [1; 32]);
    let outcomes: Vec<_> =
        (0..5).map(|_| finish(&access, &mut logins, &shown(Some("bob"), Some("x")), NOW).unwrap_err()).collect();
    assert_eq!(outcomes[..3], [const { Refusal::Credentials }; 3]);
    assert_eq!(outcomes[3..], [const { Refusal::Busy }; 2], "a quarter is kept for known users");
    assert_eq!(logins.statistics().over_budget, 2);
    assert_eq!(logins.statistics().failed, 3);
}

#[test]
fn tokens_are_passwords_whose_user_name_is_theirs_or_none() {
    let access = Node::with_tokens().access();
    let token = hs256(json!({"sub": "device-7"}));
    for username in [None, Some(""), Some(TOKEN_USER_NAME), Some("device-7")] {
        assert_eq!(name(&log_in(&access, &shown(username, Some(&token)))), Some("device-7"), "{username:?}");
    }
    assert_eq!(log_in(&access, &shown(Some("alice"), Some(&token))).unwrap_err(), Refusal::OtherUser);
    assert_eq!(name(&log_in(&access, &shown(Some("alice"), Some("secret")))), Some("alice"));
}

#[test]
fn without_keys_a_token_is_a_password_like_others() {
    let access = Node::of_alice().access();
    assert_eq!(log_in(&access, &shown(Some("alice"), Some(&hs256(json!({}))))).unwrap_err(), Refusal::Credentials);
}

#[test]
fn a_token_bound_to_a_client_is_good_for_that_client() {
    let access = Node::with_tokens().access();
    let token = |client: &str| hs256(json!({"client_id": client}));
    assert!(log_in(&access, &shown(None, Some(&token("client")))).is_ok());
    assert_eq!(log_in(&access, &shown(None, Some(&token("other")))).unwrap_err(), Refusal::OtherClient);
    let over_http = Login { client_id: None, ..shown(None, None) };
    let token = token("other");
    assert!(log_in(&access, &Login { password: Some(token.as_bytes()), ..over_http }).is_ok());
}

#[test]
fn an_expired_token_is_no_guess_and_a_forged_one_is() {
    let access = Node::with_tokens().access();
    let tried = |token: &str| {
        let mut logins = logins();
        let refusal = finish(&access, &mut logins, &shown(None, Some(token)), NOW).unwrap_err();
        (refusal, logins.statistics().failed)
    };
    assert_eq!(tried(&hs256(json!({"exp": 1}))), (Refusal::Token(TokenRefusal::Expired), 0));
    let forged = hs256(json!({})) + "AAAA";
    assert_eq!(tried(&forged), (Refusal::Token(TokenRefusal::Signature), 1));
}

#[test]
fn a_session_ends_with_its_token() {
    let access = Node::with_tokens().access();
    let token = hs256(json!({"exp": GOOD_AT_MS / 1000 + 100}));
    let identity = log_in(&access, &shown(None, Some(&token))).unwrap();
    assert_eq!(identity.expires_in, Some(Duration::from_secs(160)), "with the leeway");
    let untrusted = Now { wall_ms: None, ..NOW };
    let refused = finish(&access, &mut logins(), &shown(None, Some(&token)), untrusted).unwrap_err();
    assert_eq!(refused, Refusal::Token(TokenRefusal::ClockNotTrusted));
}

#[test]
fn what_a_token_says_decides_but_a_rule_that_denies_wins() {
    let rules =
        "[[rule]]\npublish = [\"node/#\"]\n[[rule]]\nwho = \"everyone\"\ndeny_publish = [\"secret\"]\napi = [\"read\"]";
    let access = Node { rules: Some(rules.to_owned()), ..Node::with_tokens() }.access();
    let decide = |claims: Value, topic: &str| {
        let identity = log_in(&access, &shown(None, Some(&hs256(claims)))).unwrap();
        let subject = Subject { user: identity.user.as_deref(), client_id: "client" };
        let said = identity.grant.allows("client", PUBLISH, topic);
        (access.may_with(subject, said, PUBLISH, topic), access.may_use_api(&identity.grant, ApiRight::Read))
    };
    assert_eq!(decide(json!({"publish": ["token/#", "secret"]}), "token/x"), (true, false));
    assert_eq!(decide(json!({"publish": ["token/#", "secret"]}), "node/x"), (false, false));
    assert_eq!(decide(json!({"publish": ["token/#", "secret"]}), "secret"), (false, false));
    assert_eq!(decide(json!({"publish": ["token/#"], "api": ["read"]}), "token/x"), (true, true));
    assert_eq!(decide(json!({}), "node/x"), (true, true), "a token that says nothing leaves it to the rules");
    assert_eq!(decide(json!({}), "token/x"), (false, true));
}

#[test]
fn the_name_in_a_certificate_is_the_user() {
    let (der, _) = issued("sensor", 7, &[]);
    let node = Node { certificates: true, ..Node::of_alice() };
    let access = node.access();
    let with_certificate = |username| Login { certificate: Some(&der), ..shown(username, None) };
    assert_eq!(name(&log_in(&access, &with_certificate(None))), Some("sensor"));
    assert_eq!(name(&log_in(&access, &with_certificate(Some("sensor")))), Some("sensor"));
    assert_eq!(log_in(&access, &with_certificate(Some("alice"))).unwrap_err(), Refusal::OtherUser);
    assert_eq!(name(&log_in(&access, &shown(Some("alice"), Some("secret")))), Some("alice"), "without one, a password");
    let broken = Login { certificate: Some(b"x"), ..shown(Some("alice"), Some("secret")) };
    assert!(matches!(log_in(&access, &broken), Err(Refusal::Certificate(_))));
}

#[test]
fn a_revoked_certificate_is_refused_and_ends_what_stands() {
    let (der, list) = issued("sensor", 7, &[7]);
    let login = Login { certificate: Some(&der), ..shown(None, None) };
    let before = Node { certificates: true, ..Node::of_alice() };
    let identity = log_in(&before.access(), &login).unwrap();
    assert!(before.access().stands(&identity.grant));
    let after = Node { revoked: Some(list), ..before }.access();
    assert!(!after.stands(&identity.grant));
    assert_eq!(log_in(&after, &login).unwrap_err(), Refusal::Revoked);
}

#[test]
fn a_disabled_user_is_refused_with_every_kind_of_credentials() {
    let (der, _) = issued("alice", 7, &[]);
    let node = Node { certificates: true, ..Node::with_tokens() };
    let with_scram = edit::set_password(node.users.as_deref().unwrap(), "alice", &secrets("secret", true)).unwrap();
    let node = Node { users: Some(with_scram), ..node };
    let (password, token) = (shown(Some("alice"), Some("secret")), hs256(json!({})));
    let (token, certificate) = (shown(None, Some(&token)), Login { certificate: Some(&der), ..shown(None, None) });
    let grants: Vec<_> = [&password, &token, &certificate]
        .map(|login| log_in(&node.access(), login).unwrap().grant)
        .into_iter()
        .collect();

    let users = edit::set_disabled(node.users.as_deref().unwrap(), "alice", true).unwrap();
    let disabled = Node { users: Some(users), ..node }.access();
    assert_eq!(log_in(&disabled, &password).unwrap_err(), Refusal::Credentials);
    assert_eq!(log_in(&disabled, &token).unwrap_err(), Refusal::Disabled);
    assert_eq!(log_in(&disabled, &certificate).unwrap_err(), Refusal::Disabled);
    assert_eq!(
        scram(&disabled, &mut logins(), "alice", "secret").unwrap_err(),
        Refusal::Scram(crate::scram::ServerError::Proof)
    );
    assert!(grants.iter().all(|grant| !disabled.stands(grant)) && !disabled.may_connect(Some("alice")));
}

#[test]
fn what_stands_falls_with_its_user_password_or_key() {
    let node = Node::with_tokens();
    let access = node.access();
    let by_password = log_in(&access, &shown(Some("alice"), Some("secret"))).unwrap().grant;
    let by_token = log_in(&access, &shown(None, Some(&hs256(json!({}))))).unwrap().grant;
    assert!(access.stands(&by_password) && access.stands(&by_token));

    let users = edit::set_password(node.users.as_deref().unwrap(), "alice", &secrets("new", false)).unwrap();
    assert!(!Node { users: Some(users), ..node.clone() }.access().stands(&by_password));
    let nobody = Node { users: Some("# nobody".to_owned()), ..node.clone() }.access();
    assert!(!nobody.stands(&by_password));
    assert!(nobody.stands(&by_token), "users of tokens need not be in the file");
    assert!(!Node { secret: Some(vec![7; 32]), ..node }.access().stands(&by_token));
}

#[test]
fn a_session_from_before_a_restart_goes_on_if_its_user_is_there() {
    let access = Node::of_alice().access();
    assert!(access.may_connect(Some("alice")) && access.may_connect(None));
    assert!(!access.may_connect(Some("bob")));
    assert!(Node::with_tokens().access().may_connect(Some("bob")), "may come from a token");
}

/// An exchange to its end, in which the client believes the password to be `password`.
fn scram(access: &Access, logins: &mut Logins, user: &str, password: &str) -> Result<Identity, Refusal> {
    let (client, first) = Client::start(user, password, [4; NONCE_BYTES]).unwrap();
    let (exchange, answer) = access.scram_start(logins, &shown(None, None), &first, [5; NONCE_BYTES], NOW)?;
    let (client, last) = client.answer(&answer).unwrap();
    let identity = access.scram_finish(logins, exchange, &last, NOW)?;
    assert_eq!(client.verify(&identity.data), Ok(()));
    Ok(identity)
}

#[test]
fn scram_lets_in_who_knows_the_password() {
    let users = edit::add_user("", "alice", &secrets("secret", true), None).unwrap();
    let users = edit::add_user(&users, "bob", &secrets("secret", false), None).unwrap();
    let node = Node { users: Some(users), ..Node::of_alice() };
    let access = node.access();
    let identity = scram(&access, &mut logins(), "alice", "secret").unwrap();
    assert_eq!(identity.user.as_deref(), Some("alice"));
    assert!(access.stands(&identity.grant));
    let wrong = Refusal::Scram(crate::scram::ServerError::Proof);
    for (user, password) in [("alice", "wrong"), ("bob", "secret"), ("ghost", "secret")] {
        assert_eq!(scram(&access, &mut logins(), user, password).unwrap_err(), wrong, "{user} {password}");
    }
    let changed = edit::set_password(node.users.as_deref().unwrap(), "alice", &secrets("new", true)).unwrap();
    assert!(!Node { users: Some(changed), ..node }.access().stands(&identity.grant));
}

#[test]
fn scram_is_limited_by_address_like_passwords() {
    let users = edit::add_user("", "alice", &secrets("secret", true), None).unwrap();
    let (access, mut logins) = (Node { users: Some(users), ..Node::of_alice() }.access(), logins());
    for _ in 0..10 {
        assert!(matches!(scram(&access, &mut logins, "alice", "wrong"), Err(Refusal::Scram(_))));
    }
    assert!(matches!(scram(&access, &mut logins, "alice", "secret"), Err(Refusal::Throttled { .. })));
    let login = shown(Some("alice"), Some("secret"));
    assert!(matches!(finish(&access, &mut logins, &login, NOW), Err(Refusal::Throttled { .. })));
}

#[test]
fn the_user_name_beside_scram_must_be_the_same() {
    let access = Node::of_alice().access();
    let (_, first) = Client::start("alice", "secret", [4; NONCE_BYTES]).unwrap();
    let start =
        |username| access.scram_start(&mut logins(), &shown(username, None), &first, [5; NONCE_BYTES], NOW).map(|_| ());
    assert_eq!((start(None), start(Some("")), start(Some("alice"))), (Ok(()), Ok(()), Ok(())));
    assert_eq!(start(Some("bob")), Err(Refusal::OtherUser));
}

/// Ways in which a file can be bad, and the beginning of what is said.
fn bad_files() -> [FileState<'static>; 5] {
    [
        FileState::Unreadable("no such file"),
        FileState::Read(b""),
        FileState::Read(b" \n"),
        FileState::Read(b"\n\xff"),
        FileState::Read(b"]["),
    ]
}

#[test]
fn while_a_file_is_bad_nobody_who_needs_it_gets_in_and_who_is_in_stays() {
    let (der, list) = issued("sensor", 7, &[9]);
    let node = Node { certificates: true, revoked: Some(list), ..Node::with_tokens() };
    let good = node.access();
    let token = hs256(json!({}));
    let password = shown(Some("alice"), Some("secret"));
    let token = shown(None, Some(&token));
    let certificate = Login { certificate: Some(&der), ..shown(None, None) };
    let anonymous = Login { anonymous_allowed: true, ..shown(None, None) };
    let grants = [&password, &token, &certificate].map(|login| log_in(&good, login).unwrap().grant);
    for bad in bad_files() {
        for part in [Part::Users, Part::Rules, Part::Revoked, Part::Keys(0)] {
            let (users, rules, revoked) = (node.users.clone(), node.rules.clone(), node.revoked.clone());
            let or_bad = |this, state| if part == this { bad } else { state };
            let sources = Sources {
                users: or_bad(Part::Users, file(&users)),
                rules: or_bad(Part::Rules, file(&rules)),
                revoked: or_bad(Part::Revoked, file(&revoked)),
                keys: vec![KeySource {
                    format: KeyFormat::Secret,
                    content: or_bad(Part::Keys(0), FileState::Read(HS256_SECRET)),
                }],
                tokens: TokenRules { algorithms: vec![Algorithm::Hs256], ..TokenRules::default() },
                certificate_name: Some(NameFrom::CommonName),
                node_key: [3; 32],
            };
            let (access, faults) = Access::parse(&sources, Some(&good));
            assert_eq!(faults.iter().map(|fault| fault.part).collect::<Vec<_>>(), [part]);
            let is_refused = |login: &Login<'_>| match log_in(&access, login) {
                Ok(_) => false,
                Err(refusal) => {
                    assert_eq!(refusal.answer(), Answer::Unavailable, "{part:?} {bad:?}: {refusal}");
                    true
                }
            };
            let refused = [&password, &token, &certificate, &anonymous].map(is_refused);
            let expected = match part {
                Part::Users => [true, false, false, false],
                Part::Rules => [true, true, true, true],
                Part::Revoked => [false, false, true, false],
                Part::Keys(_) => [false, true, false, false],
            };
            assert_eq!(refused, expected, "{part:?} {bad:?}");
            assert!(grants.iter().all(|grant| access.stands(grant)), "{part:?} {bad:?}");
            assert!(may(&access, Some("alice")), "{part:?} {bad:?}");
        }
    }
}

#[test]
fn a_node_that_starts_with_a_bad_file_lets_nobody_do_anything_that_needs_it() {
    for bad in ["", "]["] {
        let access = Node { rules: Some(bad.to_owned()), ..Node::of_alice() }.parse(None).0;
        assert!(!may(&access, Some("alice")) && !may(&access, None) && !access.is_open());

        let node = Node { users: Some(bad.to_owned()), ..Node::with_tokens() };
        let access = node.parse(None).0;
        assert!(!access.is_open());
        for login in [shown(Some("alice"), Some("secret")), shown(None, Some(&hs256(json!({}))))] {
            assert_eq!(
                log_in(&access, &login).unwrap_err().answer(),
                Answer::Unavailable,
                "nobody knows who is disabled"
            );
        }
        assert!(access.may_connect(Some("alice")), "sessions of before wait until it is mended");
    }
}

#[test]
fn a_mended_file_counts_at_once() {
    let node = Node::of_alice();
    let good = node.access();
    let broken = Node { users: Some("][".to_owned()), ..node.clone() }.parse(Some(&good)).0;
    let (mended, faults) = node.parse(Some(&broken));
    assert_eq!(faults, []);
    assert!(log_in(&mended, &shown(Some("alice"), Some("secret"))).is_ok());
}

#[test]
fn a_file_that_was_there_and_is_gone_does_not_open_the_node() {
    let good = Node::of_alice().access();
    let gone = Node { users: None, rules: None, ..Node::of_alice() };
    let (access, faults) = gone.parse(Some(&good));
    assert_eq!(faults.len(), 2);
    assert!(!access.is_open() && may(&access, Some("alice")));
    let mut login = shown(Some("alice"), Some("secret"));
    login.anonymous_allowed = true;
    assert_eq!(log_in(&access, &login).unwrap_err().answer(), Answer::Unavailable);
    let (access, faults) = gone.parse(Some(&access));
    assert!(!access.is_open() && faults.len() == 2, "nor the second time");
}

#[test]
fn a_valid_file_without_users_is_for_nobody() {
    let node = Node::of_alice();
    let grant = log_in(&node.access(), &shown(Some("alice"), Some("secret"))).unwrap().grant;
    let (access, faults) = Node { users: Some("# nobody".to_owned()), ..node.clone() }.parse(Some(&node.access()));
    assert_eq!(faults, []);
    assert!(!access.stands(&grant) && !access.may_connect(Some("alice")) && !access.is_open());
}

#[test]
fn tokens_without_users_and_rules_leave_local_clients_alone_and_allow_only_what_they_say() {
    let node = Node { users: None, rules: None, ..Node::with_tokens() };
    let access = node.access();
    assert!(!access.is_open());
    assert!(may(&access, None) && !may(&access, Some("alice")));
    assert!(access.may_with(Subject { user: Some("alice"), client_id: "c" }, Some(true), PUBLISH, "topic"));
    let users_only = Node { rules: None, ..Node::of_alice() }.access();
    assert!(!may(&users_only, None) && !may(&users_only, Some("alice")), "users without rules may do nothing");
}

#[test]
fn faults_lead_to_line_and_key() {
    let users = "[users.alice]\npassword = \"secret\"".to_owned();
    let (_, faults) = Node { users: Some(users), ..Node::of_alice() }.parse(None);
    assert!(faults[0].to_string().starts_with("line 2: users.alice.password: is no PHC string"), "{}", faults[0]);
    let sources = Sources {
        users: FileState::Read(b"# a\n\xff"),
        rules: FileState::Absent,
        revoked: FileState::Absent,
        keys: Vec::new(),
        tokens: TokenRules::default(),
        certificate_name: None,
        node_key: [0; 32],
    };
    assert_eq!(Access::parse(&sources, None).1[0].to_string(), "line 2: is not UTF-8");
}

#[test]
fn several_sources_of_keys_count_together() {
    let secrets = [[1u8; 32], [2; 32]];
    let keys = secrets.iter().map(|secret| KeySource { format: KeyFormat::Secret, content: FileState::Read(secret) });
    let sources = Sources {
        users: FileState::Absent,
        rules: FileState::Absent,
        revoked: FileState::Absent,
        keys: keys.collect(),
        tokens: TokenRules::default(),
        certificate_name: None,
        node_key: [0; 32],
    };
    let (access, faults) = Access::parse(&sources, None);
    assert_eq!(faults, []);
    assert_eq!(access.keys.last_good().unwrap().len(), 2);
}

#[test]
fn nothing_secret_shows_in_debug_output() {
    let node = Node::with_tokens();
    let access = node.access();
    let login = shown(Some("alice"), Some("hunter2"));
    let step = access.login(&mut logins(), &login, NOW);
    let shown = format!("{access:?} {login:?} {step:?}");
    for secret in ["hunter2", "0123456789abcdef", "argon2id$", "[3, 3, 3"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

proptest! {
    #[test]
    fn no_login_makes_a_decision_panic(
        username in prop::option::of("\\PC{0,10}|alice"),
        password in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        certificate in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        anonymous_allowed in any::<bool>(),
    ) {
        let access = Node { certificates: true, ..Node::with_tokens() }.access();
        let login = Login {
            username: username.as_deref(),
            password: password.as_deref(),
            certificate: certificate.as_deref(),
            anonymous_allowed,
            ..shown(None, None)
        };
        let decided = log_in(&access, &login);
        prop_assert!(decided.is_err() || (anonymous_allowed && password.is_none() && certificate.is_none()));
        let data = password.clone().unwrap_or_default();
        prop_assert!(access.scram_start(&mut logins(), &login, &data, [5; NONCE_BYTES], NOW).is_err() || data.starts_with(b"n,"));
    }
}
