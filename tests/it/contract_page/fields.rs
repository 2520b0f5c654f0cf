//! The fields and the words of each schema, against the part of the page that describes this schema.

use std::collections::{BTreeMap, BTreeSet};

use requery::protocol::model::{
    EVENT_KINDS, EventState, FinalStatus, Lane, SearchKind, SessionStatus, StaleReason, TaskMode, TaskStatus,
    TodoState, ToolFamily,
};
use requery::server::http::document;
use serde_json::Value;

use super::{code, page, set};

/// Each schema with fields, and the part of the page that describes it: from the first text up to the second.
/// The payloads of frames are in the tables of frames and of notices.
const PARTS: &[(&str, &str, &str)] = &[
    ("Activity", "\n- `activity`:", "\n- "),
    ("Agent", "\n- `items`: `source` (the runtime)", "\n\n"),
    ("AgentHeard", "\n| `GET /api/v1/hooks` |", "\n"),
    ("Agents", "\n**Agents**:", "\n\n"),
    ("Bookmark", "\n**Bookmark**:", "\n\n"),
    ("BookmarkPage", "\n**Pages.**", "\n\n"),
    ("BookmarksSince", "\nA list of changes is", "\n\n"),
    ("ChildTask", "\n- `children`,", "\n- "),
    ("ChildrenSince", "\nA list of changes is", "\n\n"),
    ("Event", "\n**Event**\n", "\n\n| kind |"),
    ("EventPage", "\n**Pages.**", "\n\n"),
    ("EventPatch", "\n| `PATCH /api/v1/events/{event_id}` |", "\n"),
    ("EventsLogged", "\n| `POST /api/v1/tasks/{task_id}/events` |", "\n"),
    ("EventsSince", "\nA list of changes is", "\n\n"),
    ("FieldProblem", "`errors`, a list of", "\n\n"),
    ("HooksHeard", "\n| `GET /api/v1/hooks` |", "\n"),
    ("Imported", "\nThe answer is `{lines,", "\n\n"),
    ("ModelUsage", "\n- `usage` of all models", "\n- "),
    ("NeedsYou", "\n- `needs_you`:", "\n- "),
    ("NewEvent", "\n**Events.**", "\n\n"),
    ("NewSession", "\n| `POST /api/v1/tasks/{task_id}/sessions` |", "\n"),
    ("NewTask", "\n| `POST /api/v1/tasks` |", "\n"),
    ("OpenCall", "\n- `open_calls`,", "\n- "),
    ("OpenStream", "\n| `GET /api/v1/streams` |", "\n"),
    ("OpenStreams", "\n| `GET /api/v1/streams` |", "\n"),
    ("Overview", "\n**Overview**:", "\n"),
    ("PlacedBookmark", "\nA list of changes is", "\n\n"),
    ("PlacedChild", "\nA list of changes is", "\n\n"),
    ("PlacedEvent", "\nA list of changes is", "\n\n"),
    ("PlacedSession", "\nA list of changes is", "\n\n"),
    ("PlacedTask", "\nA list of changes is", "\n\n"),
    ("Problem", "\n## Errors\n", "\n\n|"),
    ("Project", "\n- `GET /api/v1/projects`", "\n\n"),
    ("ProjectPage", "\n**Pages.**", "\n\n"),
    ("Purge", "\n| `POST /api/v1/tasks/purge` |", "\n"),
    ("Purged", "\n| `POST /api/v1/tasks/purge` |", "\n"),
    ("RegisterAgent", "\n| `PUT /api/v1/agents` |", "\n"),
    ("SaveBookmark", "\n| `PUT /api/v1/bookmarks` |", "\n"),
    ("SearchHit", "\n- `items`: `kind`", "\n- "),
    ("SearchResults", "\n## Search\n", "\n## "),
    ("Session", "\n- `sessions`,", "\n- "),
    ("SessionPatch", "\n| `PATCH /api/v1/sessions/{session_id}` |", "\n"),
    ("SessionsSince", "\nA list of changes is", "\n\n"),
    ("SkippedLine", "\nThe answer is `{lines,", "\n\n"),
    ("Snippet", "\n- `items`: `kind`", "\n- "),
    ("SourceCount", "\n- `sources`:", "\n- "),
    ("Stats", "\n- `stats`:", "\n- "),
    ("Task", "\n**Task**\n", "\n\n| `status_reason` |"),
    ("TaskDetail", "\n**Task detail**:", "\n"),
    ("TaskDetailSince", "\nThe changes of a task detail are", "\n\n"),
    ("TaskFigures", "\n- `figures`:", "\n- "),
    ("TaskPage", "\n**Pages.**", "\n\n"),
    ("TaskPatch", "\n| `PATCH /api/v1/tasks/{task_id}` |", "\n"),
    ("TasksSince", "\nA list of changes is", "\n\n"),
    ("Timeline", "\n- `timeline`:", "\n\n"),
    ("Todo", "\n- `todos`,", "\n- "),
    ("TodoProgress", "\n| `progress` |", "\n"),
    ("TouchedFile", "\n- `files`,", "\n- "),
    ("Usage", "\n**Usage**:", "\n\n"),
];

/// The names in backticks between two texts of the page. `{items, next}` has two names.
fn names_between(start: &str, end: &str) -> BTreeSet<String> {
    let page = page();
    let (_, rest) = page.split_once(start).unwrap_or_else(|| panic!("the page has no {start:?}"));
    let (part, _) = rest.split_once(end).unwrap_or_else(|| panic!("the page has no {end:?} after {start:?}"));
    names_in(&format!("{start}{part}"))
}

fn names_in(text: &str) -> BTreeSet<String> {
    let is_apart = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    set(code(text).iter().flat_map(|span| span.split(is_apart)))
}

#[test]
fn every_field_is_in_the_part_of_its_schema() {
    let openapi: Value = serde_json::from_str(&document::openapi()).expect("JSON");
    let asyncapi: Value = serde_json::from_str(&document::asyncapi()).expect("JSON");
    let messages = asyncapi["components"]["messages"].as_object().expect("messages").values();
    let payload = |message: &Value| {
        let path = message["payload"]["properties"]["payload"]["$ref"].as_str()?;
        path.rsplit('/').next().map(str::to_owned)
    };
    let payloads: BTreeSet<String> = messages.filter_map(payload).collect();
    let schemas = openapi["components"]["schemas"].as_object().expect("schemas");
    let mut parts: BTreeMap<&str, BTreeSet<String>> =
        PARTS.iter().map(|(name, start, end)| (*name, names_between(start, end))).collect();
    assert_eq!(parts.len(), PARTS.len(), "a schema is listed twice");
    for (name, schema) in schemas.iter().filter(|(name, _)| !payloads.contains(*name)) {
        let Some(fields) = schema["properties"].as_object() else { continue };
        let part = parts.remove(name.as_str()).unwrap_or_else(|| panic!("add the part of the page for {name} here"));
        for field in fields.keys() {
            assert!(part.contains(field), "the page has no field `{field}` where it describes {name}");
        }
    }
    assert!(parts.is_empty(), "the document has no schemas {:?}", parts.keys());
}

#[test]
fn every_parameter_is_in_the_row_of_its_operation() {
    let openapi: Value = serde_json::from_str(&document::openapi()).expect("JSON");
    for (path, item) in openapi["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let start = format!("\n| `{} {path}` |", method.to_uppercase());
            let mut part = match path.as_str() {
                "/api/v1/search" => names_between("\n## Search\n", "\n## "),
                "/api/v1/stream" => names_between("\n## Streams\n", "\n### "),
                _ => names_between(&start, "\n"),
            };
            let page = page();
            let row = page.split_once(&start).and_then(|(_, rest)| rest.lines().next());
            if row.is_some_and(|row| row.ends_with("page |")) {
                part.extend(names_between("\n**Pages.**", "\n\n"));
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().expect("a name");
                // The sections on reads and on hooks describe each header once, for all operations.
                let found = if parameter["in"] == "header" { names_in(&page) } else { part.clone() };
                assert!(found.contains(name), "the page has no parameter `{name}` of {method} {path}");
            }
        }
    }
}

#[test]
fn every_word_of_a_closed_set_is_in_its_part() {
    macro_rules! words {
        ($type:ident) => {
            (stringify!($type), $type::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>())
        };
    }
    let lanes = ("\n| kind | family | lane |", "\n\n");
    for ((name, words), (start, end)) in [
        (words!(TaskStatus), ("\n| `status` | `running`", "\n")),
        (words!(FinalStatus), ("\n`parent_task_id` can be `null`. `status` is", "\n")),
        (words!(SessionStatus), ("\n- `sessions`,", "\n- ")),
        (words!(TodoState), ("\n- `todos`,", "\n- ")),
        (words!(TaskMode), ("\n| `mode` |", "\n")),
        (words!(StaleReason), ("\nThe server flags only tasks", "\n\n")),
        (words!(ToolFamily), ("\n| `family` |", "\n")),
        (words!(ToolFamily), lanes),
        (words!(Lane), lanes),
        (words!(EventState), ("\n| `state` |", "\n")),
        (words!(SearchKind), ("\n- `items`: `kind`", "\n- ")),
        (("EVENT_KINDS", EVENT_KINDS.to_vec()), lanes),
    ] {
        let part = names_between(start, end);
        for word in words {
            assert!(part.contains(word), "the page has no word `{word}` of {name} after {start:?}");
        }
    }
}
