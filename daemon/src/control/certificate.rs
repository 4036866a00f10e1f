//! `selvedge cert`: works with and without a running node, which notices changed files by itself.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use super::access_files;
use super::output::{escaped, print_line};
use crate::arguments::certificate::{
    CertificateCommand, CertificateCreateArguments, CertificateRenewArguments, CertificateRevokeArguments,
    CertificateShowArguments, DataArguments,
};
use crate::certificates::authority::{LEAF_DAYS, Moment};
use crate::certificates::facts::{self, Facts, Kind};
use crate::certificates::folder::{Folder, read_bounded};
use crate::certificates::{hex, time_text};
use crate::config::data_directory;
use crate::config::surroundings::TLS_FOLDER;
use crate::trusted_clock::{self, TrustedClock};

const DAY_S: u64 = 24 * 3600;

/// Runs the command.
///
/// # Errors
/// It failed; the text says what was attempted.
pub fn run(command: CertificateCommand) -> anyhow::Result<()> {
    match command {
        CertificateCommand::Create(arguments) => match &arguments.client {
            Some(client) => create_client(&arguments, client),
            None => create(&arguments),
        },
        CertificateCommand::Renew(arguments) => renew(&arguments),
        CertificateCommand::Show(arguments) => show(&arguments),
        CertificateCommand::Revoke(arguments) => revoke(&arguments),
    }
}

fn data_of(arguments: &DataArguments) -> PathBuf {
    arguments.data.clone().unwrap_or_else(|| data_directory::locate(""))
}

fn place(arguments: &DataArguments) -> anyhow::Result<(Folder, Moment)> {
    let data = data_of(arguments);
    data_directory::prepare(&data)?;
    let judgement = TrustedClock::open(&data).judgement();
    let moment = Moment::new(judgement.now_s, judgement.is_trusted, trusted_clock::built_at_s());
    Ok((Folder::new(data.join(TLS_FOLDER)), moment))
}

fn create(arguments: &CertificateCreateArguments) -> anyhow::Result<()> {
    let (folder, moment) = place(&arguments.data)?;
    let made = folder.create(&arguments.names, arguments.force, moment).context("create certificates")?;
    for path in &made {
        print_line(&format!("made {}", path.display()))?;
    }
    let server = read_facts(&folder.file("server.pem"))?;
    for facts in &server {
        print_line(&format!("The node is known as {}.", facts.names.join(", ")))?;
    }
    print_line(&format!(
        "\nNext:\n  selvedge run --mqtts 127.0.0.1:8883      or [mqtts] listen = \"0.0.0.0:8883\" in the configuration\n  \
         selvedge sub -t 'demo/#' -v --cafile {ca}\n  mosquitto_pub --cafile {ca} -p 8883 -t demo/hello -m hi\n\
         Clients need {ca} and nothing else; keep ca.key to this box.\n\
         A certificate for a client: selvedge cert create --client NAME",
        ca = folder.file("ca.pem").display()
    ))?;
    Ok(())
}

fn create_client(arguments: &CertificateCreateArguments, client: &str) -> anyhow::Result<()> {
    let (folder, moment) = place(&arguments.data)?;
    let files = folder
        .create_client(client, arguments.out.as_deref(), arguments.force, moment)
        .with_context(|| format!("create a certificate for {client}"))?;
    for path in [&files.certificate, &files.key, &files.authority] {
        print_line(&format!("made {}", path.display()))?;
    }
    if let Some(rules) = access_files::start_usual_rules(&data_of(&arguments.data))? {
        print_line(&format!(
            "wrote the starting rules, {}: users, also those of certificates, may do everything that a client may; narrow them \
             there",
            rules.display()
        ))?;
    }
    print_line(&format!(
        "\nNext: carry these files to the client, and ask for certificates with client_certificates = \"optional\" (or \
         \"required\")\nin [tls]. The client is then user {client}:\n  selvedge pub -t demo/hello -m hi --cafile {} --cert {} --key {}",
        files.authority.display(),
        files.certificate.display(),
        files.key.display()
    ))?;
    Ok(())
}

fn renew(arguments: &CertificateRenewArguments) -> anyhow::Result<()> {
    let (folder, moment) = place(&arguments.data)?;
    if arguments.ca {
        let path = folder.renew_authority(moment).context("renew the authority")?;
        print_line(&format!(
            "extended {}; clients can go on with the old one until it ends, give them this one before",
            path.display()
        ))?;
    }
    let path = folder.renew(&arguments.names, moment).context("renew the node's certificate")?;
    print_line(&format!(
        "extended {} by {LEAF_DAYS} days; a running node takes it within seconds, clients stay connected",
        path.display()
    ))?;
    Ok(())
}

fn revoke(arguments: &CertificateRevokeArguments) -> anyhow::Result<()> {
    let (folder, moment) = place(&arguments.data)?;
    let (serials, list) = folder.revoke(&arguments.wanted, moment).context("withdraw a certificate")?;
    for serial in &serials {
        print_line(&format!("withdrawn: {}", hex(serial)))?;
    }
    print_line(&format!(
        "wrote {}; a running node that asks for client certificates takes it within seconds and disconnects the client",
        list.display()
    ))?;
    Ok(())
}

fn show(arguments: &CertificateShowArguments) -> anyhow::Result<()> {
    let data = data_of(&arguments.data);
    let now_s = TrustedClock::open(&data).now_s();
    let folder = Folder::new(data.join(TLS_FOLDER));
    let mut shown: Vec<(String, Facts)> = Vec::new();
    if arguments.files.is_empty() {
        for name in ["ca.pem", "server.pem", "crl.pem"] {
            let path = folder.file(name);
            if path.exists() {
                shown.extend(read_facts(&path)?.into_iter().map(|facts| (path.display().to_string(), facts)));
            }
        }
        shown.extend(folder.issued().into_iter().map(|facts| ("issued to a client".to_owned(), facts)));
        anyhow::ensure!(
            !shown.is_empty(),
            "there are no certificates in {}: `selvedge cert create` makes them",
            folder.file("").display()
        );
    }
    for path in &arguments.files {
        shown.extend(read_facts(path)?.into_iter().map(|facts| (path.display().to_string(), facts)));
    }
    if arguments.json {
        let all: Vec<Value> = shown.iter().map(|(place, facts)| as_json(place, facts, now_s)).collect();
        return Ok(print_line(&Value::from(all).to_string())?);
    }
    for (place, facts) in &shown {
        print_line(&text(place, facts, now_s))?;
    }
    Ok(())
}

fn read_facts(path: &Path) -> anyhow::Result<Vec<Facts>> {
    let bytes = read_bounded(path).with_context(|| format!("read {}", path.display()))?;
    facts::read(&bytes).with_context(|| format!("read {}", path.display()))
}

/// Days until the end, negative after it.
fn days_left(facts: &Facts, now_s: u64) -> i64 {
    let left = i128::from(facts.not_after_s) - i128::from(now_s);
    i64::try_from(left.div_euclid(i128::from(DAY_S))).unwrap_or(i64::MAX)
}

fn as_json(place: &str, facts: &Facts, now_s: u64) -> Value {
    let mut value = serde_json::to_value(facts).unwrap_or_default();
    value["file"] = json!(place);
    value["days_left"] = json!(days_left(facts, now_s));
    value["not_before"] = json!(time_text(facts.not_before_s));
    value["not_after"] = json!(time_text(facts.not_after_s));
    value
}

fn text(place: &str, facts: &Facts, now_s: u64) -> String {
    let what = match facts.kind {
        Kind::Authority => "authority",
        Kind::Server => "server",
        Kind::Client => "client",
        Kind::Other => "certificate",
        Kind::RevocationList => "revocation list",
    };
    let left = match days_left(facts, now_s) {
        _ if now_s < facts.not_before_s => "NOT YET VALID".to_owned(),
        days if days < 0 && facts.kind == Kind::RevocationList => "past its time, and still counts".to_owned(),
        days if days < 0 => "EXPIRED".to_owned(),
        days => format!("{days} days left"),
    };
    let mut lines = vec![format!("{place}: {what} {}", escaped(facts.common_name.as_deref().unwrap_or("")))];
    if !facts.names.is_empty() {
        lines.push(format!("  names        {}", escaped(&facts.names.join(", "))));
    }
    if facts.kind == Kind::RevocationList {
        lines.push(format!("  withdrawn    {}", facts.withdrawn));
    }
    lines.push(format!("  issuer       {}", escaped(&facts.issuer)));
    lines.push(format!("  valid        {} to {}: {left}", time_text(facts.not_before_s), time_text(facts.not_after_s)));
    lines.push(format!("  serial       {}", hex(&facts.serial)));
    lines.push(format!("  fingerprint  sha256 {}", hex(&facts.fingerprint)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(kind: Kind) -> Facts {
        Facts {
            kind,
            common_name: Some("pump\n1".to_owned()),
            names: vec!["a".to_owned()],
            issuer: "CN=x".to_owned(),
            serial: vec![1, 0xab],
            not_before_s: 10 * DAY_S,
            not_after_s: 20 * DAY_S,
            fingerprint: vec![0xff],
            withdrawn: 3,
        }
    }

    #[test]
    fn a_text_says_how_long_it_is_good_and_obeys_no_name() {
        let at = |days: u64| text("f", &facts(Kind::Client), days * DAY_S);
        assert!(at(15).contains("5 days left") && at(15).contains("01:ab") && at(15).contains("pump\\n1"));
        assert!(at(20).contains("0 days left") && at(21).contains("EXPIRED") && at(9).contains("NOT YET VALID"));
        let list = text("f", &facts(Kind::RevocationList), 30 * DAY_S);
        assert!(list.contains("still counts") && list.contains("withdrawn    3"), "{list}");
    }

    #[test]
    fn json_has_the_days_and_the_times() {
        let value = as_json("f", &facts(Kind::Server), 15 * DAY_S);
        assert_eq!(
            (&value["days_left"], &value["kind"], &value["serial"]),
            (&json!(5), &json!("server"), &json!("01:ab"))
        );
        assert_eq!(value["not_after"], "1970-01-21T00:00:00Z");
    }
}
