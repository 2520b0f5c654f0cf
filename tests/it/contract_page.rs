//! The contract page `docs/protocol.md` matches the code.
//!
//! Each test takes a list from the code (the types, the generated documents, or the source text of a constant) and
//! compares it with the page, so that neither can gain or lose an entry without the other. The sentences between the
//! tables are not tested.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use requery::engine::EngineSettings;
use requery::protocol::model::{EVENT_KINDS, Lane, ToolFamily};
use requery::protocol::{FrameKind, NoticeKind, VERSION, Watch};
use requery::server::error::ProblemKind;
use requery::server::http::document;
use serde_json::Value;

mod fields;
mod limits;
mod scripts;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn page() -> String {
    read("docs/protocol.md")
}

/// The lines from the heading `title` to the next heading of the same or a higher level.
fn section(title: &str) -> String {
    let page = page();
    let level = title.split(' ').next().unwrap().len();
    let ends = |line: &&str| {
        let marks = line.bytes().take_while(|byte| *byte == b'#').count();
        marks == 0 || marks > level
    };
    let lines = page.lines().skip_while(|line| *line != title).skip(1).take_while(ends);
    let text = lines.collect::<Vec<_>>().join("\n");
    assert!(!text.is_empty(), "the page has no section `{title}`");
    text
}

/// The cells of each row of the table that has this header row, anywhere on the page.
fn table(header: &str) -> Vec<Vec<String>> {
    table_in(&page(), header)
}

fn table_in(text: &str, header: &str) -> Vec<Vec<String>> {
    let rows = text.lines().skip_while(|line| *line != header).skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "there is no table `{header}`");
    rows
}

/// The texts in backticks, in their order.
fn code(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every Rust source below `folder`, with its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = format!("{folder}/{}", entry.file_name().to_str().expect("a name"));
        if entry.path().is_dir() {
            found.extend(sources(&path));
        } else if path.ends_with(".rs") {
            found.push((path.clone(), read(&path)));
        }
    }
    found
}

fn set<T: Into<String>>(all: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    all.into_iter().map(Into::into).collect()
}

#[test]
fn the_table_of_notices_matches_the_code() {
    let invalidation: Value = serde_json::from_str(&document::invalidation()).expect("JSON");
    let asyncapi: Value = serde_json::from_str(&document::asyncapi()).expect("JSON");
    let payload = |kind: &str| -> BTreeSet<String> {
        let message = &asyncapi["components"]["messages"][kind]["payload"]["properties"]["payload"]["$ref"];
        let name = message.as_str().and_then(|path| path.rsplit('/').next()).expect("a payload");
        set(asyncapi["components"]["schemas"][name]["properties"].as_object().expect("fields").keys().cloned())
    };
    let rows = table("| type | payload | makes stale |");
    let kinds: Vec<String> = rows.iter().map(|row| code(&row[0]).concat()).collect();
    let expected: Vec<&str> = NoticeKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(kinds, expected, "the kinds of the table, in the order of the catalogue");
    for row in &rows {
        let kind = code(&row[0]).concat();
        assert_eq!(set(code(&row[1])), payload(&kind), "the payload of {kind}");
        let stale = invalidation["notices"][&kind].as_array().expect("read models");
        let stale: Vec<&str> = stale.iter().map(|one| one.as_str().expect("a text")).collect();
        assert_eq!(code(&row[2]), stale, "the read models that {kind} makes stale");
    }
}

#[test]
fn every_frame_and_its_payload_is_in_the_table() {
    let asyncapi: Value = serde_json::from_str(&document::asyncapi()).expect("JSON");
    let rows = table("| type | payload | meaning |");
    let kinds: Vec<String> = rows.iter().map(|row| code(&row[0]).concat()).collect();
    assert_eq!(kinds, FrameKind::KINDS);
    for row in &rows {
        let kind = code(&row[0]).concat();
        let frame = &asyncapi["components"]["messages"][&kind]["payload"]["properties"];
        let name = frame["payload"]["$ref"].as_str().and_then(|path| path.rsplit('/').next()).expect("a payload");
        let fields = asyncapi["components"]["schemas"][name]["properties"].as_object().expect("fields");
        assert_eq!(set(code(&row[1])), set(fields.keys().cloned()), "the payload of {kind}");
        let envelope = section("### The envelope");
        let on_page =
            envelope.lines().filter(|line| line.starts_with("| `")).flat_map(|line| code(line).into_iter().next());
        assert_eq!(
            set(on_page),
            set(frame.as_object().expect("an envelope").keys().cloned()),
            "the envelope of {kind}"
        );
    }
}

/// Each close code is a `u16` constant of the server in the range that RFC 6455 gives to close codes.
#[test]
fn every_close_code_is_in_the_table() {
    let mut codes = BTreeSet::new();
    for (_, text) in sources("src/server") {
        for value in text.split(": u16 = ").skip(1).filter_map(|rest| rest.split(';').next()) {
            codes.extend(
                value.parse::<u16>().ok().filter(|code| (1000..5000).contains(code)).map(|code| code.to_string()),
            );
        }
    }
    assert!(codes.contains("1012"), "the close codes are not found in the sources: {codes:?}");
    let rows = table("| close code | the server sends it because |");
    assert_eq!(set(rows.into_iter().map(|row| row[0].clone())), codes);
}

#[test]
fn every_header_is_in_the_table() {
    let mut headers = BTreeSet::new();
    for (_, text) in sources("src/protocol").into_iter().chain([(String::new(), read("src/protocol.rs"))]) {
        for rest in text.split("_HEADER: &str = \"").skip(1) {
            headers.extend(rest.split('"').next().map(str::to_owned));
        }
    }
    assert!(headers.contains("requery-cursor"), "the headers are not found in the sources: {headers:?}");
    let rows = table("| header | direction | value |");
    assert_eq!(set(rows.iter().map(|row| code(&row[0]).concat().to_lowercase())), headers);
}

#[test]
fn every_problem_is_in_the_table_with_its_status() {
    let problems: BTreeSet<(u16, String)> =
        ProblemKind::ALL.iter().map(|kind| (kind.status.as_u16(), format!("/problems/{}", kind.name))).collect();
    assert_eq!(problems.len(), ProblemKind::ALL.len(), "two kinds have one name");
    let rows = table("| status | type | cause |");
    let on_page: BTreeSet<_> =
        rows.iter().map(|row| (row[0].parse().expect("a status"), code(&row[1]).concat())).collect();
    assert_eq!(on_page, problems);
}

/// The page lists exactly the operations of the two documents, and explains each status of the OpenAPI document.
#[test]
fn every_operation_and_status_is_on_the_page() {
    let page = page();
    let openapi: Value = serde_json::from_str(&document::openapi()).expect("JSON");
    let asyncapi: Value = serde_json::from_str(&document::asyncapi()).expect("JSON");
    let mut operations = BTreeSet::new();
    let mut statuses = BTreeSet::new();
    for (path, item) in openapi["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            operations.insert(format!("{} {path}", method.to_uppercase()));
            statuses.extend(operation["responses"].as_object().expect("responses").keys().cloned());
        }
    }
    for (_, channel) in asyncapi["channels"].as_object().expect("channels") {
        operations.insert(format!("GET {}", channel["address"].as_str().expect("an address")));
    }
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let is_operation = |text: &String| text.split_once(' ').is_some_and(|(method, _)| methods.contains(&method));
    // The documents are no operations of the document that describes them.
    let documents = ["GET /", "GET /openapi.json", "GET /asyncapi.json", "GET /docs"];
    let on_page = code(&page).into_iter().filter(is_operation);
    let on_page = on_page.map(|text| text.split('?').next().unwrap_or_default().to_owned());
    assert_eq!(on_page.filter(|text| !documents.contains(&text.as_str())).collect::<BTreeSet<_>>(), operations);
    for status in statuses {
        assert!(page.contains(&status), "the page does not explain the status {status}");
    }
}

#[test]
fn the_table_of_lanes_matches_the_code() {
    let mut named = BTreeSet::new();
    for row in table("| kind | family | lane |") {
        let (kinds, lane) = (code(&row[0]), code(&row[2]).concat());
        let mut families: Vec<Option<ToolFamily>> =
            code(&row[1]).iter().map(|family| Some(ToolFamily::parse(family).expect("a family"))).collect();
        if families.is_empty() || row[1].contains("none") {
            families.push(None);
        }
        for kind in &kinds {
            for family in &families {
                assert_eq!(Lane::of(kind, *family).as_str(), lane, "the lane of {kind} with {family:?}");
                assert!(named.insert((kind.clone(), *family)), "{kind} with {family:?} is there twice");
            }
        }
    }
    for kind in EVENT_KINDS {
        assert!(named.contains(&((*kind).to_owned(), None)), "{kind} has no lane in the table");
    }
    for family in ToolFamily::ALL {
        assert!(named.contains(&("tool".to_owned(), Some(*family))), "tool with {family} has no lane in the table");
    }
}

#[test]
fn the_version_matches_the_code() {
    assert!(page().contains(&format!("\nVersion {VERSION}. ")));
    assert!(section("## Versions").contains(&format!("now {VERSION}.")));
}

/// The times and sizes that the client rules name are the defaults of the engine.
#[test]
fn the_rules_name_the_defaults_of_the_engine() {
    let settings = EngineSettings::default();
    let seconds = |span: Duration| match span.as_millis() {
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms => format!("{} s", ms as f64 / 1000.0),
    };
    let ms = |span: Duration| format!("{} ms", span.as_millis());
    let rules = section("## Client rules").replace('\n', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    let rule = |number: u32| {
        let start = rules.find(&format!(" {number}. **")).unwrap_or_else(|| panic!("no rule {number}"));
        let end = rules.find(&format!(" {}. **", number + 1)).unwrap_or(rules.len());
        rules[start..end].to_owned()
    };
    for (number, text) in [
        (2, format!("quiet {}", ms(settings.quiet))),
        (2, format!("max wait {}", ms(settings.max_wait))),
        (4, format!("{} that doubles up to {}", seconds(settings.backoff_first), seconds(settings.backoff_most))),
        (4, format!("at most {}", seconds(settings.longest_wait))),
        (4, format!("without an answer for {}", seconds(settings.fetch_timeout))),
        (7, format!("{} that doubles up to {}", seconds(settings.backoff_first), seconds(settings.backoff_most))),
        (7, format!("lasted {}", seconds(settings.stable))),
        (8, format!("after {}", seconds(settings.patience))),
        (9, format!("at most {}", seconds(settings.longest_wait))),
        (17, format!("within {}", seconds(settings.patience))),
        (17, format!("more than {}", Watch::MAX)),
        (18, format!("{} (give or take a quarter)", seconds(settings.safety))),
        (19, format!("at most {}", seconds(settings.longest_wait))),
    ] {
        assert!(rule(number).contains(&text), "rule {number} does not say `{text}`: {}", rule(number));
    }
    assert_eq!(settings.parallel.get(), 6);
    assert!(rule(3).contains("at most six altogether"));
}
