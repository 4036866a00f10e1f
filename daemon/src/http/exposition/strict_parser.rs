//! A strict reader of the text exposition format 0.0.4, for tests: refuses what Prometheus refuses, and what it only tolerates.

use std::collections::BTreeMap;

/// One metric with all its samples.
#[derive(Debug)]
pub struct ParsedFamily {
    pub kind: String,
    pub samples: Vec<ParsedSample>,
}

/// One line.
#[derive(Debug)]
pub struct ParsedSample {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// Reads a whole scrape.
pub fn parse(text: &str) -> Result<BTreeMap<String, ParsedFamily>, String> {
    if !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut families: BTreeMap<String, ParsedFamily> = BTreeMap::new();
    let mut helped: Option<String> = None;
    let mut current = String::new();
    for line in text.split_terminator('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or(format!("no help: {line}"))?;
            check_name(name)?;
            if help.trim().is_empty() || families.contains_key(name) {
                return Err(format!("empty or second help: {line}"));
            }
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or(format!("no type: {line}"))?;
            if helped.take().as_deref() != Some(name) || !["counter", "gauge"].contains(&kind) {
                return Err(format!("type without help, or unknown: {line}"));
            }
            if kind == "counter" && !name.ends_with("_total") {
                return Err(format!("a counter must end in _total: {line}"));
            }
            families.insert(name.to_owned(), ParsedFamily { kind: kind.to_owned(), samples: Vec::new() });
            current = name.to_owned();
        } else {
            let (name, sample) = parse_sample(line)?;
            let family = families
                .get_mut(&current)
                .filter(|_| name == current)
                .ok_or(format!("sample outside of its family: {line}"))?;
            if family.samples.iter().any(|other| other.labels == sample.labels) {
                return Err(format!("twice: {line}"));
            }
            if family.kind == "counter" && sample.value < 0.0 {
                return Err(format!("negative counter: {line}"));
            }
            family.samples.push(sample);
        }
    }
    Ok(families)
}

fn parse_sample(line: &str) -> Result<(String, ParsedSample), String> {
    let wrong = || format!("no sample: {line}");
    let name_end = line.find(['{', ' ']).ok_or_else(wrong)?;
    let (name, mut rest) = line.split_at(name_end);
    check_name(name)?;
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or_else(wrong)?;
            check_name(label)?;
            let (value, after) = quoted(after).ok_or_else(wrong)?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err(format!("label twice: {line}"));
            }
            match after.split_at_checked(1).ok_or_else(wrong)? {
                (",", after) => rest = after,
                ("}", after) => {
                    rest = after;
                    break;
                }
                _ => return Err(wrong()),
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or_else(wrong)?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number if number.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            number.parse().map_err(|_| wrong())?
        }
        _ => return Err(wrong()),
    };
    Ok((name.to_owned(), ParsedSample { labels, value }))
}

/// The unescaped text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match characters.next()?.1 {
                '\\' => '\\',
                '"' => '"',
                'n' => '\n',
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    None
}

fn check_name(name: &str) -> Result<(), String> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if first && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        Ok(())
    } else {
        Err(format!("no name: {name:?}"))
    }
}

#[test]
fn the_parser_refuses_what_is_wrong() {
    for text in [
        "x 1\n",
        "# HELP x h\nx 1\n",
        "# HELP x h\n# TYPE x gauge\ny 1\n",
        "# HELP x h\n# TYPE x counter\nx 1\n",
        "# HELP x h\n# TYPE x gauge\nx{a=\"1} 1\n",
        "# HELP x h\n# TYPE x gauge\nx{a=\"\\q\"} 1\n",
        "# HELP x h\n# TYPE x gauge\nx 1\nx 2\n",
        "# HELP x h\n# TYPE x gauge\nx 1",
        "# HELP x h\n# TYPE x gauge\nx one\n",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    assert!(parse("# HELP x h\n# TYPE x gauge\nx{a=\"1\"} 1\nx{a=\"2\"} -0.5\n").is_ok());
}
