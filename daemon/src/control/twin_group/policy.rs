//! The next policy of a group, made from what a node says of the group. Pure.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use selvedge_twin::keys::PublicKey;
use selvedge_twin::policy::{Chain, Member, Pattern, Policy, Rule};
use selvedge_twin::{NodeId, Section};
use serde_json::Value;

type Origins = BTreeMap<selvedge_twin::dot::Origin, u64>;

/// A policy that is being changed.
#[derive(Debug)]
pub struct Draft {
    policy: Policy,
    signer: PublicKey,
    group: [u8; 32],
    /// What the node has of whom.
    known: Origins,
}

impl Draft {
    /// From `/v1/sync`.
    ///
    /// # Errors
    /// The node is in no group, or its answer is none.
    pub fn of(report: &Value) -> anyhow::Result<Self> {
        let group = report.get("group").context("this node is in no group: [sync] of the configuration names none")?;
        let group_key = key(text(group, "key")?)?;
        let known = origins(&group["known"], "seq")?;
        let current = &group["policy"];
        let mut policy = Policy {
            version: 0,
            previous: hash(text(group, "policy_hash")?)?,
            next_signer: group_key,
            members: BTreeMap::new(),
            cutoffs: BTreeMap::new(),
            rules: Vec::new(),
        };
        if !current.is_null() {
            policy.version = u32::try_from(number(current, "version")?).context("version")?;
            policy.next_signer = key(text(current, "next_signer")?)?;
            for member in list(&current["members"]) {
                let first_incarnation = u32::try_from(number(member, "first_incarnation")?).context("incarnation")?;
                let key = key(text(member, "key")?)?;
                policy.members.insert(node(text(member, "node")?)?, Member { key, first_incarnation });
            }
            policy.cutoffs = origins(&current["cutoffs"], "through")?;
            for rule in list(&current["rules"]) {
                let section = Section::ALL.into_iter().find(|section| rule["section"] == section.name());
                let writers = list(&rule["writers"]).map(|writer| node(writer.as_str().unwrap_or_default()));
                policy.rules.push(Rule {
                    section: section.context("the section of a rule")?,
                    things: Pattern::parse(text(rule, "things")?).context("the things of a rule")?,
                    writers: writers.collect::<anyhow::Result<_>>()?,
                });
            }
        }
        let group = *Chain::new(group_key).group();
        Ok(Self { signer: policy.next_signer, policy, group, known })
    }

    /// Whose signature the next policy has.
    pub fn signer(&self) -> PublicKey {
        self.signer
    }

    /// As it is now, and what names the group in signatures.
    pub fn current(self) -> (Policy, [u8; 32]) {
        (self.policy, self.group)
    }

    /// Takes a node in, or gives it another key. One that was taken out counts from its next life on.
    pub fn add(&mut self, node: NodeId, key: PublicKey) {
        let ended = self.policy.cutoffs.keys().filter(|origin| origin.node == node).map(|origin| origin.incarnation);
        let after_ended = ended.max().map_or(0, |last| last.saturating_add(1));
        let before = self.policy.members.get(&node).map_or(0, |member| member.first_incarnation);
        self.policy.members.insert(node, Member { key, first_incarnation: after_ended.max(before) });
    }

    /// Takes a node out. Of what it wrote, what this node has goes on to count.
    ///
    /// # Errors
    /// It is no member.
    pub fn remove(&mut self, node: NodeId) -> anyhow::Result<()> {
        if self.policy.members.remove(&node).is_none() {
            bail!("{node} is no member: `selvedge twin group show` lists them");
        }
        for (origin, seq) in self.known.iter().filter(|(origin, _)| origin.node == node) {
            self.policy.cutoffs.entry(*origin).or_insert(*seq);
        }
        for rule in &mut self.policy.rules {
            let had_writers = !rule.writers.is_empty();
            rule.writers.retain(|writer| *writer != node);
            if had_writers && rule.writers.is_empty() {
                // An empty list would let everybody in.
                rule.writers.push(node);
            }
        }
        Ok(())
    }

    /// Lets `writers` write, or all members if there are none.
    ///
    /// # Errors
    /// The things are no pattern, or a writer is no member.
    pub fn allow(&mut self, section: Section, things: &str, writers: &[NodeId]) -> anyhow::Result<()> {
        if let Some(stranger) = writers.iter().find(|writer| !self.policy.members.contains_key(writer)) {
            bail!("{stranger} is no member: `selvedge twin group show` lists them");
        }
        let things = pattern(things)?;
        // Until the first rule everybody may write everything; that ends with it, for this section.
        let all = |rule: &Rule| rule.section == section && rule.things.as_str() == "*" && rule.writers.is_empty();
        if things.as_str() != "*" {
            self.policy.rules.retain(|rule| !all(rule));
        }
        let same = |rule: &&mut Rule| rule.section == section && rule.things == things;
        match self.policy.rules.iter_mut().find(same) {
            Some(rule) if writers.is_empty() || rule.writers.is_empty() => rule.writers = writers.to_vec(),
            Some(rule) => {
                let new: Vec<NodeId> =
                    writers.iter().filter(|writer| !rule.writers.contains(writer)).copied().collect();
                rule.writers.extend(new);
            }
            None => self.policy.rules.push(Rule { section, things, writers: writers.to_vec() }),
        }
        Ok(())
    }

    /// Takes back that `writers` may write, or the whole rule if there are none.
    ///
    /// # Errors
    /// There is no such rule.
    pub fn disallow(&mut self, section: Section, things: &str, writers: &[NodeId]) -> anyhow::Result<()> {
        let things = pattern(things)?;
        let at = self.policy.rules.iter().position(|rule| rule.section == section && rule.things == things);
        let Some(at) = at else {
            bail!("there is no rule for {} of {}", section.name(), things.as_str());
        };
        if let Some(rule) = self.policy.rules.get_mut(at) {
            if !writers.is_empty() && rule.writers.is_empty() {
                bail!("all members may write there: `selvedge twin group allow` with those that shall");
            }
            rule.writers.retain(|writer| !writers.contains(writer));
            if writers.is_empty() || rule.writers.is_empty() {
                self.policy.rules.remove(at);
            }
        }
        Ok(())
    }

    /// The next policy, and what names the group in signatures. The first lets all members write everything.
    ///
    /// # Errors
    /// Nobody would be a member.
    pub fn finish(mut self) -> anyhow::Result<(Policy, [u8; 32])> {
        if self.policy.members.is_empty() {
            bail!("a group has at least one member");
        }
        if self.policy.version == 0 && self.policy.rules.is_empty() {
            for section in Section::ALL {
                self.policy.rules.push(Rule { section, things: pattern("*")?, writers: Vec::new() });
            }
        }
        self.policy.version = self.policy.version.checked_add(1).context("there are no more policies")?;
        Ok((self.policy, self.group))
    }
}

/// A node's number from its 16 hexadecimal digits.
pub fn node(text: &str) -> anyhow::Result<NodeId> {
    let number = (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    number.map(NodeId).with_context(|| format!("{text:?}: expected the 16 hexadecimal digits of a node"))
}

/// All of them.
pub fn nodes(texts: &[String]) -> anyhow::Result<Vec<NodeId>> {
    texts.iter().map(|text| node(text)).collect()
}

/// A public key from its 64 hexadecimal digits.
pub fn key(text: &str) -> anyhow::Result<PublicKey> {
    PublicKey::parse(text).with_context(|| format!("{text:?}: expected the 64 hexadecimal digits of a public key"))
}

fn hash(text: &str) -> anyhow::Result<[u8; 32]> {
    key(text).map(|bytes| bytes.0)
}

fn pattern(things: &str) -> anyhow::Result<Pattern> {
    Pattern::parse(things).with_context(|| format!("{things:?}: expected a name, or the beginning of names and *"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text<'v>(value: &'v Value, name: &str) -> anyhow::Result<&'v str> {
    value[name].as_str().with_context(|| format!("the node's answer has no {name}"))
}

fn number(value: &Value, name: &str) -> anyhow::Result<u64> {
    value[name].as_u64().with_context(|| format!("the node's answer has no {name}"))
}

fn origins(value: &Value, name: &str) -> anyhow::Result<Origins> {
    let origin = |entry: &Value| {
        let incarnation = u32::try_from(number(entry, "incarnation")?).context("incarnation")?;
        let origin = selvedge_twin::dot::Origin { node: node(text(entry, "node")?)?, incarnation };
        Ok((origin, number(entry, name)?))
    };
    list(value).map(origin).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(node: u64) -> String {
        NodeId(node).to_string()
    }

    fn report(policy: Value) -> Value {
        json!({ "group": {
            "key": "cd".repeat(32),
            "policy_hash": "00".repeat(32),
            "known": [
                { "node": id(1), "incarnation": 1, "seq": 4 },
                { "node": id(2), "incarnation": 1, "seq": 7 },
                { "node": id(2), "incarnation": 3, "seq": 9 },
            ],
            "policy": policy,
        }})
    }

    fn two_members() -> Value {
        let member = |node| json!({ "node": id(node), "key": "ab".repeat(32), "first_incarnation": 0 });
        let all = |section| json!({ "section": section, "things": "*", "writers": [] });
        json!({ "version": 1, "next_signer": "cd".repeat(32), "members": [member(1), member(2)], "cutoffs": [],
            "rules": [all("desired"), all("reported")] })
    }

    #[test]
    fn the_first_policy_lets_all_members_write_everything() {
        let mut draft = Draft::of(&report(Value::Null)).unwrap();
        assert!(Draft::of(&report(Value::Null)).unwrap().finish().is_err());
        draft.add(NodeId(1), PublicKey([1; 32]));
        let (policy, _) = draft.finish().unwrap();
        assert_eq!((policy.version, policy.rules.len(), policy.members.len()), (1, 2, 1));
        assert!(policy.rules.iter().all(|rule| rule.things.as_str() == "*" && rule.writers.is_empty()));
    }

    #[test]
    fn who_is_taken_out_ends_with_what_is_here_and_comes_back_in_another_life() {
        let mut draft = Draft::of(&report(two_members())).unwrap();
        draft.remove(NodeId(2)).unwrap();
        assert!(draft.remove(NodeId(2)).is_err());
        let (policy, _) = draft.finish().unwrap();
        let ends: Vec<_> = policy.cutoffs.iter().map(|(origin, seq)| (origin.incarnation, *seq)).collect();
        assert_eq!((policy.version, ends), (2, vec![(1, 7), (3, 9)]));
        let mut cutoffs = two_members();
        cutoffs["cutoffs"] = json!([{ "node": id(2), "incarnation": 3, "through": 9 }]);
        let mut draft = Draft::of(&report(cutoffs)).unwrap();
        draft.add(NodeId(2), PublicKey([2; 32]));
        assert_eq!(draft.current().0.members[&NodeId(2)].first_incarnation, 4);
    }

    #[test]
    fn a_rule_for_some_ends_that_everybody_may_and_none_is_left_open_by_who_leaves() {
        let mut draft = Draft::of(&report(two_members())).unwrap();
        assert!(draft.allow(Section::Reported, "dev-2", &[NodeId(9)]).is_err());
        assert!(draft.allow(Section::Reported, "a*b", &[]).is_err());
        draft.allow(Section::Reported, "dev-2", &[NodeId(2)]).unwrap();
        let shown = |draft: &Draft| -> Vec<(Section, String, usize)> {
            let rules = draft.policy.rules.iter();
            rules.map(|rule| (rule.section, rule.things.as_str().to_owned(), rule.writers.len())).collect()
        };
        let expected = [(Section::Desired, "*".to_owned(), 0), (Section::Reported, "dev-2".to_owned(), 1)];
        assert_eq!(shown(&draft), expected);
        draft.remove(NodeId(2)).unwrap();
        assert_eq!(shown(&draft), expected, "nobody may write there, instead of everybody");
        draft.disallow(Section::Reported, "dev-2", &[]).unwrap();
        assert!(draft.disallow(Section::Reported, "dev-2", &[]).is_err());
        assert_eq!(shown(&draft).len(), 1);
    }
}
