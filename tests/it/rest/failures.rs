//! Each failure answers a problem that names the wrong part of the request, and changes no row.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Client, TASK};
use crate::app::{App, PATIENCE};

#[tokio::test]
async fn unknown_paths_give_404_and_wrong_methods_405() {
    let client = Client::of(&App::start().await);
    for path in ["/api", "/api/v1", "/api/v1/nothing", "/api/v2/tasks", "/api/v1/tasks/1/2/3"] {
        assert_eq!(client.get(path).await.problem(), "404", "{path}");
    }
    for (method, path, allow) in [
        ("PUT", "/api/v1/tasks", "GET, POST, HEAD"),
        ("DELETE", "/api/v1/overview", "GET, HEAD"),
        ("POST", "/api/v1/tasks/x", "GET, PATCH, DELETE, HEAD"),
        ("GET", "/api/v1/tasks/purge", "POST"),
        ("GET", "/api/v1/hooks/codex", "POST"),
        ("DELETE", "/docs", "GET, HEAD"),
        ("POST", "/ws", "GET, HEAD"),
    ] {
        let answer = client.send(method, path, None::<String>, &[]).await;
        assert_eq!((answer.problem().as_str(), answer.header("allow")), ("405", allow), "{method} {path}");
    }
}

#[tokio::test]
async fn wrong_parameters_are_refused_by_name() {
    let client = Client::of(&App::start().await);
    for (path, problem) in [
        ("/api/v1/tasks/nonsense", "422 task_id"),
        ("/api/v1/tasks/nonsense/timeline", "422 task_id"),
        ("/api/v1/tasks?limit=0", "422 limit"),
        ("/api/v1/tasks?limit=201", "422 limit"),
        ("/api/v1/tasks?limit=-1", "422 limit"),
        ("/api/v1/tasks?limit=many", "422 limit"),
        ("/api/v1/tasks?status=odd", "422 status"),
        ("/api/v1/tasks?parent=odd", "422 parent"),
        ("/api/v1/tasks?before=odd", "400"),
        ("/api/v1/tasks?after=", "400"),
        ("/api/v1/bookmarks?task_id=odd", "422 task_id"),
        ("/api/v1/bookmarks?before=0000000000000001", "400"),
        ("/api/v1/tasks?limit=0&status=odd&parent=x&before=odd", "422 status parent limit"),
        ("/api/v1/search?limit=many&task_id=x", "422 q task_id limit"),
        ("/api/v1/search?q=a&limit=101", "422 limit"),
        ("/api/v1/tasks/x/timeline?limit=x", "422 task_id limit"),
    ] {
        assert_eq!(client.get(path).await.problem(), problem, "{path}");
    }
    let token = "0000000000000001";
    let both = format!("/api/v1/tasks/{TASK}/timeline?before={token}&after={token}");
    assert_eq!(client.get(&both).await.problem(), "422 after");
    assert_eq!(client.get(&format!("/api/v1/tasks/{TASK}/timeline")).await.problem(), "404");
    assert_eq!(client.patch("/api/v1/sessions/x", json!({})).await.problem(), "422 session_id");
    assert_eq!(client.delete("/api/v1/bookmarks/x").await.problem(), "422 bookmark_id");
}

/// An operation could only guess which value is meant. Reads and streams have the same rule.
#[tokio::test]
async fn a_parameter_that_is_given_twice_is_refused_by_name() {
    let client = Client::of(&App::start().await);
    for (path, problem) in [
        ("/api/v1/tasks?limit=1&limit=2", "422 limit"),
        ("/api/v1/tasks?limit=1&limit=1", "422 limit"),
        ("/api/v1/tasks?project=a&limit=0&project=b", "422 project limit"),
        ("/api/v1/tasks?status=odd&status=running&%6Cimit=1&limit=2", "422 status limit"),
        ("/api/v1/tasks?before=a&before=b", "422 before"),
        ("/api/v1/tasks/x/timeline?after=a&after=b", "422 task_id after"),
        ("/api/v1/overview?project=a&project=a", "422 project"),
        ("/api/v1/bookmarks?task_id=x&task_id=y", "422 task_id"),
        ("/api/v1/search?q=a&q=b", "422 q"),
        ("/api/v1/stream?project=a&project=b", "422 project"),
        ("/api/v1/stream?since=&since=", "422 since"),
        ("/api/v1/nothing?limit=1&limit=2", "404"),
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.problem(), problem, "{path}");
    }
    let twice = client.get("/api/v1/search?q=a&q=b").await;
    assert_eq!(twice.at("/errors"), json!([{"field": "q", "detail": "is given more than once"}]));
    for path in ["/api/v1/tasks?other=1&other=2&limit=1", "/api/v1/tasks?limit=1&Limit=2", "/healthz?a=1&a=2"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
}

/// The HTTP layer answers before any operation sees the request, so there is no problem document.
#[tokio::test]
async fn only_the_http_layer_answers_without_a_document() {
    let app = App::start().await;
    let answer = async |url: &str| {
        let mut socket = tokio::net::TcpStream::connect(app.address).await.unwrap();
        let request = format!("GET {url} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", app.address);
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
    };
    for url in ["/api/v1/search?q=\"a\"", "/api/v1/search?q=<a", "/api/v1/search?q=a>"] {
        assert_eq!(answer(url).await, ("400".to_owned(), String::new()), "{url}");
    }
    let long = format!("/api/v1/search?q={}", "a".repeat(66_000));
    assert_eq!(answer(&long).await, ("414".to_owned(), String::new()));
    for (url, status) in [("/api/v1/search?q=%22a%22%3C%3E", "200"), ("/api/v1/search?q={}|^`'\\é", "200")] {
        assert_eq!(answer(url).await.0, status, "{url}");
    }
    let (status, body) = answer("/api/v1/\"a\"").await;
    assert!(status == "404" && body.contains("/problems/no-such-path"), "{status} {body}");
}

#[tokio::test]
async fn a_page_token_of_another_list_is_refused() {
    let client = Client::of(&App::start().await);
    let (a, b) = (client.task("a", json!({"project": "p"})).await, client.task("b", json!({"project": "p"})).await);
    for task in [&a, &b] {
        let events = json!({"events": [{"kind": "log"}, {"kind": "log"}]});
        assert_eq!(client.post(&format!("/api/v1/tasks/{task}/events"), events).await.status, 201);
        assert_eq!(client.put("/api/v1/bookmarks", json!({ "task_id": task })).await.status, 201);
    }
    let lists = [
        "/api/v1/tasks?".to_owned(),
        "/api/v1/tasks?project=p&".to_owned(),
        "/api/v1/tasks?status=running&".to_owned(),
        "/api/v1/bookmarks?".to_owned(),
        "/api/v1/bookmarks?project=p&".to_owned(),
        format!("/api/v1/tasks/{a}/timeline?"),
        format!("/api/v1/tasks/{b}/timeline?"),
    ];
    for of in &lists {
        let token = client.get(&format!("{of}limit=1")).await.text_at("/next");
        for list in &lists {
            for parameter in ["before", "after"] {
                let answer = client.get(&format!("{list}limit=2&{parameter}={token}")).await;
                if list == of {
                    assert_eq!(answer.status, 200, "{list}: {}", answer.text);
                } else {
                    assert_eq!(answer.problem(), "400", "{list} took a token of {of}");
                    assert_eq!(answer.at("/type"), "/problems/page-token");
                    assert!(answer.text_at("/detail").starts_with(parameter), "{}", answer.text);
                }
            }
        }
    }
}

/// The texts of the framework and of the parser name their own types.
#[tokio::test]
async fn no_error_names_a_type_of_the_program() {
    let client = Client::of(&App::start().await);
    let id = client.task("a", json!({})).await;
    let mut answers = Vec::new();
    for path in [
        "/api/v1/tasks?limit=many".to_owned(),
        "/api/v1/tasks?limit=99999999999999999999".to_owned(),
        "/api/v1/tasks?status=odd".to_owned(),
        "/api/v1/tasks/odd".to_owned(),
        "/api/v1/search".to_owned(),
        format!("/api/v1/search?q={}", "x".repeat(501)),
    ] {
        answers.push(client.get(&path).await);
    }
    for (name, value) in [("requery-at-least", "odd"), ("requery-at-least", "e:1:x:"), ("requery-at-least", "")] {
        answers.push(client.send("GET", "/api/v1/tasks", None::<String>, &[(name, value.to_owned())]).await);
    }
    assert!(answers.iter().rev().take(3).all(|answer| answer.status == 400));
    assert!(answers.last().unwrap().text_at("/detail").starts_with("header Requery-At-Least: not a cursor"));
    let hook = json!({"session_id": "s", "hook_event_name": "Stop"}).to_string();
    let late = [("requery-at", "noon".to_owned())];
    answers.push(client.send("POST", "/api/v1/hooks/codex", Some(hook), &late).await);
    assert!(answers.last().unwrap().text_at("/detail").starts_with("header Requery-At: "));
    let values = [json!(null), json!(true), json!(-5), json!(1.5), json!("odd"), json!([1]), json!({"a": 1})];
    for value in values {
        let fields = ["task_id", "title", "status", "mode", "parent_task_id", "created_at", "workspace"];
        let body: serde_json::Map<_, _> = fields.map(|field| (field.to_owned(), value.clone())).into_iter().collect();
        answers.push(client.post("/api/v1/tasks", body.into()).await);
        let fields = ["kind", "event_id", "family", "lane", "state", "metadata", "title"];
        let body: serde_json::Map<_, _> = fields.map(|field| (field.to_owned(), value.clone())).into_iter().collect();
        answers.push(client.post(&format!("/api/v1/tasks/{id}/events"), json!({"events": [value, body]})).await);
        answers.push(client.patch(&format!("/api/v1/tasks/{id}"), value.clone()).await);
        answers.push(client.post("/api/v1/tasks/purge", json!({"status": value, "older_than": value})).await);
    }
    let internal =
        ["struct", "variant", "enum", "u32", "u64", "i64", "usize", "Option", "optional", "identifier", "map"];
    let internal = internal.iter().chain(&["sequence", "string_", "::", "TaskStatus", "TaskId", "NewTask", "RawValue"]);
    for answer in answers.iter().filter(|answer| answer.status >= 400) {
        answer.problem();
        for word in internal.clone() {
            assert!(!answer.text.contains(word), "{word}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn every_type_of_problem_leads_to_a_page() {
    let client = Client::of(&App::start().await);
    let page = include_str!("../../../docs/protocol.md");
    let types: std::collections::BTreeSet<&str> =
        page.split('`').filter(|text| text.starts_with("/problems/")).collect();
    assert_eq!(types.len(), 16);
    for path in types {
        let page = client.get(path).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/plain; charset=utf-8"), "{path}");
    }
    let missing = client.get("/api/v1/nothing").await;
    assert!(client.get(&missing.text_at("/type")).await.text.starts_with("404: No such path\n"));
    assert_eq!(client.get("/problems/odd").await.problem(), "404");
}

#[tokio::test]
async fn bodies_that_are_not_json_give_400() {
    let app = App::start().await;
    let client = Client::of(&app);
    let deep = format!(r#"{{"title":"t","x":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    let bodies: [&[u8]; 8] = [
        b"",
        b"{",
        b"{\"title\":\"t\"} x",
        b"{\"title\":5, oops",
        b"{\"title\":\"a\0b\"}",
        b"{\"title\":\"\xff\"}",
        b"\xff\xfe{\0}\0",
        deep.as_bytes(),
    ];
    for body in bodies {
        let answer = client.send("POST", "/api/v1/tasks", Some(body.to_vec()), &[]).await;
        assert_eq!(answer.problem(), "400", "{}: {}", String::from_utf8_lossy(body), answer.text);
    }
    assert_eq!(app.sql_seen("select count(*) from tasks"), "0");
}

#[tokio::test]
async fn bodies_of_the_wrong_shape_name_the_field() {
    let app = App::start().await;
    let client = Client::of(&app);
    for (body, problem) in [
        (json!(null), "422 body"),
        (json!([]), "422 body"),
        (json!("text"), "422 body"),
        (json!({}), "422 title"),
        (json!({"title": null}), "422 title"),
        (json!({"title": 5}), "422 title"),
        (json!({"title": ""}), "422 title"),
        (json!({"title": "t", "task_id": "x"}), "422 task_id"),
        (json!({"title": "t", "status": "odd"}), "422 status"),
        (json!({"title": "t", "mode": {}}), "422 mode"),
    ] {
        assert_eq!(client.post("/api/v1/tasks", body.clone()).await.problem(), problem, "{body}");
    }
    assert_eq!(app.sql_seen("select count(*) from tasks"), "0");
    let id = client.task("t", json!({"unknown": {"a": 1}, "project": null})).await;
    let events = format!("/api/v1/tasks/{id}/events");
    for (body, problem) in [
        (json!([]), "422 body"),
        (json!({"events": 5}), "422 events"),
        (json!({"events": [5]}), "422 events[0]"),
        (json!({"events": [["x", "y"]]}), "422 events[0]"),
        (json!({"events": [{"kind": "log"}, {"kind": "log", "metadata": []}]}), "422 events[1].metadata"),
        (json!({"kind": "log", "metadata": 5}), "422 metadata"),
        (json!({}), "422 kind"),
    ] {
        assert_eq!(client.post(&events, body.clone()).await.problem(), problem, "{body}");
    }
    assert_eq!(app.sql_seen("select count(*) from events"), "0");
}

#[tokio::test]
async fn every_wrong_field_is_listed_with_its_reason_in_plain_words() {
    let app = App::start().await;
    let client = Client::of(&app);
    let body = json!({
        "title": 5, "project": "p".repeat(129), "status": "odd", "mode": {}, "source": "", "task_id": "x",
        "created_at": "noon", "summary": ["a"], "workspace": true, "parent_task_id": 1.5,
    });
    let wrong = client.post("/api/v1/tasks", body).await;
    let expected = [
        ("task_id", "not a UUID (expected 8-4-4-4-12 hexadecimal digits)"),
        ("title", "must be a string, not the number `5`"),
        ("status", "must be one of `running`, `waiting`, `completed`, `errored`, not the text \"odd\""),
        ("mode", "must be one of `primary`, `background`, not an object"),
        ("parent_task_id", "must be a string, not the number `1.5`"),
        ("workspace", "must be a string, not `true`"),
        ("summary", "must be a string, not a list"),
        ("project", "has 129 characters, at most 128 are allowed"),
        ("source", "is required: 1 to 64 characters"),
        ("created_at", "is not a time (expected RFC 3339, as in 2026-01-31T09:30:00.000Z)"),
    ];
    let expected: Vec<_> = expected.map(|(field, detail)| json!({"field": field, "detail": detail})).into();
    assert_eq!((wrong.status, wrong.at("/errors")), (422, json!(expected)));

    let id = client.task("t", json!({})).await;
    let events = json!({"events": [
        {"kind": "log"}, 5, {"kind": 1, "lane": "odd", "metadata": 5}, {"title": "t".repeat(501), "state": null}, [],
    ]});
    let wrong = client.post(&format!("/api/v1/tasks/{id}/events"), events).await;
    let fields =
        "422 events[1] events[2].kind events[2].lane events[2].metadata events[3].kind events[3].title events[4]";
    assert_eq!(wrong.problem(), fields);
    assert_eq!(wrong.at("/errors/0/detail"), "must be an object, not the number `5`");
    let many = json!({"events": vec![json!({"kind": "log"}); 1001]});
    let wrong = client.post(&format!("/api/v1/tasks/{id}/events"), many).await;
    assert_eq!(
        (wrong.problem().as_str(), wrong.at("/errors/0/detail")),
        ("422 events", json!("has more than 1000 objects"))
    );
    let twice = client.send("POST", "/api/v1/tasks", Some(r#"{"title":"a","title":"b"}"#), &[]).await;
    assert_eq!(twice.at("/errors"), json!([{"field": "body", "detail": "has the field `title` twice"}]));
    let wrong = client.put("/api/v1/bookmarks", json!({"note": 1, "title": "t".repeat(501)})).await;
    assert_eq!(wrong.problem(), "422 note task_id title");
    let wrong = client.post("/api/v1/hooks/codex", json!({"session_id": 5, "hook_event_name": ""})).await;
    assert_eq!(wrong.problem(), "422 session_id hook_event_name");
    assert_eq!(app.sql_seen("select count(*) from events"), "0");
}

#[tokio::test]
async fn nul_and_lone_surrogates_are_replaced() {
    let client = Client::of(&App::start().await);
    let body = r#"{"title":"a\u0000b \ud83d \\u0000 \ud83d\udc26 \udc26\ud83d","summary":"\ud83dx"}"#;
    let answer = client.send("POST", "/api/v1/tasks", Some(body), &[]).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.at("/title"), "a\u{fffd}b \u{fffd} \\u0000 🐦 \u{fffd}\u{fffd}");
    assert_eq!(answer.at("/summary"), "\u{fffd}x");
}

#[tokio::test]
async fn body_lengths_and_media_types_are_checked() {
    let client = Client::of(&App::start().await);
    let id = client.task("t", json!({})).await;
    let padded = |size: usize| format!("{{\"title\":\"t\",\"kind\":\"log\",\"pad\":\"{}\"}}", "x".repeat(size));
    let events = format!("/api/v1/tasks/{id}/events");
    let sent = async |path: &str, body: String| client.send("POST", path, Some(body), &[]).await.status;
    assert_eq!(sent("/api/v1/tasks", padded(1024 * 1024 - 100)).await, 201);
    assert_eq!(sent("/api/v1/tasks", padded(1024 * 1024)).await, 413);
    assert_eq!(sent(&events, padded(8 * 1024 * 1024 - 100)).await, 201);
    assert_eq!(sent(&events, padded(8 * 1024 * 1024)).await, 413);
    assert_eq!(sent("/api/v1/hooks/codex", padded(8 * 1024 * 1024)).await, 413);

    let typed = async |kind: &str| {
        let headers = [("content-type", kind.to_owned())];
        client.send("POST", "/api/v1/tasks", Some(r#"{"title":"t"}"#), &headers).await
    };
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/x+json"] {
        assert_eq!(typed(kind).await.status, 201, "{kind}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "json"] {
        assert_eq!(typed(kind).await.problem(), "415", "{kind}");
    }
}

#[tokio::test]
async fn a_delivery_is_stored_once_and_a_refused_hook_names_the_field() {
    let app = App::start().await;
    let client = Client::of(&app);
    let hook =
        json!({"hook_event_name": "UserPromptSubmit", "session_id": TASK, "cwd": "/w", "prompt": "p"}).to_string();
    let delivery = [("requery-delivery", TASK.to_owned()), ("content-type", "text/plain".to_owned())];
    for _ in 0..2 {
        let taken = client.send("POST", "/api/v1/hooks/claude-code", Some(hook.clone()), &delivery).await;
        assert_eq!((taken.status, taken.text.as_str()), (204, ""), "{}", taken.text);
        assert!(!taken.header("requery-cursor").is_empty());
    }
    assert_eq!(app.sql_seen("select count(*) from tasks; select count(*) from deliveries"), "1\n1");
    let wrong = client.send("POST", "/api/v1/hooks/codex", Some("no json"), &[]).await;
    assert_eq!(wrong.problem(), "400");
    let odd = [("requery-delivery", "odd".to_owned())];
    let wrong = client.send("POST", "/api/v1/hooks/codex", Some(hook), &odd).await;
    assert_eq!(wrong.problem(), "422 Requery-Delivery");
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let app = App::start().await;
    for begun in ["", "PRI * HTTP/2.0"] {
        let mut socket = tokio::net::TcpStream::connect(app.address).await.unwrap();
        socket.write_all(begun.as_bytes()).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, socket.read(&mut [0; 64])).await;
        assert!(matches!(ended, Ok(Ok(_) | Err(_))), "the connection is still open after {begun:?}");
    }
}
