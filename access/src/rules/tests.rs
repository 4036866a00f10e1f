//! Rules files as people write them, and what comes of them.

use proptest::prelude::*;

use super::*;
use crate::filter::FilterProblem;

const PUBLISH: Operation = Operation::Publish { retain: false };
const RETAIN: Operation = Operation::Publish { retain: true };
const WILL: Operation = Operation::Will { retain: false };
const RETAINED_WILL: Operation = Operation::Will { retain: true };

fn rules(text: &str) -> Rules {
    Rules::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn alice() -> Subject<'static> {
    Subject { user: Some("alice"), client_id: "phone" }
}

fn anonymous() -> Subject<'static> {
    Subject { user: None, client_id: "phone" }
}

fn error(text: &str) -> String {
    Rules::parse(text).expect_err(text).to_string()
}

#[test]
fn what_no_rule_allows_is_refused() {
    let rules = rules("# nothing yet");
    assert!(rules.is_empty());
    for operation in [PUBLISH, RETAIN, WILL, RETAINED_WILL, Operation::Subscribe] {
        assert!(!rules.may(alice(), operation, "a"));
    }
}

#[test]
fn a_deny_wins_wherever_it_stands() {
    let rules = rules(
        r##"
        [[rule]]
        who = "everyone"
        deny_publish = ["a/secret/#"]
        deny_subscribe = ["a/secret/#"]
        [[rule]]
        publish = ["a/#"]
        subscribe = ["a/#"]
        "##,
    );
    assert!(rules.may(alice(), PUBLISH, "a/b") && !rules.may(alice(), PUBLISH, "a/secret/x"));
    for operation in [RETAIN, WILL, RETAINED_WILL] {
        assert!(rules.may(alice(), operation, "a/b") && !rules.may(alice(), operation, "a/secret"), "{operation:?}");
    }
    assert!(rules.may(alice(), Operation::Subscribe, "a/b/#"));
    for filter in ["a/#", "a/+/x", "a/secret/x", "#", "a/+"] {
        assert!(!rules.may(alice(), Operation::Subscribe, filter), "{filter}");
    }
}

#[test]
fn a_subscription_must_be_covered_by_one_allowed_filter() {
    let rules = rules("[[rule]]\nsubscribe = [\"a/+\", \"b/#\"]");
    for filter in ["a/+", "a/x", "b", "b/#", "b/+/c"] {
        assert!(rules.may(alice(), Operation::Subscribe, filter), "{filter}");
    }
    for filter in ["a/#", "a", "+/x", "#", "$SYS/#"] {
        assert!(!rules.may(alice(), Operation::Subscribe, filter), "{filter}");
    }
}

#[test]
fn retained_messages_and_wills_follow_publish_unless_the_rule_says_otherwise() {
    let plain = rules("[[rule]]\npublish = [\"a\"]");
    for operation in [PUBLISH, RETAIN, WILL, RETAINED_WILL] {
        assert!(plain.may(alice(), operation, "a") && !plain.may(alice(), operation, "b"));
    }

    let status = rules("[[rule]]\npublish = [\"a\"]\nwill = [\"status\"]");
    assert!(status.may(alice(), WILL, "status") && status.may(alice(), RETAINED_WILL, "status"));
    assert!(!status.may(alice(), WILL, "a") && !status.may(alice(), PUBLISH, "status"));

    let unretained = rules("[[rule]]\npublish = [\"a\", \"b\"]\nretain = [\"b\", \"c\"]");
    assert!(unretained.may(alice(), PUBLISH, "a") && !unretained.may(alice(), RETAIN, "a"));
    assert!(unretained.may(alice(), RETAIN, "b") && !unretained.may(alice(), RETAINED_WILL, "a"));
    assert!(!unretained.may(alice(), RETAIN, "c"), "to retain is also to publish");

    let never = rules("[[rule]]\npublish = [\"a\"]\nretain = []\nwill = []");
    assert!(never.may(alice(), PUBLISH, "a") && !never.may(alice(), RETAIN, "a") && !never.may(alice(), WILL, "a"));
}

#[test]
fn a_rule_is_for_whom_it_says() {
    let rules = rules(
        r#"
        [[rule]]
        publish = ["users"]
        [[rule]]
        who = "anonymous"
        publish = ["anonymous"]
        [[rule]]
        who = "everyone"
        publish = ["everyone"]
        [[rule]]
        users = ["alice", "bob"]
        publish = ["named"]
        [[rule]]
        users = ["a*", "zoe"]
        publish = ["pattern"]
        [[rule]]
        who = "everyone"
        clients = ["pho*"]
        publish = ["client"]
        [[rule]]
        users = ["alice"]
        clients = ["tablet"]
        publish = ["alice's tablet"]
        "#,
    );
    let allowed = |user, client_id| {
        ["users", "anonymous", "everyone", "named", "pattern", "client", "alice's tablet"]
            .into_iter()
            .filter(|topic| rules.may(Subject { user, client_id }, PUBLISH, topic))
            .collect::<Vec<_>>()
    };
    assert_eq!(allowed(Some("alice"), "phone"), ["users", "everyone", "named", "pattern", "client"]);
    assert_eq!(allowed(Some("alice"), "tablet"), ["users", "everyone", "named", "pattern", "alice's tablet"]);
    assert_eq!(allowed(Some("bob"), "x"), ["users", "everyone", "named"]);
    assert_eq!(allowed(Some("zoe"), "x"), ["users", "everyone", "pattern"]);
    assert_eq!(allowed(None, "phone"), ["anonymous", "everyone", "client"]);
}

#[test]
fn a_user_called_anonymous_is_a_user() {
    let rules =
        rules("[[rule]]\nwho = \"anonymous\"\npublish = [\"a\"]\n[[rule]]\nusers = [\"anonymous\"]\npublish = [\"b\"]");
    let named = Subject { user: Some("anonymous"), client_id: "c" };
    assert!(!rules.may(named, PUBLISH, "a") && rules.may(named, PUBLISH, "b"));
    assert!(rules.may(anonymous(), PUBLISH, "a") && !rules.may(anonymous(), PUBLISH, "b"));
}

#[test]
fn topics_of_the_node_are_not_under_a_leading_wildcard() {
    let rules = rules("[[rule]]\npublish = [\"#\"]\nsubscribe = [\"#\"]\ndeny_subscribe = [\"$SYS/secret/#\"]");
    assert!(!rules.may(alice(), PUBLISH, "$SYS/x") && !rules.may(alice(), Operation::Subscribe, "$SYS/x"));
    assert!(rules.may(alice(), Operation::Subscribe, "#"), "# does not include what is denied");
}

#[test]
fn the_starting_rules_let_users_and_anonymous_clients_do_everything() {
    let rules = rules(starting_rules());
    for subject in [alice(), anonymous()] {
        for operation in [PUBLISH, RETAIN, WILL, RETAINED_WILL] {
            assert!(rules.may(subject, operation, "any/topic") && rules.may(subject, operation, "$twin/t/update"));
            assert!(rules.may(subject, operation, "$aws/things/t/shadow/update"));
            assert!(!rules.may(subject, operation, "$ota/push/data"), "who brings updates is named");
        }
        for filter in [
            "#",
            "$SYS/#",
            "$twin/+/update/accepted",
            "a/+",
            "$aws/things/t/shadow/update/delta",
            "$net/event/#",
            "$fn/event/+/canary-rolled-back",
            "$ota/status",
        ] {
            assert!(rules.may(subject, Operation::Subscribe, filter), "{filter}");
        }
        assert_eq!(rules.api_rights(subject.user), ApiRights { read: true, write: false });
    }
}

#[test]
fn rights_to_the_http_interface_add_up_over_rules_without_clients() {
    let rules = rules(
        r#"
        [[rule]]
        users = ["alice"]
        api = ["read"]
        [[rule]]
        users = ["al*"]
        api = ["write"]
        [[rule]]
        users = ["bob"]
        clients = ["x"]
        api = ["read"]
        "#,
    );
    assert_eq!(rules.api_rights(Some("alice")), ApiRights { read: true, write: true });
    assert_eq!(rules.api_rights(Some("alan")), ApiRights { read: false, write: true });
    assert_eq!(rules.api_rights(Some("bob")), ApiRights::default());
    assert_eq!(rules.api_rights(None), ApiRights::default());
}

#[test]
fn mistakes_are_told_with_line_and_key() {
    assert_eq!(error(" \n"), RulesError::Empty.to_string());
    assert_eq!(
        error("[[rule]]\nwho = \"users\"\npublish = [\n  \"a\",\n  \"b#\",\n]\n"),
        "line 5: rule 1, publish: \"b#\": '#' must be the whole last level"
    );
    assert!(error("[[rule]]\npublish = [\"a\"]\n\n[[rule]]\npublihs = [\"a\"]").starts_with("line 5: "));
    assert_eq!(
        error("[[rule]]\npublish = [\"a\"]\n[[rule]]\nwho = \"admins\"\npublish = [\"a\"]"),
        "line 4: rule 2, who: \"admins\" is none of \"users\", \"anonymous\", \"everyone\""
    );
    assert!(error("[[rule]]\nwho = \"everyone\"\nusers = [\"a\"]\npublish = [\"a\"]").contains("line 2: rule 1, who"));
    assert!(error("[[rule]]\nusers = []\npublish = [\"a\"]").contains("line 2: rule 1, users: the list is empty"));
    assert!(error("[[rule]]\nusers = [\"\"]\npublish = [\"a\"]").contains("is no pattern"));
    assert!(error("[[rule]]\nname = \"x\"").contains("rule 1: the rule has none of publish"));
    assert!(error("[[rule]]\napi = [\"admin\"]").contains("line 2: rule 1, api"));
    assert!(error("[[rule]\n").starts_with("line 1: "));
    assert!(error("[rules]\n").starts_with("line 1: "));
}

#[test]
fn a_filter_of_a_shared_subscription_is_written_without_the_group() {
    let RulesError::Rule { problem: RuleProblem::Filter { problem, .. }, .. } =
        Rules::parse("[[rule]]\nsubscribe = [\"$share/g/a\"]").unwrap_err()
    else {
        panic!("another error");
    };
    assert_eq!(problem, FilterProblem::Shared);
}

#[test]
fn the_file_is_bounded() {
    let rule = "[[rule]]\npublish = [\"a\"]\n";
    assert_eq!(rules(&rule.repeat(RULES_MAX)).len(), RULES_MAX);
    assert_eq!(Rules::parse(&rule.repeat(RULES_MAX + 1)).unwrap_err(), RulesError::TooMany(RULES_MAX + 1));

    let list = |length: usize| format!("[[rule]]\npublish = [{}]", "\"a\",".repeat(length));
    assert!(Rules::parse(&list(RULE_LIST_MAX)).is_ok());
    assert!(error(&list(RULE_LIST_MAX + 1)).contains("1001 entries"));

    let comment = |length: usize| format!("#{}", "x".repeat(length - 1));
    assert!(Rules::parse(&comment(RULES_BYTES_MAX)).is_ok());
    assert_eq!(Rules::parse(&comment(RULES_BYTES_MAX + 1)).unwrap_err(), RulesError::TooLarge(RULES_BYTES_MAX + 1));
}

/// Rules as written, for a judgement without any index.
#[derive(Clone, Debug)]
struct Written {
    user: &'static str,
    publish: Vec<&'static str>,
    retain: Option<Vec<&'static str>>,
    will: Option<Vec<&'static str>>,
    subscribe: Vec<&'static str>,
    deny_publish: Vec<&'static str>,
    deny_subscribe: Vec<&'static str>,
}

impl Written {
    fn will(&self) -> Vec<&'static str> {
        self.will.clone().unwrap_or_else(|| self.publish.clone())
    }
}

fn any_rule() -> impl Strategy<Value = Written> {
    let filters = || {
        let filter = prop::sample::select(vec!["a", "a/#", "+", "+/b", "#", "%u/b", "a/%u", "$x/#", "b/+"]);
        prop::collection::vec(filter, 0..3)
    };
    let user = prop::sample::select(vec!["a", "b", "*", "a*"]);
    let some = || prop::option::of(filters());
    (user, filters(), some(), some(), filters(), filters(), filters()).prop_map(
        |(user, publish, retain, will, subscribe, deny_publish, deny_subscribe)| Written {
            user,
            publish,
            retain,
            will,
            subscribe,
            deny_publish,
            deny_subscribe,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_index_finds_what_a_look_at_every_rule_finds(
        written in prop::collection::vec(any_rule(), 0..5),
        user in prop::sample::select(vec!["a", "b", "ab"]),
        topic in prop::sample::select(vec!["a", "a/b", "a/a", "b/a", "b", "$x/a", "c"]),
        requested in prop::sample::select(vec!["a", "a/+", "a/#", "+", "#", "+/b", "b/+", "$x/#", "$x/a"]),
    ) {
        let text = written.iter().fold(String::from("# rules\n"), |text, rule| {
            let Written { user, publish, retain, will, subscribe, deny_publish, deny_subscribe } = rule;
            let optional = |key, list: &Option<Vec<&str>>| list.as_ref().map_or(String::new(), |list| format!("{key} = {list:?}\n"));
            let (retain, will) = (optional("retain", retain), optional("will", will));
            format!(
                "{text}[[rule]]\nusers = [{user:?}]\npublish = {publish:?}\nsubscribe = {subscribe:?}\ndeny_publish = {deny_publish:?}\ndeny_subscribe = {deny_subscribe:?}\n{retain}{will}"
            )
        });
        let subject = Subject { user: Some(user), client_id: "c" };
        let mine: Vec<_> = written.iter().filter(|rule| Pattern::new(rule.user).matches(user)).collect();
        let any = |list: fn(&Written) -> Vec<&'static str>, holds: &dyn Fn(&Filter) -> bool| {
            mine.iter().flat_map(|rule| list(rule)).any(|text| holds(&Filter::parse(text).unwrap()))
        };
        let matches = |filter: &Filter| filter.matches(subject, Side::Allow, topic);
        let is_denied = any(|rule| rule.deny_publish.clone(), &|filter| filter.matches(subject, Side::Deny, topic));
        let publishes = !is_denied && any(|rule| rule.publish.clone(), &matches);
        let leaves_will = !is_denied && any(Written::will, &matches);
        let retains = any(|rule| rule.retain.clone().unwrap_or_else(|| [rule.publish.clone(), rule.will()].concat()), &matches);
        let subscribes = any(|rule| rule.subscribe.clone(), &|filter| filter.covers(subject, requested))
            && !any(|rule| rule.deny_subscribe.clone(), &|filter| filter.overlaps(subject, requested));
        let rules = rules(&text);
        prop_assert_eq!(rules.may(subject, PUBLISH, topic), publishes);
        prop_assert_eq!(rules.may(subject, RETAIN, topic), publishes && retains);
        prop_assert_eq!(rules.may(subject, WILL, topic), leaves_will);
        prop_assert_eq!(rules.may(subject, RETAINED_WILL, topic), leaves_will && retains);
        prop_assert_eq!(rules.may(subject, Operation::Subscribe, requested), subscribes);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\[\\[rule\\]\\]\n|(publish|users|who|api|x) ?= ?(\\[\"?[a%u+#]*\"?,?\\]|\"[a-z]*\"|[0-9.]+)\n|\\PC{0,10}){0,8}") {
        let _ = Rules::parse(&text);
    }
}
