//! The bytes of a policy.
//!
//! ```text
//! signed = policy signature:64
//! policy = "selvedge twin policy 1\0" group:32 version previous:32 next_signer:32
//!          count (node:u64le key:32 first_incarnation)...
//!          count (origin cutoff)...
//!          count (section:u8 pattern count node:u64le...)...
//! ```

use std::collections::BTreeMap;

use super::{MEMBERS_MAX, Member, POLICY_BYTES_MAX, Pattern, Policy, RULES_MAX, Rule};
use crate::event::Signature;
use crate::keys::PublicKey;
use crate::place::Section;
use crate::wire::{self, DecodeError, ORIGINS_MAX, Reader};

const DOMAIN: &[u8] = b"selvedge twin policy 1\0";
const SIGNATURE_BYTES: usize = 64;

impl Policy {
    /// What is signed.
    #[must_use]
    pub fn to_bytes(&self, group: &[u8; 32]) -> Vec<u8> {
        let mut out = [DOMAIN, group].concat();
        wire::put_number(&mut out, self.version.into());
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&self.next_signer.0);
        wire::put_number(&mut out, self.members.len() as u64);
        for (node, member) in &self.members {
            out.extend_from_slice(&node.0.to_le_bytes());
            out.extend_from_slice(&member.key.0);
            wire::put_number(&mut out, member.first_incarnation.into());
        }
        wire::put_number(&mut out, self.cutoffs.len() as u64);
        for (origin, through) in &self.cutoffs {
            wire::put_origin(&mut out, *origin);
            wire::put_number(&mut out, *through);
        }
        wire::put_number(&mut out, self.rules.len() as u64);
        for rule in &self.rules {
            out.push(match rule.section {
                Section::Desired => 0,
                Section::Reported => 1,
            });
            wire::put_bytes(&mut out, rule.things.as_str().as_bytes());
            wire::put_number(&mut out, rule.writers.len() as u64);
            rule.writers.iter().for_each(|node| out.extend_from_slice(&node.0.to_le_bytes()));
        }
        out
    }
}

/// Splits a signed policy into what is signed and the signature.
pub fn split(signed: &[u8]) -> Result<(&[u8], Signature), DecodeError> {
    if signed.len() > POLICY_BYTES_MAX {
        return Err(DecodeError::TooLarge("a policy"));
    }
    let (bytes, signature) = signed.split_last_chunk::<SIGNATURE_BYTES>().ok_or(DecodeError::Short)?;
    Ok((bytes, *signature))
}

/// Reads what is signed. The group is read too, and compared with `group`.
pub fn read(bytes: &[u8], group: &[u8; 32]) -> Result<Policy, DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.take(DOMAIN.len())? != DOMAIN || reader.array::<32>()? != *group {
        return Err(DecodeError::Malformed("a policy"));
    }
    let (version, previous) = (reader.number_u32()?, reader.array()?);
    let next_signer = PublicKey(reader.array()?);
    let mut members = BTreeMap::new();
    for _ in 0..reader.count(MEMBERS_MAX, "the list of members")? {
        let node = reader.node()?;
        let member = Member { key: PublicKey(reader.array()?), first_incarnation: reader.number_u32()? };
        insert_in_order(&mut members, node, member)?;
    }
    let mut cutoffs = BTreeMap::new();
    for _ in 0..reader.count(ORIGINS_MAX, "the list of cutoffs")? {
        let (origin, through) = (reader.origin()?, reader.number()?);
        insert_in_order(&mut cutoffs, origin, through)?;
    }
    let mut rules = Vec::new();
    for _ in 0..reader.count(RULES_MAX, "the list of rules")? {
        rules.push(read_rule(&mut reader)?);
    }
    reader.end()?;
    Ok(Policy { version, previous, next_signer, members, cutoffs, rules })
}

fn read_rule(reader: &mut Reader<'_>) -> Result<Rule, DecodeError> {
    let section = match reader.byte()? {
        0 => Section::Desired,
        1 => Section::Reported,
        _ => return Err(DecodeError::Malformed("a section")),
    };
    let things = reader.text(Pattern::BYTES_MAX, "a pattern of things")?;
    let things = Pattern::parse(things).ok_or(DecodeError::Malformed("a pattern of things"))?;
    let count = reader.count(MEMBERS_MAX, "the writers of a rule")?;
    let writers = (0..count).map(|_| reader.node()).collect::<Result<_, _>>()?;
    Ok(Rule { section, things, writers })
}

fn insert_in_order<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V) -> Result<(), DecodeError> {
    if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
        return Err(DecodeError::Malformed("the order of a policy"));
    }
    map.insert(key, value);
    Ok(())
}
