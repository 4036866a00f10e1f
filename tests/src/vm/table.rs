//! What was found, for a person and for a program.

use serde_json::{Value, json};

use super::{Check, CutRow, Outcome};

/// One look.
pub fn line(check: &Check) -> String {
    let (word, found) = match &check.found {
        Ok(found) => ("ok", found),
        Err(found) => ("FAILED", found),
    };
    format!("{word:<7} {:>6.1} s  {}: {}", check.took.as_secs_f64(), check.what, found.trim())
}

/// One cut.
pub fn cut_line(number: usize, cut: &CutRow) -> String {
    let ready = cut.ready.map_or("never".to_owned(), |ready| format!("{:.1} s", ready.as_secs_f64()));
    let (before, after) = &cut.versions;
    format!(
        "cut {number:>3}  {:<19} after {:>5.1} s  ready {ready:>8}  {before:>8} -> {after:<18} {} breaches",
        cut.during,
        cut.after.as_secs_f64(),
        cut.breaches
    )
}

/// Everything.
pub fn print(outcome: &Outcome) -> String {
    let mut lines: Vec<String> = outcome.checks.iter().map(line).collect();
    lines.push(String::new());
    lines.extend(outcome.cuts.iter().enumerate().map(|(index, cut)| cut_line(index + 1, cut)));
    lines.push(String::new());
    lines.join("\n") + &outcome.report.table()
}

/// The same for a program.
pub fn json(outcome: &Outcome) -> Value {
    let checks: Vec<Value> = outcome
        .checks
        .iter()
        .map(|check| {
            let (is_ok, found) = match &check.found {
                Ok(found) => (true, found),
                Err(found) => (false, found),
            };
            json!({ "what": check.what, "ok": is_ok, "found": found, "took_s": check.took.as_secs_f64() })
        })
        .collect();
    let cuts: Vec<Value> = outcome
        .cuts
        .iter()
        .map(|cut| {
            json!({
                "during": cut.during, "after_s": cut.after.as_secs_f64(), "ready_s": cut.ready.map(|ready| ready.as_secs_f64()),
                "before": cut.versions.0, "afterwards": cut.versions.1, "breaches": cut.breaches,
            })
        })
        .collect();
    json!({ "good": outcome.is_good(), "emulated": true, "checks": checks, "cuts": cuts, "account": outcome.report.to_json() })
}
