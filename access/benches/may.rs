//! Nanoseconds per decision of the rules, as it is taken for every message; and microseconds of the logins that are computed.
//!
//! The median of many rounds counts. `cargo bench -p selvedge-access`.

use std::{hint::black_box, net::IpAddr, time::Instant};

use selvedge_access::{
    Access, FileState, Login, LoginLimits, Logins, Now, Operation, Sources, Step, Subject, TokenRules,
    password::{self, PasswordCost},
    rules::starting_rules,
    token::{KeyFormat, Keys, verify},
    users::edit::{Secrets, add_user},
};

/// Decisions in one round.
const DECISIONS: u32 = 10_000;
const ROUNDS: usize = 101;

const PUBLISH: Operation = Operation::Publish { retain: false };
const RETAIN: Operation = Operation::Publish { retain: true };

const ES256_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const ES256_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const RS256_KEY: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const RS256_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

fn main() {
    println!("{:<64} {:>9}", "may, one decision", "ns");
    let access = access(&plant_rules(0));
    let subject = Subject { user: Some("sensor-17"), client_id: "gateway-3" };
    row("20 rules: plain publish, allowed", &access, subject, PUBLISH, "plant/3/temperature");
    row("20 rules: publish under %u, allowed", &access, subject, PUBLISH, "sensors/sensor-17/temperature");
    row("20 rules: retained publish, allowed", &access, subject, RETAIN, "plant/3/temperature");
    row("20 rules: publish, denied", &access, subject, PUBLISH, "plant/3/secret/key");
    row("20 rules: publish, nothing allows it", &access, subject, PUBLISH, "elsewhere/3/temperature");
    row("20 rules: subscribe, allowed", &access, subject, Operation::Subscribe, "commands/sensor-17/#");
    let starting = self::access(starting_rules());
    row("starting rules: plain publish", &starting, subject, PUBLISH, "plant/3/temperature");
    let per_device = self::access(&device_rules(1_000));
    row("1,000 rules for one user each: publish", &per_device, subject, PUBLISH, "sensors/sensor-17/temperature");
    let patterns = self::access(&plant_rules(980));
    row("1,000 rules for patterns, 980 for one first level: refused", &patterns, subject, PUBLISH, "many/17/x");

    println!("\n{:<64} {:>9}", "login, one", "µs");
    logins(starting_rules());
}

/// Twenty rules of a plant, and `more` that all begin with the same level.
fn plant_rules(more: usize) -> String {
    let mut text = String::from(
        "[[rule]]\nwho = \"everyone\"\ndeny_publish = [\"plant/+/secret/#\"]\ndeny_subscribe = [\"plant/+/secret/#\"]\n\
         [[rule]]\nusers = [\"sensor-*\"]\npublish = [\"sensors/%u/#\", \"status/%c\"]\nsubscribe = [\"commands/%u/#\"]\n\
         [[rule]]\nusers = [\"sensor-*\"]\npublish = [\"plant/+/temperature\", \"plant/+/pressure\"]\n",
    );
    for rule in 3..20 {
        text += &format!(
            "[[rule]]\nusers = [\"group-{rule}-*\"]\npublish = [\"area-{rule}/#\", \"plant/{rule}/x\"]\nsubscribe = [\"area-{rule}/+\"]\n"
        );
    }
    for rule in 0..more {
        text += &format!("[[rule]]\nusers = [\"many-{rule}-*\"]\npublish = [\"many/{rule}/#\"]\n");
    }
    text
}

fn device_rules(count: usize) -> String {
    (0..count).fold(String::new(), |text, device| {
        format!("{text}[[rule]]\nusers = [\"sensor-{device}\"]\npublish = [\"sensors/%u/#\"]\n")
    })
}

fn access(rules: &str) -> Access {
    let cost = PasswordCost::default();
    let secrets = Secrets { password: Some(password::hash(b"secret", [1; 16], cost).expect("valid")), scram: None };
    let users = add_user("", "sensor-17", &secrets, None).expect("valid");
    let sources = Sources {
        users: FileState::Read(users.as_bytes()),
        rules: FileState::Read(rules.as_bytes()),
        revoked: FileState::Absent,
        keys: Vec::new(),
        tokens: TokenRules::default(),
        certificate_name: None,
        node_key: [0; 32],
    };
    let (access, faults) = Access::parse(&sources, None);
    assert_eq!(faults, []);
    access
}

fn row(name: &str, access: &Access, subject: Subject<'_>, operation: Operation, topic: &str) {
    let ns = median(|| {
        let start = Instant::now();
        for _ in 0..DECISIONS {
            black_box(access.may(black_box(subject), operation, black_box(topic)));
        }
        start.elapsed().as_nanos() as f64 / f64::from(DECISIONS)
    });
    println!("{name:<64} {ns:>9.1}");
}

fn logins(rules: &str) {
    let access = access(rules);
    let mut logins = Logins::new(LoginLimits::default(), [7; 32]);
    let now = Now { wall_ms: None, monotonic_ms: 0 };
    let login = Login {
        address: IpAddr::from([10, 0, 0, 1]),
        client_id: Some("c"),
        username: Some("sensor-17"),
        password: Some(b"secret"),
        certificate: None,
        anonymous_allowed: false,
    };
    let mut computed_us: Vec<f64> = (0..11)
        .map(|_| {
            let Step::Compute(computation) =
                access.login(&mut Logins::new(LoginLimits::default(), [7; 32]), &login, now)
            else {
                panic!("a first login is computed");
            };
            let start = Instant::now();
            let computed = computation.run();
            let us = start.elapsed().as_secs_f64() * 1e6;
            access.conclude(&mut logins, computed, now).expect("the password is right");
            us
        })
        .collect();
    computed_us.sort_by(f64::total_cmp);
    println!("{:<64} {:>9.1}", "argon2id, 19 MiB, two passes", computed_us[5]);
    let us = median(|| {
        let start = Instant::now();
        for _ in 0..100 {
            assert!(matches!(black_box(access.login(&mut logins, &login, now)), Step::Done(Ok(_))));
        }
        start.elapsed().as_secs_f64() * 1e6 / 100.0
    });
    println!("{:<64} {us:>9.1}", "the same password again");
    token("token, ES256", ES256_KEY, ES256_TOKEN);
    token("token, RS256", RS256_KEY, RS256_TOKEN);
}

/// The examples of RFC 7515, A.2 and A.3, at a time when they were good.
fn token(name: &str, key: &str, token: &str) {
    let keys = Keys::parse(KeyFormat::Jwks, key.as_bytes()).expect("a key");
    let rules = TokenRules { user_claim: "iss".to_owned(), ..TokenRules::default() };
    let us = median(|| {
        let start = Instant::now();
        for _ in 0..10 {
            black_box(verify(token, &keys, &rules, Some(1_300_819_000_000)).expect("good"));
        }
        start.elapsed().as_secs_f64() * 1e6 / 10.0
    });
    println!("{name:<64} {us:>9.1}");
}

fn median(mut round: impl FnMut() -> f64) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
