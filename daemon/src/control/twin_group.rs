//! `selvedge twin sync …` and `selvedge twin group …`: how a group stands, and its policy.
//!
//! A policy is made here, from what the node says is the policy of now, and signed here: the group's secret key never reaches a
//! node.

mod policy;

use std::path::Path;

use anyhow::{Context, bail};
use hyper::Method;
use selvedge_twin::keys::{Ed25519, Keys as _, PublicKey};
use selvedge_twin::policy::Policy;
use serde_json::{Value, json};

use super::node_client::NodeClient;
use super::output::print_line;
use crate::arguments::twin::SectionName;
use crate::arguments::twin_group::{
    GroupAddArguments, GroupArguments, GroupChange, GroupCreateArguments, GroupRemoveArguments, GroupRuleArguments,
    TwinGroupCommand, TwinSyncCommand,
};
use crate::atomic_file::{self, PRIVATE};
use policy::Draft;

/// Does what `command` says.
///
/// # Errors
/// No node answers.
pub fn sync(command: TwinSyncCommand) -> anyhow::Result<()> {
    match command {
        TwinSyncCommand::Status(arguments) => status(&arguments),
        TwinSyncCommand::Identity(arguments) => identity(&arguments),
    }
}

/// Does what `command` says.
///
/// # Errors
/// No node answers, it refused, or the key is not that of the group.
pub fn group(command: TwinGroupCommand) -> anyhow::Result<()> {
    match command {
        TwinGroupCommand::Create(arguments) => create(&arguments),
        TwinGroupCommand::Add(arguments) => add(&arguments),
        TwinGroupCommand::Remove(arguments) => remove(&arguments),
        TwinGroupCommand::Allow(arguments) => allow(&arguments),
        TwinGroupCommand::Disallow(arguments) => disallow(&arguments),
        TwinGroupCommand::Show(arguments) => show(&arguments),
    }
}

fn ask(arguments: &GroupArguments) -> anyhow::Result<(NodeClient, Value)> {
    let client = NodeClient::new(&arguments.socket)?;
    let report = client.call(Method::GET, "/v1/sync", Vec::new())?;
    Ok((client, report))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn identity(arguments: &GroupArguments) -> anyhow::Result<()> {
    let (_, report) = ask(arguments)?;
    if arguments.json {
        return Ok(print_line(&json!({ "node": report["node"], "public_key": report["public_key"] }).to_string())?);
    }
    Ok(print_line(&format!("{}={}", text(&report, "node"), text(&report, "public_key")))?)
}

fn status(arguments: &GroupArguments) -> anyhow::Result<()> {
    let (_, report) = ask(arguments)?;
    if arguments.json {
        return Ok(print_line(&report.to_string())?);
    }
    let group = &report["group"];
    if group.is_null() {
        print_line(&format!("node {}, in no group: [sync] of the configuration names none", text(&report, "node")))?;
        return Ok(());
    }
    let state = match (group["connected"].as_bool(), group["trouble"].as_str()) {
        (_, Some(trouble)) => trouble.to_owned(),
        (Some(true), None) => "connected".to_owned(),
        _ => "connecting".to_owned(),
    };
    print_line(&format!("node    {}", text(&report, "node")))?;
    print_line(&format!("broker  {}  {state}", text(group, "broker")))?;
    print_line(&format!("topics  {}", text(group, "topics")))?;
    match group["policy"]["version"].as_u64() {
        Some(version) => print_line(&format!("policy  {version}"))?,
        None => print_line("policy  none yet: `selvedge twin group add` on a node of the group")?,
    }
    if let (Some(from), Some(what)) = (group["fetching"]["from"].as_str(), group["fetching"]["what"].as_str()) {
        print_line(&format!("fetching {what} from {from}"))?;
    }
    if group["held"].as_u64() > Some(0) {
        print_line(&format!("held    {} writes of clocks far ahead", group["held"]))?;
    }
    print_line("")?;
    print_line("member            heard          lacking here  lacking there")?;
    for member in group["members"].as_array().into_iter().flatten() {
        let heard = match (member["self"].as_bool(), member["heard_s_ago"].as_u64()) {
            (Some(true), _) => "this node".to_owned(),
            (_, Some(seconds)) => format!("{seconds} s ago"),
            _ => "not yet".to_owned(),
        };
        let unseen = member["unseen"].as_u64().map_or("?".to_owned(), |count| count.to_string());
        print_line(&format!("{}  {heard:<13}  {:>12}  {unseen:>13}", text(member, "node"), member["lacking"]))?;
    }
    Ok(())
}

fn create(arguments: &GroupCreateArguments) -> anyhow::Result<()> {
    let path = &arguments.key;
    if path.try_exists().with_context(|| format!("look at {}", path.display()))? {
        bail!(
            "{} is there already: a group's key is made once, and lost for ever when it is overwritten",
            path.display()
        );
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("random numbers: {error}"))?;
    let public = Ed25519::from_secret(&secret).public();
    // A secret key has the form of a public one.
    let digits = PublicKey(secret);
    atomic_file::replace(path, format!("{digits}\n").as_bytes(), PRIVATE)?;
    if arguments.json {
        return Ok(print_line(&json!({ "group_key": public.to_string(), "file": path }).to_string())?);
    }
    print_line(&format!("{} holds the group's secret key: keep it safe, and away from the nodes.", path.display()))?;
    print_line("This goes into the configuration of each node:")?;
    print_line("")?;
    print_line("[sync]")?;
    print_line("broker = \"mqtt://HOST:1883\"")?;
    print_line(&format!("group_key = \"{public}\""))?;
    Ok(())
}

fn read_key(path: &Path) -> anyhow::Result<Ed25519> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let secret = PublicKey::parse(text.trim());
    let secret = secret.with_context(|| format!("{} holds no key of a group", path.display()))?;
    Ok(Ed25519::from_secret(&secret.0))
}

fn add(arguments: &GroupAddArguments) -> anyhow::Result<()> {
    change(&arguments.change, |draft| {
        for member in &arguments.members {
            let (node, key) = member.split_once('=').with_context(|| format!("{member}: expected NODE=KEY"))?;
            draft.add(policy::node(node)?, policy::key(key)?);
        }
        Ok(())
    })
}

fn remove(arguments: &GroupRemoveArguments) -> anyhow::Result<()> {
    change(&arguments.change, |draft| draft.remove(policy::node(&arguments.node)?))
}

fn allow(arguments: &GroupRuleArguments) -> anyhow::Result<()> {
    change(&arguments.change, |draft| {
        draft.allow(section(arguments.section), &arguments.things, &policy::nodes(&arguments.writers)?)
    })
}

fn disallow(arguments: &GroupRuleArguments) -> anyhow::Result<()> {
    change(&arguments.change, |draft| {
        draft.disallow(section(arguments.section), &arguments.things, &policy::nodes(&arguments.writers)?)
    })
}

fn section(name: SectionName) -> selvedge_twin::Section {
    match name {
        SectionName::Desired => selvedge_twin::Section::Desired,
        SectionName::Reported => selvedge_twin::Section::Reported,
    }
}

/// Makes the next policy, signs it and gives it to the node.
fn change(change: &GroupChange, edit: impl FnOnce(&mut Draft) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let keys = read_key(&change.key)?;
    let (client, report) = ask(&change.node)?;
    let mut draft = Draft::of(&report)?;
    if draft.signer() != keys.public() {
        bail!(
            "{} is not the key that signs policies of this group: that is the one of the public key {}",
            change.key.display(),
            draft.signer()
        );
    }
    edit(&mut draft)?;
    let (policy, group) = draft.finish()?;
    let bytes = policy.to_bytes(&group);
    let signed = [&bytes[..], &keys.sign(&bytes)].concat();
    let report = client.call(Method::POST, "/v1/sync/policy", signed)?;
    if change.node.json {
        return Ok(print_line(&report["group"]["policy"].to_string())?);
    }
    print_line(&format!("policy {} is in force here, and goes to the other nodes by itself", policy.version))?;
    print_policy(&policy)
}

fn show(arguments: &GroupArguments) -> anyhow::Result<()> {
    let (_, report) = ask(arguments)?;
    if arguments.json {
        return Ok(print_line(&report["group"]["policy"].to_string())?);
    }
    if report["group"]["policy"].is_null() {
        bail!("there is no policy yet: `selvedge twin group add` makes the first");
    }
    let (policy, _) = Draft::of(&report)?.current();
    print_line(&format!("policy {}", policy.version))?;
    print_policy(&policy)
}

fn print_policy(policy: &Policy) -> anyhow::Result<()> {
    for (node, member) in &policy.members {
        print_line(&format!("member {node}={}", member.key))?;
    }
    for rule in &policy.rules {
        let writers: Vec<String> = rule.writers.iter().map(ToString::to_string).collect();
        let writers = if writers.is_empty() { "all members".to_owned() } else { writers.join(" ") };
        print_line(&format!("{} of {} is written by {writers}", rule.section.name(), rule.things.as_str()))?;
    }
    for (origin, through) in &policy.cutoffs {
        print_line(&format!("life {} of {} has ended after its write {through}", origin.incarnation, origin.node))?;
    }
    Ok(())
}
