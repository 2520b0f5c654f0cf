//! The documents describe the wire: the checked-in files equal the generated ones, the answers of a server fit their
//! schemas, and serde writes JSON as the schemas describe it.

use poem_openapi::types::ToJSON;
use requery::protocol::model::{
    Activity, Agent, Agents, Bookmark, BookmarkPage, ChildTask, Event, EventPage, EventState, EventsLogged, HooksHeard,
    Imported, Lane, ModelUsage, NeedsYou, OpenCall, Overview, Project, ProjectPage, Purged, SearchHit, SearchKind,
    SearchResults, Session, SessionStatus, SkippedLine, Snippet, SourceCount, StaleReason, Stats, Task, TaskDetail,
    TaskFigures, TaskMode, TaskPage, TaskStatus, Timeline, Timestamp, Todo, TodoState, ToolFamily, TouchedFile, Usage,
};
use requery::protocol::write::{
    EventPatch, NewEvent, NewSession, NewTask, Purge, RegisterAgent, SaveBookmark, SessionPatch, TaskPatch,
};
use requery::protocol::{
    AgentChanged, AgentRegistered, BookmarkDeleted, BookmarkSaved, Closing, EventLogged, EventUpdated, Heartbeat,
    Notice, NoticeKind, Resumed, Resync, SessionEnded, SessionStarted, SnapshotPayload, Stale, TaskCompleted,
    TaskDeleted, TaskStarted, TaskUpdated, TasksPurged, Watch, Watching,
};
use requery::server::http::document;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::app::App;
use crate::rest::{Client, TASK};

const ID: &str = "0190b0a0-0000-7000-8000-00000000000a";
const TIME: &str = "2026-01-31T09:30:00.000Z";

#[test]
fn the_checked_in_documents_are_the_generated_ones() {
    for (name, generated) in document::all() {
        let path = format!("{}/openapi/{name}", env!("CARGO_MANIFEST_DIR"));
        let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(checked_in == generated, "{name} is old: run `requery openapi --write openapi`");
    }
}

/// serde writes the answers, and poem-openapi makes the schemas. Both write each type to the same bytes, so the schemas
/// describe the answers.
#[test]
fn serde_writes_answers_as_the_schemas_describe() {
    let task = json!({
        "task_id": ID, "title": "a", "project": "p", "status": "waiting", "mode": "primary", "parent_task_id": null,
        "parent_session_id": ID, "workspace": "/w", "source": "api", "status_reason": null, "status_detail": "d", "status_certain": false, "waiting_since": TIME,
        "stale_since": TIME, "stale_reason": "gone", "summary": "s", "event_count": 3, "created_at": TIME, "changed_at": TIME, "ended_at": null,
        "progress": {"done": 1, "total": 3, "active": "t"}, "model": "m", "branch": "b", "commit": "3f9d2c1", "pull_request": null,
    });
    let session = json!({
        "session_id": ID, "task_id": ID, "source": "api", "runtime_session_id": "r", "status": "lost", "summary": null,
        "started_at": TIME, "ended_at": TIME, "model": "m", "host": null,
    });
    let child = json!({
        "task_id": ID, "title": "a", "project": "p", "status": "errored", "mode": "background", "status_reason": "x",
        "status_certain": true, "stale_since": null, "created_at": TIME, "ended_at": TIME,
    });
    let event = json!({
        "event_id": ID, "task_id": ID, "session_id": null, "position": 7, "kind": "tool", "family": "terminal",
        "lane": "git", "state": "ok", "title": "t", "body": "b\"\n", "metadata": {"a": {"z": 1, "b": [1.5, null]}},
        "truncated": 70000, "created_at": TIME, "updated_at": TIME,
    });
    let bookmark = json!({
        "bookmark_id": ID, "task_id": ID, "event_id": null, "title": "t", "note": "n", "created_at": TIME,
        "updated_at": TIME,
    });
    let stats = json!({
        "total_tasks": 1, "running_tasks": 2, "waiting_tasks": 3, "completed_tasks": 4, "errored_tasks": 5,
        "total_events": 6,
    });
    let needs_you = json!({"task_id": ID, "title": "t", "project": "p", "source": "api", "status": "errored",
        "status_certain": false, "reason": null, "detail": "d", "since": TIME});
    let project = json!({
        "project": "p", "total_tasks": 10, "running_tasks": 1, "waiting_tasks": 2, "completed_tasks": 3, "errored_tasks": 4,
        "changed_at": TIME,
    });
    let activity = json!({"hour": TIME, "events": 3});
    let source = json!({"source": "api", "tasks": 3});
    let figures = json!({"events": 1, "sessions": 2, "children": 3});
    let usage = json!({
        "answers": 3, "input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 3, "cache_write_tokens": 4,
        "cost_usd": 0.25, "answers_with_cost": 2,
    });
    let model = json!({"model": null, "usage": usage});
    let skipped = json!({"line": 3, "reason": "r"});
    let todo = json!({"id": "1", "title": "t", "state": "in_progress"});
    let call = json!({
        "event_id": ID, "session_id": ID, "kind": "tool", "family": "terminal", "title": "t", "since": TIME,
    });
    let file = json!({"path": "src/a.rs", "changes": 2, "changed_at": TIME});
    let timeline = json!({"items": [event], "next": null});
    let page = |item: &Value| json!({"items": [item], "next": "n", "previous": null});

    check::<Task>(&task);
    check::<Session>(&session);
    check::<ChildTask>(&child);
    check::<Event>(&event);
    check::<Bookmark>(&bookmark);
    check::<Stats>(&stats);
    check::<NeedsYou>(&needs_you);
    check::<Activity>(&activity);
    check::<SourceCount>(&source);
    check::<TaskFigures>(&figures);
    check::<Usage>(&usage);
    check::<ModelUsage>(&model);
    check::<SkippedLine>(&skipped);
    check::<Imported>(&json!({
        "lines": 9, "passed_over": 1, "skipped": 2, "reasons": [skipped], "tasks": 3, "events": 4, "usage": usage,
    }));
    check::<Todo>(&todo);
    check::<OpenCall>(&call);
    check::<TouchedFile>(&file);
    check::<Timeline>(&timeline);
    check::<TaskPage>(&page(&task));
    check::<EventPage>(&page(&event));
    check::<BookmarkPage>(&page(&bookmark));
    check::<Project>(&project);
    check::<ProjectPage>(&page(&project));
    check::<EventsLogged>(&json!({"items": [event]}));
    check::<Purged>(&json!({"count": 3, "tasks": [task]}));
    check::<Overview>(&json!({
        "stats": stats, "needs_you": [needs_you], "activity": [activity], "sources": [source],
        "usage": usage,
    }));
    check::<TaskDetail>(&json!({
        "task": task, "sessions": [session], "children": [child], "figures": figures, "usage": usage,
        "models": [model], "todos": [todo], "open_calls": [call], "files": [file], "timeline": timeline,
    }));
    let snippet = json!({"text": "…a", "marks": [[1, 2]]});
    check::<Snippet>(&snippet);
    let hit = json!({
        "kind": "bookmark", "task_id": ID, "event_id": null, "bookmark_id": ID, "project": "p", "title": "t",
        "title_marks": [[0, 1]], "snippet": snippet, "at": TIME,
    });
    check::<SearchHit>(&hit);
    check::<HooksHeard>(&json!({"agents": [{"agent": "codex", "heard_at": TIME}]}));
    let agent = json!({
        "source": "codex", "host": "north", "version": null, "hooks": 9, "heard_at": TIME, "running": 2,
    });
    check::<Agent>(&agent);
    check::<Agents>(&json!({"items": [agent]}));
    check::<SearchResults>(&json!({"items": [hit], "complete": true}));
    for kind in SearchKind::ALL {
        check::<SearchKind>(&json!(kind.as_str()));
    }
    for status in TaskStatus::ALL {
        check::<TaskStatus>(&json!(status.as_str()));
    }
    for word in Lane::ALL {
        check::<Lane>(&json!(word.as_str()));
    }
    for word in ToolFamily::ALL {
        check::<ToolFamily>(&json!(word.as_str()));
    }
    for word in EventState::ALL {
        check::<EventState>(&json!(word.as_str()));
    }
    for word in SessionStatus::ALL {
        check::<SessionStatus>(&json!(word.as_str()));
    }
    for word in StaleReason::ALL {
        check::<StaleReason>(&json!(word.as_str()));
    }
    for word in TodoState::ALL {
        check::<TodoState>(&json!(word.as_str()));
    }
    for word in TaskMode::ALL {
        check::<TaskMode>(&json!(word.as_str()));
    }
    check::<Timestamp>(&json!(TIME));
}

/// A server of an earlier version leaves out the fields that came later. A client reads its answers all the same.
#[test]
fn answers_of_an_earlier_server_are_read() {
    let needs_you = json!({"task_id": ID, "title": "t", "project": "p", "reason": "question", "since": TIME});
    let read: NeedsYou = serde_json::from_value(needs_you).unwrap();
    assert_eq!((read.source.as_str(), read.detail), ("", None));
    assert_eq!((read.status, read.status_certain), (TaskStatus::Waiting, true));
    let task = json!({
        "task_id": ID, "title": "a", "project": "p", "status": "waiting", "mode": "primary", "parent_task_id": null,
        "parent_session_id": null, "workspace": null, "source": "api", "status_reason": null, "waiting_since": TIME,
        "stale_since": null, "stale_reason": null, "summary": null, "event_count": 3, "created_at": TIME,
        "changed_at": TIME, "ended_at": null,
    });
    let task: Task = serde_json::from_value(task).unwrap();
    assert_eq!((task.status_detail, task.status_certain), (None, true));
    assert_eq!(serde_json::from_value::<Purged>(json!({"count": 3})).unwrap().tasks, None);
}

#[test]
fn serde_writes_bodies_as_the_schemas_describe() {
    check::<NewTask>(&json!({
        "task_id": ID, "title": "t", "project": "p", "status": "running", "mode": "primary", "parent_task_id": ID,
        "parent_session_id": ID, "workspace": "/w", "source": "s", "status_reason": "r", "status_detail": "d",
        "waiting_since": TIME, "summary": "s", "created_at": TIME,
    }));
    check::<TaskPatch>(&json!({
        "title": "t", "project": "p", "status": "running", "mode": "primary", "workspace": "/w", "status_reason": "r",
        "status_detail": "d", "waiting_since": TIME, "summary": "s",
    }));
    check::<Purge>(&json!({"status": "completed", "older_than": TIME, "project": "p", "dry_run": true}));
    check::<NewSession>(&json!({
        "session_id": ID, "source": "s", "runtime_session_id": "r", "started_at": TIME,
    }));
    check::<SessionPatch>(&json!({"status": "lost", "summary": "s", "ended_at": TIME}));
    check::<NewEvent>(&json!({
        "event_id": ID, "session_id": ID, "kind": "tool", "family": "mcp", "lane": "git", "state": "ok", "title": "t",
        "body": "b", "metadata": {"a": 1}, "created_at": TIME,
    }));
    check::<EventPatch>(&json!({
        "family": "mcp", "lane": "git", "state": "ok", "title": "t", "body": "b", "metadata": {"a": 1},
    }));
    check::<RegisterAgent>(&json!({"source": "codex", "host": "north", "version": "0.169.0", "hooks": 9}));
    check::<SaveBookmark>(&json!({"bookmark_id": ID, "task_id": ID, "event_id": ID, "title": "t", "note": "n"}));
}

#[test]
fn serde_writes_frames_as_the_schemas_describe() {
    for notice in Notice::samples() {
        let frame = serde_json::to_value(&notice).unwrap();
        check_payload(notice.notice_kind(), &frame["payload"]);
        // A task without a parent.
        let mut payload = frame["payload"].clone();
        if let Some(parent) = payload.get_mut("parent_task_id") {
            *parent = Value::Null;
            check_payload(notice.notice_kind(), &payload);
        }
    }

    let beats = json!({"server_time": TIME, "heartbeat_ms": 25000, "version": "1.0", "known": false});
    let with = |more: Value| {
        let mut all = beats.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    check::<Resumed>(&with(json!({"stale": ["overview", "task:*", format!("task:{ID}")]})));
    check::<SnapshotPayload>(&json!({
        "stats": serde_json::to_value(Stats::default()).unwrap(), "tasks": [], "next": null, "needs_you": [],
        "activity": [], "sources": [], "usage": serde_json::to_value(Usage::default()).unwrap(), "server_time": TIME,
        "heartbeat_ms": 25000, "version": "1.0", "known": true,
    }));
    check::<Stale>(&json!({"read_models": ["bookmarks"]}));
    check::<Watching>(&json!({"read_models": ["bookmarks"]}));
    check::<Watch>(&json!({"read_models": ["overview"]}));
    check::<Heartbeat>(&json!({"server_time": TIME}));
    check::<Resync>(&json!({"reason": "r"}));
    check::<Closing>(&json!({"retry_ms": 3}));
}

/// Checks the payload of a notice. An arm for each kind: a kind without one fails the test.
#[track_caller]
fn check_payload(kind: NoticeKind, payload: &Value) {
    match kind {
        NoticeKind::TaskStarted => check::<TaskStarted>(payload),
        NoticeKind::TaskUpdated => check::<TaskUpdated>(payload),
        NoticeKind::TaskCompleted => check::<TaskCompleted>(payload),
        NoticeKind::TaskDeleted => check::<TaskDeleted>(payload),
        NoticeKind::TasksPurged => check::<TasksPurged>(payload),
        NoticeKind::SessionStarted => check::<SessionStarted>(payload),
        NoticeKind::SessionEnded => check::<SessionEnded>(payload),
        NoticeKind::EventLogged => check::<EventLogged>(payload),
        NoticeKind::EventUpdated => check::<EventUpdated>(payload),
        NoticeKind::BookmarkSaved => check::<BookmarkSaved>(payload),
        NoticeKind::BookmarkDeleted => check::<BookmarkDeleted>(payload),
        NoticeKind::AgentRegistered => check::<AgentRegistered>(payload),
        NoticeKind::AgentChanged => check::<AgentChanged>(payload),
        // `NoticeKind` may grow, so the compiler asks for this arm.
        other => panic!("add the payload of {} here", other.as_str()),
    }
}

#[track_caller]
fn check<T: DeserializeOwned + Serialize + ToJSON>(sample: &Value) {
    let value: T = serde_json::from_value(sample.clone()).unwrap();
    let by_serde = serde_json::to_string(&value).unwrap();
    assert_eq!(by_serde, sample.to_string());
    assert_eq!(by_serde, value.to_json().unwrap_or_default().to_string());
}

/// Runs the example of each operation, and checks each answer against its schema in the document.
#[tokio::test]
async fn every_example_works_and_every_answer_fits_its_schema() {
    let document: Value = serde_json::from_str(&document::openapi()).unwrap();
    let client = Client::of(&App::start().await);
    let order = [
        "start_task",
        "start_task",
        "update_task",
        "start_session",
        "log_events",
        "update_event",
        "save_bookmark",
        "save_bookmark",
        "update_session",
        "overview",
        "tasks",
        "task",
        "timeline",
        "bookmarks",
        "search",
        "delete_bookmark",
        "delete_event",
        "projects",
        "purge_dry_run",
        "purge_tasks",
        "delete_task",
        "task",
        "hook_claude_code",
        "hook_codex",
        "hook_of_source",
        "register_agent",
        "agents",
        "import_claude_code",
        "alive",
        "ready",
    ];
    for id in order {
        let (path, method, operation) = operation(&document, id);
        let mut url = path.to_owned();
        let mut headers = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let Some(example) = parameter["example"].as_str() else { continue };
            let name = parameter["name"].as_str().unwrap();
            match parameter["in"].as_str().unwrap() {
                "path" => url = url.replace(&format!("{{{name}}}"), example),
                "header" => headers.push((name, example.to_owned())),
                "query" => url = format!("{url}?{name}={}", example.replace(' ', "%20")),
                other => panic!("{id}: an example in {other}"),
            }
        }
        let body = operation.pointer("/requestBody/content/application~1json");
        if let Some(body) = body {
            fits(&document, &body["schema"], &body["example"], id);
        }
        let lines = operation.pointer("/requestBody/content/application~1octet-stream");
        let lines = lines.map(|lines| lines["example"].as_str().unwrap().to_owned());
        let text = body.map(|body| body["example"].to_string()).or(lines);
        let answer = client.send(&method.to_uppercase(), &url, text, &headers).await;
        let described = &operation["responses"][answer.status.to_string()];
        assert!(described.is_object(), "{id}: {} is not described: {}", answer.status, answer.text);
        match described["content"].as_object().into_iter().flatten().next() {
            Some((media_type, content)) => {
                assert_eq!(answer.header("content-type"), *media_type, "{id}");
                fits(&document, &content["schema"], &answer.json(), id);
            }
            None => assert_eq!(answer.text, "", "{id}"),
        }
        for (name, header) in described["headers"].as_object().into_iter().flatten() {
            assert!(header["required"] != json!(true) || !answer.header(name).is_empty(), "{id}: no {name}");
        }
    }
    assert_eq!(client.get(&format!("/api/v1/tasks/{TASK}")).await.status, 404);
}

/// Generators of clients fail on two media types, or pick the wrong one.
#[test]
fn every_operation_has_one_media_type_and_lists_count_their_items() {
    let document: Value = serde_json::from_str(&document::openapi()).unwrap();
    let mut bodies = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(content) = operation.pointer("/requestBody/content") else { continue };
            let types: Vec<&String> = content.as_object().unwrap().keys().collect();
            let expected = if path.contains("/transcripts/") { "application/octet-stream" } else { "application/json" };
            assert_eq!(types, [expected], "{method} {path}");
            bodies += 1;
        }
    }
    assert_eq!(bodies, 14);
    assert_eq!(document["servers"], json!([{"url": "."}]));
    // No operation of the document has these two, since each of its paths and methods exists.
    let about = document["info"]["description"].as_str().unwrap();
    assert!(about.contains("404") && about.contains("405, and `Allow` names the methods"), "{about}");
    let marks = &document["components"]["schemas"]["Snippet"]["properties"]["marks"]["items"];
    assert_eq!((&marks["minItems"], &marks["maxItems"], marks.get("minLength")), (&json!(2), &json!(2), None));
    let mut parts = vec![&document];
    while let Some(part) = parts.pop() {
        assert!(part["type"] == "string" || part.get("minLength").or(part.get("maxLength")).is_none(), "{part}");
        assert!(!part["enum"].as_array().is_some_and(|words| words.contains(&Value::Null)), "{part}");
        match part {
            Value::Object(map) => parts.extend(map.values()),
            Value::Array(all) => parts.extend(all),
            _ => {}
        }
    }
}

/// Sends each text of a body with its longest length, and with one character more.
#[tokio::test]
async fn bounds_of_texts_are_the_bounds_of_the_server() {
    let document: Value = serde_json::from_str(&document::openapi()).unwrap();
    let client = Client::of(&App::start().await);
    let task = client.task("t", json!({})).await;
    let session = client.post(&format!("/api/v1/tasks/{task}/sessions"), json!({})).await.text_at("/session_id");
    let event = client.post(&format!("/api/v1/tasks/{task}/events"), json!({"kind": "log"})).await.text_at("/event_id");
    let mut bounds = 0;
    for (schema, method, path, base) in [
        ("NewTask", "POST", "/api/v1/tasks".to_owned(), json!({"title": "t", "status": "waiting"})),
        ("TaskPatch", "PATCH", format!("/api/v1/tasks/{task}"), json!({"status": "waiting"})),
        ("NewSession", "POST", format!("/api/v1/tasks/{task}/sessions"), json!({})),
        ("SessionPatch", "PATCH", format!("/api/v1/sessions/{session}"), json!({})),
        ("NewEvent", "POST", format!("/api/v1/tasks/{task}/events"), json!({"kind": "log"})),
        ("EventPatch", "PATCH", format!("/api/v1/events/{event}"), json!({})),
        ("SaveBookmark", "PUT", "/api/v1/bookmarks".to_owned(), json!({"task_id": task})),
        ("RegisterAgent", "PUT", "/api/v1/agents".to_owned(), json!({"source": "codex"})),
        ("Purge", "POST", "/api/v1/tasks/purge".to_owned(), json!({"project": "none"})),
    ] {
        let schema = &document["components"]["schemas"][schema];
        for (field, property) in schema["properties"].as_object().unwrap() {
            let send = async |length: u64| {
                let mut body = base.clone();
                body[field] = json!("x".repeat(usize::try_from(length).unwrap()));
                client.send(method, &path, Some(body.to_string()), &[]).await
            };
            if let Some(most) = property["maxLength"].as_u64() {
                let fits = send(most).await;
                assert!(fits.status < 300, "{field}: {}", fits.text);
                assert_eq!(send(most + 1).await.problem(), format!("422 {field}"));
                bounds += 1;
            }
            if let Some(least) = property["minLength"].as_u64() {
                assert_eq!(send(least - 1).await.problem(), format!("422 {field}"));
                bounds += 1;
            }
        }
    }
    assert_eq!(bounds, 30);
}

fn operation<'a>(document: &'a Value, id: &str) -> (&'a str, &'a str, &'a Value) {
    let operations = document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    operations.into_iter().find(|(_, _, operation)| operation["operationId"] == id).unwrap()
}

#[track_caller]
fn fits(document: &Value, schema: &Value, value: &Value, operation: &str) {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    document::json_schema(&mut schema);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<String> = validator.iter_errors(value).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{operation}: {faults:?}\n{value:#}");
}

/// Each `$ref` resolves, and both documents name each kind of frame.
#[test]
fn references_resolve_and_both_documents_name_every_kind() {
    for text in [document::openapi(), document::asyncapi()] {
        let document: Value = serde_json::from_str(&text).unwrap();
        let mut parts = vec![&document];
        while let Some(part) = parts.pop() {
            if let Some(reference) = part["$ref"].as_str() {
                assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
            }
            assert!(part.get("allOf").is_none(), "{part}");
            match part {
                Value::Object(map) => parts.extend(map.values()),
                Value::Array(all) => parts.extend(all),
                _ => {}
            }
        }
        for kind in requery::protocol::FrameKind::KINDS.iter().chain(requery::protocol::Notice::KINDS) {
            assert!(text.contains(&format!("\"{kind}\"")), "{kind}");
        }
    }
}
