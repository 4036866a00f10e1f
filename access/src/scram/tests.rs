//! The example of RFC 7677, the exchange against our own client, and everything that must not work.

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::{verifier::prepare, *};

const NONCE: [u8; NONCE_BYTES] = [7; NONCE_BYTES];

fn verifier() -> Verifier {
    Verifier::derive("pencil", [1; 16], ITERATIONS_MIN).unwrap()
}

/// All messages of an exchange in which the client knows `password`.
fn exchange(user: &str, password: &str) -> Result<Accepted, ServerError> {
    let (client, first) = Client::start(user, password, [3; NONCE_BYTES]).unwrap();
    let (server, answer) = Server::start(&first, NONCE, |_| verifier()).unwrap();
    let (client, last) = client.answer(&answer).unwrap();
    let accepted = server.finish(&last)?;
    client.verify(&accepted.data).expect("the server knows the password");
    Ok(accepted)
}

/// RFC 7677, 3. The server's nonce there is not base64 of eighteen bytes, so it is checked from the client's side and by its keys.
#[test]
fn the_example_of_rfc_7677_comes_out() {
    let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
    let (client, first) = Client::with_nonce("user", prepare("pencil").unwrap(), nonce);
    assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let server_first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let (client, last) = client.answer(server_first).unwrap();
    assert_eq!(
        last,
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    assert_eq!(client.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
}

#[test]
fn the_server_accepts_the_example_of_rfc_7677() {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let verifier = Verifier::derive("pencil", salt.try_into().unwrap(), 4096).unwrap();
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let server = Server::of_example(verifier, nonce);
    let last = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    let accepted = server.finish(last.as_bytes()).unwrap();
    assert_eq!(accepted.data, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_eq!(accepted.user, "user");
}

#[test]
fn who_knows_the_password_gets_in_and_others_do_not() {
    assert_eq!(exchange("user", "pencil").unwrap().user, "user");
    assert_eq!(exchange("user", "Pencil"), Err(ServerError::Proof));
    assert_eq!(exchange("a=b,c", "pencil").unwrap().user, "a=b,c");
}

#[test]
fn names_and_passwords_are_prepared() {
    // RFC 4013, 3: soft hyphen goes, the Roman numeral nine becomes letters.
    assert_eq!(exchange("I\u{ad}X", "pencil").unwrap().user, "IX");
    let (client, first) = Client::start("u", "\u{2168}", [3; NONCE_BYTES]).unwrap();
    let stored = Verifier::derive("IX", [1; 16], ITERATIONS_MIN).unwrap();
    let (server, answer) = Server::start(&first, NONCE, |_| stored).unwrap();
    assert!(server.finish(&client.answer(&answer).unwrap().1).is_ok());
    assert_eq!(Verifier::derive("\u{7}", [1; 16], ITERATIONS_MIN), Err(DeriveVerifierError::Password));
    assert_eq!(Verifier::derive("", [1; 16], ITERATIONS_MIN), Err(DeriveVerifierError::Password));
}

#[test]
fn a_user_that_does_not_exist_answers_like_one_that_does() {
    let first = b"n,,n=ghost,r=abc";
    let start = |name: &[u8]| Server::start(name, NONCE, |user| fake_verifier(user, &[5; 32], Some(4096))).unwrap().1;
    let answer = String::from_utf8(start(first)).unwrap();
    let salt = answer.split(",s=").nth(1).unwrap().split(',').next().unwrap();
    assert_eq!(STANDARD.decode(salt).unwrap().len(), 16, "as long as that of a real one");
    assert_eq!(start(first), start(first), "always the same salt");
    assert_ne!(start(first), start(b"n,,n=ghost2,r=abc"));
    assert_ne!(fake_verifier("ghost", &[5; 32], None), fake_verifier("ghost", &[6; 32], None));

    let (client, first) = Client::start("ghost", "pencil", [3; NONCE_BYTES]).unwrap();
    let (server, answer) = Server::start(&first, NONCE, |user| fake_verifier(user, &[5; 32], None)).unwrap();
    assert_eq!(server.finish(&client.answer(&answer).unwrap().1), Err(ServerError::Proof));
}

#[test]
fn channel_binding_and_extensions_are_refused() {
    let start = |first: &str| Server::start(first.as_bytes(), NONCE, |_| verifier()).map(|_| ());
    assert_eq!(start("n,,n=user,r=abc"), Ok(()));
    assert_eq!(start("y,,n=user,r=abc"), Ok(()));
    assert_eq!(start("n,a=user,n=user,r=abc"), Ok(()));
    assert_eq!(start("n,,n=user,r=abc,x=ignored"), Ok(()));
    assert_eq!(start("p=tls-unique,,n=user,r=abc"), Err(ServerError::Unsupported));
    assert_eq!(start("n,,m=ext,n=user,r=abc"), Err(ServerError::Unsupported));
    assert_eq!(start("n,a=admin,n=user,r=abc"), Err(ServerError::OtherUser));
    for malformed in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=user",
        "n,,n=user,r=",
        "n,,r=abc,n=user",
        "n,,n=,r=abc",
        "n,,n=a=b,r=abc",
        "x,,n=user,r=abc",
        "n,,n=user,r=a b",
    ] {
        assert_eq!(start(malformed), Err(ServerError::Malformed), "{malformed}");
    }
}

#[test]
fn a_final_message_must_belong_to_the_first() {
    let finish = |change: &dyn Fn(String) -> String| {
        let (client, first) = Client::start("user", "pencil", [3; NONCE_BYTES]).unwrap();
        let (server, answer) = Server::start(&first, NONCE, |_| verifier()).unwrap();
        let last = String::from_utf8(client.answer(&answer).unwrap().1).unwrap();
        server.finish(change(last).as_bytes()).map(|_| ())
    };
    assert_eq!(finish(&|last| last), Ok(()));
    assert_eq!(finish(&|last| last.replace("c=biws", "c=eSws")), Err(ServerError::Mismatch), "y,, after n,,");
    assert_eq!(finish(&|last| last.replacen("r=", "r=x", 1)), Err(ServerError::Mismatch));
    assert_eq!(
        finish(&|last| last.replace(",p=", ",x=1,p=")),
        Err(ServerError::Proof),
        "an extension that was not signed"
    );
    assert_eq!(finish(&|last| last.replace(",p=", ",q=")), Err(ServerError::Malformed));
    assert_eq!(finish(&|last| last[..last.len() - 4].to_owned()), Err(ServerError::Malformed));
}

#[test]
fn messages_are_bounded() {
    let first = |length: usize| format!("n,,n=user,r={}", "a".repeat(length - 12)).into_bytes();
    assert!(Server::start(&first(MESSAGE_BYTES_MAX), NONCE, |_| verifier()).is_ok());
    assert!(Server::start(&first(MESSAGE_BYTES_MAX + 1), NONCE, |_| verifier()).is_err());
}

#[test]
fn the_client_does_not_follow_an_unsafe_server() {
    let answer = |server_first: &str| {
        let (client, _) = Client::with_nonce("user", prepare("pencil").unwrap(), "abc".to_owned());
        client.answer(server_first.as_bytes()).map(|_| ())
    };
    assert_eq!(answer("r=abcd,s=c2FsdHNhbHQ=,i=4096"), Ok(()));
    assert_eq!(answer("r=abcd,s=c2FsdHNhbHQ=,i=4095"), Err(ClientError::Unsafe));
    assert_eq!(answer("r=abcd,s=c2FsdHNhbHQ=,i=1000001"), Err(ClientError::Unsafe));
    assert_eq!(answer("r=abc,s=c2FsdHNhbHQ=,i=4096"), Err(ClientError::Unsafe), "no nonce of the server");
    assert_eq!(answer("r=xyz,s=c2FsdHNhbHQ=,i=4096"), Err(ClientError::Unsafe));
    assert_eq!(answer("r=abcd,i=4096"), Err(ClientError::Malformed));

    let (client, first) = Client::start("user", "pencil", [3; NONCE_BYTES]).unwrap();
    let (_, answer) = Server::start(&first, NONCE, |_| verifier()).unwrap();
    let (client, _) = client.answer(&answer).unwrap();
    assert_eq!(client.verify(format!("v={}", STANDARD.encode([0; 32])).as_bytes()), Err(ClientError::Signature));
}

#[test]
fn a_stored_verifier_is_read_as_it_was_written() {
    let text = verifier().to_string();
    assert_eq!(Verifier::parse(&text), Ok(verifier()));
    assert_eq!(Verifier::parse(&text.replace("4096", "4095")), Err(VerifierProblem::Iterations));
    assert_eq!(Verifier::parse(&text.replace("4096", "1000001")), Err(VerifierProblem::Iterations));
    assert!(Verifier::parse(&text.replace("4096", "1000000")).is_ok());
    assert_eq!(Verifier::parse(&text.replace("SHA-256", "SHA-1")), Err(VerifierProblem::Form));
    assert_eq!(Verifier::parse(""), Err(VerifierProblem::Form));
    assert!(!format!("{:?}", verifier()).contains(&text[30..40]));
}

proptest! {
    #[test]
    fn no_message_makes_either_side_panic(data in prop::collection::vec(any::<u8>(), 0..80), text in "[nyprsicv=,a+/0-9]{0,40}") {
        for data in [&data, text.as_bytes()] {
            let _ = Server::start(data, NONCE, |_| verifier());
            let (client, first) = Client::with_nonce("user", prepare("pencil").unwrap(), "abc".to_owned());
            let (server, _) = Server::start(&first, NONCE, |_| verifier()).unwrap();
            let _ = server.finish(data);
            let _ = client.answer(data);
            let _ = Verifier::parse(&text);
        }
    }
}
