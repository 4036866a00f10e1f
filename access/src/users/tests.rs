//! Users files: reading, mistakes, changing.

use proptest::prelude::*;

use super::{edit::*, *};
use crate::password;

const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";
const OTHER_HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$b3RoZXJzYWx0$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";

fn file() -> String {
    format!(
        "# my users\n\n[users.zoe]\npassword = \"{HASH}\" # old\n\n# the boss\n[users.\"al ice\"]\npassword = '{HASH}'\ncomment = \"c\"\n"
    )
}

fn users(text: &str) -> Users {
    Users::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn error(text: &str) -> String {
    Users::parse(text).expect_err(text).to_string()
}

fn secrets(hash: &str) -> Secrets {
    Secrets { password: Some(hash.to_owned()), scram: None }
}

#[test]
fn users_are_listed_in_order_of_their_names() {
    let users = users(&file());
    let names: Vec<_> = users.list().map(|user| user.name).collect();
    assert_eq!(names, ["al ice", "zoe"]);
    assert_eq!(users.list().next().unwrap().comment, Some("c"));
    assert!(users.get("zoe").unwrap().password.is_some() && users.get("bob").is_none());
}

#[test]
fn a_comment_alone_is_a_file_without_users() {
    assert!(users("# nobody").is_empty());
    assert!(users("[users]").is_empty());
    assert_eq!(Users::parse("").unwrap_err(), UsersError::Empty);
    assert_eq!(Users::parse(" \n\t").unwrap_err(), UsersError::Empty);
}

#[test]
fn mistakes_are_told_with_line_and_key_and_without_secrets() {
    assert_eq!(
        error("[users.a]\n\n[users.b]\npassword = \"hunter2\""),
        "line 4: users.b.password: is no PHC string such as $argon2id$v=19$m=19456,t=2,p=1$salt$hash"
    );
    assert!(error("[users.\"b.c\"]\nscram = \"hunter2\"").starts_with("line 2: users.\"b.c\".scram: "));
    assert!(error("[users.\"a/b\"]\n").starts_with("line 1: users.\"a/b\": the name holds '/'"));
    assert!(error("[users.a]\n[users.\"b\\u0000\"]\n").starts_with("line 2: "));
    assert!(error("# x\n[users.a]\npasword = \"hunter2\"").starts_with("line 3: "));
    assert!(error("[users.a]\n[users.a]\n").starts_with("line 2: "), "a user twice");
    assert!(error("[users.a]\ncomment = \"a\\nb\"").starts_with("line 2: users.a.comment"));
    assert!(error("users = 3").starts_with("line 1: "));
    for text in
        ["[users.a]\npassword = \"hunter2\"", "[users.a]\npassword = hunter2", "[users.a]\npasword = \"hunter2\""]
    {
        assert!(!error(text).contains("hunter2"), "{}", error(text));
    }
}

#[test]
fn a_hash_that_would_take_four_gibibytes_is_refused_when_the_file_is_read() {
    let hostile = HASH.replace("m=8", "m=4194304");
    assert!(error(&format!("[users.a]\npassword = \"{hostile}\"")).contains("its cost is out of bounds"));
}

#[test]
fn the_file_is_bounded() {
    let many = |count: usize| (0..count).fold(String::new(), |text, index| format!("{text}[users.u{index}]\n"));
    assert_eq!(users(&many(1_000)).len(), 1_000);
    let comment = |length: usize| format!("#{}", "x".repeat(length - 1));
    assert!(Users::parse(&comment(USERS_BYTES_MAX)).is_ok());
    assert_eq!(Users::parse(&comment(USERS_BYTES_MAX + 1)).unwrap_err(), UsersError::TooLarge(USERS_BYTES_MAX + 1));
}

#[test]
fn more_users_than_the_limit_are_refused() {
    let many = |count: usize| {
        let mut text = String::with_capacity(count * 16);
        (0..count).for_each(|index| text.push_str(&format!("[users.u{index}]\n")));
        text
    };
    assert_eq!(users(&many(USERS_MAX)).len(), USERS_MAX);
    assert_eq!(Users::parse(&many(USERS_MAX + 1)).unwrap_err(), UsersError::TooMany(USERS_MAX + 1));
}

#[test]
fn the_usual_cost_is_that_of_most_users() {
    let cheap = |name: &str| format!("[users.{name}]\npassword = \"{HASH}\"\n");
    let text = format!("{}{}[users.c]\npassword = \"{}\"", cheap("a"), cheap("b"), HASH.replace("t=1", "t=2"));
    assert_eq!(users(&text).usual_password_cost(), PasswordCost { memory_kib: 8, passes: 1, lanes: 1 });
    assert_eq!(users("# nobody").usual_password_cost(), PasswordCost::default());
}

#[test]
fn adding_a_user_leaves_the_rest_of_the_file_as_it_was() {
    let changed = add_user(&file(), "bob.b", &secrets(OTHER_HASH), Some("new")).unwrap();
    assert!(changed.starts_with(&file()), "{changed}");
    let added = users(&changed);
    assert_eq!(added.len(), 3);
    assert_eq!(added.get("bob.b").unwrap().comment.as_deref(), Some("new"));
    assert_eq!(remove_user(&changed, "bob.b").unwrap().trim_end(), file().trim_end());
}

#[test]
fn the_first_user_makes_a_file_with_a_heading() {
    let text = add_user("", "alice", &secrets(HASH), None).unwrap();
    assert!(text.starts_with("# Users of this node") && !text.contains("[users]"), "{text}");
    assert_eq!(users(&text).len(), 1);
    let text = remove_user(&text, "alice").unwrap();
    assert!(users(&text).is_empty() && !text.is_empty());
    assert_eq!(users(&add_user(&text, "bob", &secrets(HASH), None).unwrap()).len(), 1);
}

#[test]
fn comments_of_the_file_stay_when_its_first_user_goes() {
    assert!(remove_user(&file(), "zoe").unwrap().starts_with("# my users\n\n# the boss\n[users.\"al ice\"]"));
    let text = remove_user(&remove_user(&file(), "zoe").unwrap(), "al ice").unwrap();
    assert_eq!(text.trim_end(), "# my users");
}

#[test]
fn users_in_inline_tables_are_changed_in_place() {
    let text = format!("users = {{ a = {{ password = \"{HASH}\" }} }}\n");
    let changed = add_user(&text, "b", &secrets(HASH), None).unwrap();
    let changed = set_password(&changed, "a", &secrets(OTHER_HASH)).unwrap();
    assert_eq!(users(&changed).len(), 2);
    assert!(changed.contains(OTHER_HASH));
}

#[test]
fn setting_a_password_keeps_comments_and_takes_away_an_old_verifier() {
    let verifier = Verifier::derive("old", [1; 16], 4096).unwrap();
    let with_scram = Secrets { password: Some(HASH.to_owned()), scram: Some(verifier) };
    let changed = set_password(&file(), "zoe", &with_scram).unwrap();
    assert!(users(&changed).get("zoe").unwrap().scram.is_some());
    let changed = set_password(&changed, "zoe", &secrets(OTHER_HASH)).unwrap();
    assert!(users(&changed).get("zoe").unwrap().scram.is_none());
    assert_eq!(changed, file().replacen(HASH, OTHER_HASH, 1));
}

#[test]
fn a_user_is_disabled_and_enabled_again() {
    let disabled = set_disabled(&file(), "zoe", true).unwrap();
    assert!(users(&disabled).get("zoe").unwrap().disabled);
    assert_eq!(set_disabled(&disabled, "zoe", false).unwrap(), file());
}

#[test]
fn what_cannot_be_changed_is_refused_and_said() {
    assert_eq!(add_user(&file(), "zoe", &secrets(HASH), None), Err(EditUsersError::Exists("zoe".to_owned())));
    assert!(matches!(add_user("", "a/b", &secrets(HASH), None), Err(EditUsersError::Name { .. })));
    assert_eq!(add_user("", "a", &secrets(HASH), Some("a\nb")), Err(EditUsersError::Comment));
    for missing in [
        set_password(&file(), "bob", &secrets(HASH)),
        set_disabled(&file(), "bob", true),
        remove_user(&file(), "bob"),
        remove_user("# nobody", "bob"),
    ] {
        assert_eq!(missing, Err(EditUsersError::Missing("bob".to_owned())));
    }
    assert!(matches!(add_user("[users.a]\nx = 1", "b", &secrets(HASH), None), Err(EditUsersError::Broken(_))));
    assert!(matches!(add_user("", "b", &secrets("no hash"), None), Err(EditUsersError::Result(_))));
}

#[test]
fn a_new_hash_is_one_that_the_file_takes() {
    let hash = password::hash(b"secret", [3; 16], PasswordCost { memory_kib: 8, passes: 1, lanes: 1 }).unwrap();
    let text = add_user("", "alice", &secrets(&hash), None).unwrap();
    assert!(users(&text).get("alice").unwrap().password.as_ref().unwrap().matches(b"secret"));
}

proptest! {
    #[test]
    fn every_name_that_can_be_added_is_found_again(name in "\\PC{1,12}") {
        if let Ok(text) = add_user(&file(), &name, &secrets(HASH), None) {
            let added = users(&text);
            prop_assert_eq!(added.len(), 3);
            prop_assert!(added.get(&name).is_some());
            prop_assert_eq!(users(&remove_user(&text, &name).unwrap()).len(), 2);
        }
    }

    #[test]
    fn no_text_makes_the_parser_or_an_edit_panic(text in "(\\[users(\\.[a\"/]{0,3})?\\]\n|users ?= ?\\PC{0,5}\n|(password|scram|disabled|comment) ?= ?(\"\\PC{0,10}\"|true|[0-9])\n|\\PC{0,10}){0,6}") {
        let _ = Users::parse(&text);
        let _ = add_user(&text, "a", &secrets(HASH), None);
        let _ = set_disabled(&text, "a", true);
        let _ = remove_user(&text, "a");
    }
}
