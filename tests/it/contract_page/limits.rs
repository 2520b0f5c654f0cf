//! The table of limits on the page, against the constants, the settings and the documents of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use requery::protocol::Watch;
use requery::server::config::ServerConfig;
use requery::server::http::document;
use serde_json::Value;

use super::{code, read, table};

/// One row of the table.
struct Row {
    limit: String,
    value: String,
    constants: Vec<String>,
}

fn rows() -> Vec<Row> {
    let rows = table("| limit | value | past it | in the code |").into_iter();
    rows.map(|row| Row { limit: row[0].clone(), value: row[1].clone(), constants: code(&row[3]) }).collect()
}

/// The value of a limit as the page writes it.
fn value_of(limit: &str) -> String {
    let row = rows().into_iter().find(|row| row.limit == limit);
    row.unwrap_or_else(|| panic!("the table has no limit `{limit}`")).value
}

/// A number of the page or of the code: bytes and counts as they are, times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Amount {
    Count(u64),
    Time(u64),
}

/// The amounts that a cell of the page names, as in `1 to 500 code points` or `40 ms*`.
fn amounts(cell: &str) -> BTreeSet<Amount> {
    let words: Vec<&str> = cell.split_whitespace().map(|word| word.trim_end_matches([',', ';', '*'])).collect();
    let mut found = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        let Ok(number) = word.replace(',', "").parse::<f64>() else { continue };
        let times = |factor: f64| (number * factor).round() as u64;
        found.insert(match words.get(at + 1).copied().unwrap_or_default() {
            "KiB" => Amount::Count(times(1024.0)),
            "MiB" => Amount::Count(times(1024.0 * 1024.0)),
            "ms" => Amount::Time(times(1.0)),
            "s" => Amount::Time(times(1_000.0)),
            "min" => Amount::Time(times(60_000.0)),
            "h" => Amount::Time(times(3_600_000.0)),
            "days" => Amount::Time(times(86_400_000.0)),
            _ => Amount::Count(times(1.0)),
        });
    }
    found
}

/// The constants of a source text and their values. The values are products of numbers and of earlier constants.
fn constants(source: &str) -> BTreeMap<String, Amount> {
    let mut all = BTreeMap::new();
    for declaration in source.split("pub const ").skip(1).filter_map(|rest| rest.split(';').next()) {
        let (name, rest) = declaration.split_once(": ").expect("a type");
        let (_, expression) = rest.split_once(" = ").expect("a value");
        let product = |text: &str| -> u64 {
            let factor = |factor: &str| -> u64 {
                let factor = factor.split(" as ").next().unwrap_or_default().trim().replace('_', "");
                factor.parse().unwrap_or_else(|_| match all.get(text_of(&factor, &all)) {
                    Some(Amount::Count(count)) => *count,
                    other => panic!("{name}: {factor} is no number but {other:?}"),
                })
            };
            text.split('*').map(factor).product()
        };
        let inside = |call: &str| expression.strip_prefix(call).and_then(|rest| rest.strip_suffix(')'));
        let amount = match (inside("Duration::from_secs("), inside("Duration::from_millis(")) {
            (Some(seconds), _) => Amount::Time(product(seconds) * 1_000),
            (None, Some(ms)) => Amount::Time(product(ms)),
            (None, None) => Amount::Count(product(expression)),
        };
        all.insert(name.to_owned(), amount);
    }
    all
}

/// The name among `all` that is `text` without its underscores.
fn text_of<'a>(text: &str, all: &'a BTreeMap<String, Amount>) -> &'a str {
    all.keys().find(|name| name.replace('_', "") == text).map_or("", String::as_str)
}

#[test]
fn amounts_and_constants_are_read_alike() {
    let source = "
        pub const BYTES: usize = 8 * 1024;
        pub const SOME_MODELS: usize = 1_000;
        pub const NOTICES: u64 = 4 * SOME_MODELS as u64;
        pub const WAIT: Duration = Duration::from_millis(100);
        pub const MEMORY: Duration = Duration::from_secs(8 * 24 * 3600);";
    let constants = constants(source);
    for (name, cell) in [
        ("BYTES", "8 KiB"),
        ("SOME_MODELS", "1 to 1,000, default 50"),
        ("NOTICES", "4,000"),
        ("WAIT", "0.1 s, if it can"),
        ("MEMORY", "8 days*"),
    ] {
        assert!(amounts(cell).contains(&constants[name]), "{name} is {:?}, not in {cell:?}", constants[name]);
    }
    assert!(!amounts("500 code points").contains(&Amount::Time(500)));
}

#[test]
fn every_limit_of_the_code_is_in_the_table_with_its_value() {
    // The constants come together in this file; until it is there, only the settings and the documents are compared.
    if !Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol/limits.rs").exists() {
        return;
    }
    let constants = constants(&read("src/protocol/limits.rs"));
    let mut named = BTreeSet::new();
    for row in rows() {
        for name in row.constants {
            let amount = constants.get(&name).unwrap_or_else(|| panic!("`{name}` is not in src/protocol/limits.rs"));
            let on_page = amounts(&row.value);
            assert!(on_page.contains(amount), "{name} is {amount:?}; the page says {:?} for {}", row.value, row.limit);
            named.insert(name);
        }
    }
    for name in constants.keys() {
        assert!(named.contains(name), "the table of limits in docs/protocol.md has no row for `{name}`");
    }
}

#[test]
fn defaults_of_settings_are_marked_and_right() {
    let config = ServerConfig::new(std::env::temp_dir().join("never-opened.db").into());
    let ms = |span: Duration| Amount::Time(u64::try_from(span.as_millis()).expect("a short time"));
    for (limit, default) in [
        ("heartbeat interval", ms(config.heartbeat)),
        ("window of merged notices", ms(config.window)),
        ("age of the change log", ms(config.retention)),
        ("open streams", Amount::Count(config.max_streams as u64)),
        ("silence of a running agent", ms(config.silence_limits.stale_after)),
        ("silence of an agent until it is lost", ms(config.silence_limits.lost_after)),
    ] {
        let value = value_of(limit);
        assert!(value.contains('*') && amounts(&value).contains(&default), "{limit}: {value}, not {default:?}");
    }
}

#[test]
fn limits_of_the_documents_are_in_the_table() {
    assert_eq!(value_of("read models in `watch`"), Watch::MAX.to_string());
    let openapi: Value = serde_json::from_str(&document::openapi()).expect("JSON");
    for (path, item) in openapi["paths"].as_object().expect("paths") {
        for parameter in item["get"]["parameters"].as_array().into_iter().flatten().filter(|one| one["name"] == "limit")
        {
            let schema = &parameter["schema"];
            let number = |name: &str| schema[name].as_f64().unwrap_or_else(|| panic!("{path}: no {name}"));
            let expected = format!("{} to {}, default {}", number("minimum"), number("maximum"), number("default"));
            let limit = if path.ends_with("/search") { "`limit` of a search" } else { "`limit` of a page" };
            assert_eq!(value_of(limit), expected, "{path}");
        }
    }
    let body = &openapi["paths"]["/api/v1/tasks/{task_id}/events"]["post"]["requestBody"];
    let batch = &body["content"]["application/json"]["schema"]["oneOf"][1]["properties"]["events"]["maxItems"];
    assert_eq!(value_of("events in a batch").replace(',', ""), batch.to_string());
}
