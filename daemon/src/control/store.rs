//! `selvedge store`: on a data directory that no node has open.

use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use selvedge_store::{CheckReport, Dropped, ExportReport, Progress, Space};
use serde_json::{Value, json};

use super::output::{escaped, print_line};
use crate::arguments::store::{StoreCommand, StoreFileArguments, StorePlace};
use crate::config::{self, Config, Overrides, data_directory};
use crate::wiring::broker_journal::OfflineReplay;
use crate::wiring::settings;

/// Between two words about progress on a terminal, and in a log.
const TERMINAL_EVERY: Duration = Duration::from_millis(200);
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Runs the command.
///
/// # Errors
/// It failed, or what is checked is damaged; the text says what was attempted.
pub fn run(command: StoreCommand) -> anyhow::Result<()> {
    match command {
        StoreCommand::Check(place) => check(&place),
        StoreCommand::Export(arguments) => export(&arguments),
        StoreCommand::Import(arguments) => import(&arguments),
        StoreCommand::Compact(place) => compact(&place),
    }
}

fn open(place: &StorePlace) -> anyhow::Result<(Config, PathBuf)> {
    let overrides = Overrides { data: place.data.clone(), ..Overrides::default() };
    let config = config::load(place.config.as_deref(), &overrides)?;
    let directory = data_directory::locate(&config.data).join("store");
    Ok((config, directory))
}

/// A store that is there: looking at one must not make one.
fn open_existing(place: &StorePlace) -> anyhow::Result<(Config, PathBuf)> {
    let (config, directory) = open(place)?;
    ensure!(directory.is_dir(), "{} is not there; name the node's data directory with --data DIR", directory.display());
    Ok((config, directory))
}

fn check(place: &StorePlace) -> anyhow::Result<()> {
    let (config, directory) = open_existing(place)?;
    let mut shown = Shown::new("checking");
    let report = selvedge_store::check(&directory, &settings::store(&config), &mut |progress| shown.progress(progress))
        .context("check the store")?;
    shown.end();
    if place.json {
        print_line(&check_json(&report).to_string())?;
    } else {
        print_line(&check_text(&report))?;
    }
    if !report.is_sound() {
        bail!("{} is damaged", directory.display());
    }
    Ok(())
}

fn export(arguments: &StoreFileArguments) -> anyhow::Result<()> {
    let (config, directory) = open_existing(&arguments.place)?;
    let mut owner = OfflineReplay::default();
    let mut shown = Shown::new("exporting");
    let settings = settings::store(&config);
    let exported = selvedge_store::export(&directory, &settings, &arguments.file, Some(&mut owner), &mut |progress| {
        shown.progress(progress);
    });
    let report = exported.context("export the store")?;
    shown.end();
    told(&arguments.place, "wrote", &arguments.file.display().to_string(), &report)
}

fn import(arguments: &StoreFileArguments) -> anyhow::Result<()> {
    let (config, directory) = open(&arguments.place)?;
    if let Some(data) = directory.parent() {
        data_directory::prepare(data)?;
    }
    let mut shown = Shown::new("importing");
    let imported = selvedge_store::import(&arguments.file, &directory, &settings::store(&config), &mut |progress| {
        shown.progress(progress);
    });
    let report = imported.with_context(|| format!("import {}", arguments.file.display()))?;
    shown.end();
    told(&arguments.place, "made", &directory.display().to_string(), &report)
}

fn compact(place: &StorePlace) -> anyhow::Result<()> {
    let (config, directory) = open_existing(place)?;
    let mut owner = OfflineReplay::default();
    let mut shown = Shown::new("compacting");
    let settings = settings::store(&config);
    let compacted = selvedge_store::compact(&directory, &settings, Some(&mut owner), &mut |progress| {
        shown.progress(progress);
    });
    let report = compacted.context("compact the store")?;
    shown.end();
    if place.json {
        let report = json!({ "bytes_before": report.bytes_before, "bytes_after": report.bytes_after });
        return Ok(print_line(&report.to_string())?);
    }
    print_line(&format!("{} bytes of journal before, {} now", report.bytes_before, report.bytes_after))?;
    Ok(())
}

fn told(place: &StorePlace, what: &str, path: &str, report: &ExportReport) -> anyhow::Result<()> {
    let ExportReport { batches, messages, keys, bytes } = *report;
    let text = if place.json {
        json!({ "path": path, "bytes": bytes, "records": batches, "messages": messages, "keys": keys }).to_string()
    } else {
        format!("{what} {}: {messages} messages, {keys} keys, {bytes} bytes of file", escaped(path))
    };
    Ok(print_line(&text)?)
}

fn keys(report: &CheckReport) -> [(&'static str, u64); 4] {
    [("twins", Space::Twin), ("key_values", Space::KeyValue), ("functions", Space::Function), ("node", Space::Node)]
        .map(|(name, space)| (name, report.keys[space.index()]))
}

fn check_json(report: &CheckReport) -> Value {
    let journal = &report.journal;
    let dropped = journal.dropped.as_ref().map(|dropped| {
        json!({
            "damage": dropped.damage, "segment": dropped.segment, "offset": dropped.offset, "bytes": dropped.bytes,
            "batches_behind": dropped.batches_behind, "cause": dropped.cause,
        })
    });
    json!({
        "sound": report.is_sound(),
        "format": report.format,
        "journal": {
            "segments": journal.segments, "bytes": journal.bytes, "batches": journal.batches,
            "headers_damaged": journal.headers_damaged, "dropped": dropped,
        },
        "messages": report.messages,
        "keys": keys(report).into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "state_problem": report.state_problem,
        "set_aside": report.set_aside,
    })
}

fn check_text(report: &CheckReport) -> String {
    let journal = &report.journal;
    let mut lines = vec![
        format!("format    {}", report.format.map_or_else(|| "cannot be read".to_owned(), |format| format.to_string())),
        format!("journal   {} segments, {} bytes, {} batches", journal.segments, journal.bytes, journal.batches),
        format!("messages  {}", report.messages),
    ];
    lines.push(format!("keys      {}", keys(report).map(|(name, count)| format!("{name} {count}")).join(", ")));
    if let Some(dropped) = &journal.dropped {
        lines.push(dropped_text(dropped));
    }
    for segment in &journal.headers_damaged {
        lines.push(format!("damaged   the header of segment {segment}, which costs nothing"));
    }
    if let Some(problem) = &report.state_problem {
        let problem = escaped(problem);
        lines.push(format!("state     {problem}: the next start makes it again from the journal"));
    }
    for path in &report.set_aside {
        lines.push(format!("set aside {}", escaped(&path.display().to_string())));
    }
    lines.push(if report.is_sound() { "in order" } else { "damaged" }.to_owned());
    lines.join("\n")
}

fn dropped_text(dropped: &Dropped) -> String {
    let (Dropped { segment, offset, bytes, .. }, cause) = (dropped, escaped(&dropped.cause));
    if dropped.damage {
        let behind = dropped.batches_behind;
        format!(
            "damaged   segment {segment} at byte {offset}: {cause}; a start drops {bytes} bytes, with {behind} whole batches"
        )
    } else {
        format!(
            "torn end  segment {segment} at byte {offset}: {bytes} bytes were being written when the power went, and \
             nobody was told they were kept"
        )
    }
}

/// How far it is, on standard error.
struct Shown {
    what: &'static str,
    on_terminal: bool,
    last: Instant,
    any: bool,
}

impl Shown {
    fn new(what: &'static str) -> Self {
        Self { what, on_terminal: std::io::stderr().is_terminal(), last: Instant::now(), any: false }
    }

    fn progress(&mut self, Progress { done, total }: Progress) {
        let every = if self.on_terminal { TERMINAL_EVERY } else { LOG_EVERY };
        if total == 0 || self.last.elapsed() < every {
            return;
        }
        self.last = Instant::now();
        self.any = true;
        let percent = done.min(total) * 100 / total;
        // Progress that cannot be shown is no reason to stop.
        let _ = if self.on_terminal {
            write!(std::io::stderr(), "\r{} {percent:>3} %", self.what)
        } else {
            writeln!(std::io::stderr(), "{} {percent} %", self.what)
        };
    }

    fn end(&self) {
        if self.any && self.on_terminal {
            let _ = write!(std::io::stderr(), "\r{:<20}\r", "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_end_is_in_order_and_damage_is_not() {
        let dropped = |damage| Dropped {
            segment: 3,
            offset: 70,
            bytes: 9,
            cause: "a checksum is wrong".to_owned(),
            damage,
            batches_behind: 2,
            set_aside: Vec::new(),
        };
        let mut report = CheckReport { format: Some(2), messages: 5, keys: [1, 2, 3, 4], ..CheckReport::default() };
        assert!(check_text(&report).ends_with("twins 1, key_values 2, functions 3, node 4\nin order"));
        report.journal.dropped = Some(dropped(false));
        assert!(check_text(&report).contains("torn end  segment 3 at byte 70") && check_json(&report)["sound"] == true);
        report.journal.dropped = Some(dropped(true));
        let text = check_text(&report);
        assert!(text.contains("with 2 whole batches") && text.ends_with("\ndamaged"), "{text}");
        assert_eq!(check_json(&report)["journal"]["dropped"]["offset"], 70);
    }
}
