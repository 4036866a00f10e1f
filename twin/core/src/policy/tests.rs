use super::*;
use crate::clock::{CEILING, HybridTime};
use crate::event::{Body, Event, PolicyVersion};
use crate::keys::{Ed25519, Keys};
use crate::path::Path;
use crate::place::{Key, Part};
use crate::policy::chain::{EventRefusal, Membership};
use crate::wire;

pub(crate) fn keys(node: u8) -> Ed25519 {
    Ed25519::from_secret(&[node; 32])
}

fn signer() -> Ed25519 {
    Ed25519::from_secret(&[200; 32])
}

/// The next policy: these members may write the desired of all things, and each the reported of `dev-<number>`.
fn next(chain: &Chain, members: &[u8], cutoffs: &[(Origin, u64)]) -> Policy {
    let member = |node: u8| Member { key: keys(node).public(), first_incarnation: 0 };
    let reported = |node: u8| Rule {
        section: Section::Reported,
        things: Pattern::parse(&format!("dev-{node}")).unwrap(),
        writers: vec![NodeId(node.into())],
    };
    let mut rules: Vec<Rule> = members.iter().map(|node| reported(*node)).collect();
    rules.push(Rule { section: Section::Desired, things: Pattern::parse("*").unwrap(), writers: vec![] });
    Policy {
        version: chain.version().0 + 1,
        previous: chain.last_hash(),
        next_signer: signer().public(),
        members: members.iter().map(|node| (NodeId((*node).into()), member(*node))).collect(),
        cutoffs: cutoffs.iter().copied().collect(),
        rules,
    }
}

fn signed(chain: &Chain, policy: &Policy, by: &Ed25519) -> Vec<u8> {
    let bytes = policy.to_bytes(chain.group());
    [&bytes[..], &by.sign(&bytes)].concat()
}

fn extended(mut chain: Chain, members: &[u8], cutoffs: &[(Origin, u64)]) -> Chain {
    let policy = next(&chain, members, cutoffs);
    let bytes = signed(&chain, &policy, &signer());
    chain.adopt(&bytes, &signer()).unwrap();
    assert_eq!(chain.head(), Some(&policy));
    chain
}

fn key(section: Section, thing: &str) -> Key {
    Key { thing: thing.into(), section, path: Path::root_member("a"), part: Part::Register }
}

fn event(node: u8, policy: u32, key: &Key, chain: &Chain) -> Event {
    let dot = Origin::first(NodeId(node.into())).dot(7);
    let body = Body::Json("1".into());
    let (policy, context) = (PolicyVersion(policy), VersionVector::default());
    let mut event = Event { dot, time: HybridTime(5), policy, context, body, signature: None };
    let mut bytes = Vec::new();
    wire::put_signed(&mut bytes, chain.group(), key, &event);
    event.signature = Some(Box::new(keys(node).sign(&bytes)));
    event
}

fn empty() -> Chain {
    Chain::new(signer().public())
}

#[test]
fn a_policy_is_taken_once_in_its_order_and_signed_by_the_groups_key() {
    let chain = extended(empty(), &[1, 2], &[]);
    let second = next(&chain, &[1, 2, 3], &[]);
    let bytes = signed(&chain, &second, &signer());
    assert!(matches!(empty().adopt(&bytes, &signer()), Err(PolicyRefusal::Order { found: 2, current: 0 })));
    let forged = signed(&chain, &second, &keys(1));
    assert_eq!(chain.clone().adopt(&forged, &signer()), Err(PolicyRefusal::Signature));
    let mut chain = chain;
    chain.adopt(&bytes, &signer()).unwrap();
    assert!(matches!(chain.adopt(&bytes, &signer()), Err(PolicyRefusal::Order { found: 2, current: 2 })));
    let other = Chain::new(keys(9).public());
    assert!(matches!(other.clone().adopt(&bytes, &signer()), Err(PolicyRefusal::Decode(_))));
}

#[test]
fn a_cutoff_is_never_changed() {
    let origin = Origin::first(NodeId(2));
    let mut chain = extended(extended(empty(), &[1, 2], &[]), &[1], &[(origin, 40)]);
    for cutoffs in [&[][..], &[(origin, 41)]] {
        let bytes = signed(&chain, &next(&chain, &[1, 2], cutoffs), &signer());
        assert_eq!(chain.adopt(&bytes, &signer()), Err(PolicyRefusal::Cutoff));
    }
    let chain = extended(chain, &[1, 2], &[(origin, 40)]);
    let mut vector: VersionVector = [origin.dot(90), Origin::first(NodeId(7)).dot(3)].into_iter().collect();
    chain.head().unwrap().cap(&mut vector);
    assert_eq!(vector, [origin.dot(40)].into_iter().collect());
}

#[test]
fn an_event_is_judged_by_the_policy_under_which_it_was_written() {
    let origin = Origin::first(NodeId(2));
    let chain = extended(extended(empty(), &[1, 2], &[]), &[1], &[(origin, 40)]);
    let desired = key(Section::Desired, "pump");
    assert_eq!(chain.judge(&desired, &event(2, 1, &desired, &chain), &signer()), Ok(()));
    assert_eq!(chain.judge(&desired, &event(2, 2, &desired, &chain), &signer()), Err(EventRefusal::Foreign));
    // What was written before there was a policy is judged by the first in which the writer is a member.
    assert_eq!(chain.judge(&desired, &event(1, 0, &desired, &chain), &signer()), Ok(()));
    assert_eq!(chain.judge(&desired, &event(1, 3, &desired, &chain), &signer()), Err(EventRefusal::Authority));
    assert!(chain.key_of(NodeId(2), Membership::Now).is_none());
    assert!(chain.key_of(NodeId(2), Membership::Ever).is_some());
}

#[test]
fn only_who_may_write_a_thing_writes_it_and_forgery_is_noticed() {
    let chain = extended(empty(), &[1, 2], &[]);
    let own = key(Section::Reported, "dev-1");
    assert_eq!(chain.judge(&own, &event(1, 1, &own, &chain), &signer()), Ok(()));
    assert_eq!(chain.judge(&own, &event(2, 1, &own, &chain), &signer()), Err(EventRefusal::Authority));
    let mut forged = event(1, 1, &own, &chain);
    forged.body = Body::Json("2".into());
    assert_eq!(chain.judge(&own, &forged, &signer()), Err(EventRefusal::Signature));
    let elsewhere = key(Section::Desired, "dev-1");
    assert_eq!(chain.judge(&elsewhere, &event(1, 1, &own, &chain), &signer()), Err(EventRefusal::Signature));
    let mut giant = event(1, 1, &own, &chain);
    giant.time = HybridTime(CEILING.0 + 1);
    assert_eq!(chain.judge(&own, &giant, &signer()), Err(EventRefusal::Clock));
    assert!(chain.may_write(NodeId(1), Section::Reported, "dev-1"));
    assert!(
        !chain.may_write(NodeId(2), Section::Reported, "dev-1") && empty().may_write(NodeId(2), Section::Reported, "x")
    );
}

#[test]
fn patterns_are_names_or_beginnings() {
    for (pattern, thing, expected) in
        [("*", "a", true), ("p-*", "p-1", true), ("p-*", "q-1", false), ("p", "p1", false)]
    {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(thing), expected, "{pattern} {thing}");
    }
    assert!(Pattern::parse("a*b").is_none() && Pattern::parse("").is_none());
}

#[test]
fn what_counted_goes_on_to_count_unless_a_member_leaves_or_a_life_ends() {
    let first = next(&empty(), &[1, 2], &[]);
    let counts_all = |members: &[u8], cutoffs: &[(Origin, u64)]| next(&empty(), members, cutoffs).counts_all_of(&first);
    assert!(counts_all(&[1, 2], &[]) && counts_all(&[1, 2, 3], &[]));
    assert!(!counts_all(&[1], &[]) && !counts_all(&[1, 2], &[(Origin::first(NodeId(2)), 5)]));
    let mut later = first.clone();
    later.members.get_mut(&NodeId(2)).unwrap().first_incarnation = 1;
    assert!(!later.counts_all_of(&first) && first.counts_all_of(&later));
}
