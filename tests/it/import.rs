//! The import of transcripts: each line is stored once, in any order and any batches, and after interruptions.
//!
//! The files in `tests/fixtures/transcripts` have samples of all formats that Claude Code has written over the years,
//! and `hostile.jsonl` has lines that it never writes.

mod command;
mod field;
mod words;

use serde_json::{Value, json};

use crate::app::App;
use crate::home::fixtures;
use crate::rest::Client;

const PATH: &str = "/api/v1/transcripts/claude-code";
const CHECKOUT: &str = "c4ec0a10-3b52-4d0e-9f3e-1b8a6f0f5a01";
const OLD: &str = "01dca5e0-77aa-4c11-8a52-2f6f4b1a9c02";
const RESUMED: &str = "02e5de00-77aa-4c11-8a52-2f6f4b1a9c03";
const MAIN: &str = "shop/checkout.jsonl";
const SUBAGENT: &str = "shop/checkout/subagents/agent-ad2d877.jsonl";

/// All values that an import writes, except positions and generated ids.
const STORE: &str = "
    select external_id, title, project, status, status_since, workspace, task_counts.event_count, ingest_state, created_at,
        task_counts.changed_at from tasks join task_counts using (id) order by 1;
    select tasks.external_id, events.external_id, kind, family, lane, state, events.title, body, truncated,
        (select group_concat(key || value) from (select key, value from json_each(metadata) order by key)),
        events.created_at from events join tasks on tasks.id = task_id order by 1, 2;
    select external_id, answer_id, usage.model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
        cost_usd_micros, at, usage.project from usage join tasks on tasks.id = task_id order by 1, 2";

struct Importer {
    app: App,
    client: Client,
}

impl Importer {
    async fn start() -> Self {
        let app = App::start().await;
        Self { client: Client::of(&app), app }
    }

    async fn import(&self, lines: impl Into<Vec<u8>>) -> Value {
        let headers = [("content-type", "application/octet-stream".to_owned())];
        let answer = self.client.send("POST", PATH, Some(lines.into()), &headers).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(!answer.header("requery-cursor").is_empty());
        answer.json()
    }

    async fn import_files(&self, names: &[&str]) {
        for name in names {
            self.import(read(name)).await;
        }
    }

    async fn hook(&self, body: Value) {
        let answer = self.client.post("/api/v1/hooks/claude-code", body).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
    }

    /// The detail of a session's task.
    async fn task(&self, session: &str) -> Value {
        let id = self.app.sql_seen(&format!("select id from tasks where external_id = '{session}'"));
        self.client.get(&format!("/api/v1/tasks/{id}")).await.json()
    }

    async fn overview(&self, query: &str) -> Value {
        self.client.get(&format!("/api/v1/overview{query}")).await.json()
    }

    /// The number of changes of each kind since a change.
    fn changes_since(&self, after: &str) -> String {
        self.app.sql_seen(&format!("select kind, count(*) from changes where id > {after} group by kind order by kind"))
    }

    fn newest_change(&self) -> String {
        self.app.sql_seen("select coalesce(max(id), 0) from changes")
    }

    fn store(&self) -> String {
        self.app.sql_seen(STORE)
    }
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(fixtures("transcripts").join(name)).unwrap()
}

fn usage(answers: u64, tokens: [u64; 4], cost: Option<f64>, answers_with_cost: u64) -> Value {
    json!({
        "answers": answers, "input_tokens": tokens[0], "output_tokens": tokens[1], "cache_read_tokens": tokens[2],
        "cache_write_tokens": tokens[3], "cost_usd": cost, "answers_with_cost": answers_with_cost,
    })
}

#[tokio::test]
async fn an_import_adds_the_usage_of_its_transcripts() {
    let importer = Importer::start().await;
    let main = importer.import(read(MAIN)).await;
    let expected = json!({
        "lines": 31, "passed_over": 12, "skipped": 0, "reasons": [], "tasks": 1, "events": 11,
        "usage": usage(6, [27, 540, 24400, 5550], None, 0),
    });
    assert_eq!(main, expected);
    let subagent = importer.import(read(SUBAGENT)).await;
    let expected = json!({
        "lines": 4, "passed_over": 1, "skipped": 0, "reasons": [], "tasks": 0, "events": 1,
        "usage": usage(1, [5, 25, 0, 800], None, 0),
    });
    assert_eq!(subagent, expected);
    let old = importer.import(read("notes/old.jsonl")).await;
    assert_eq!(old["usage"], usage(3, [3010, 115, 0, 0], Some(0.512345), 2));
    // A resumed transcript repeats answers of the old one, which count there. Lines that a fork copied are passed over.
    let resumed = importer.import(read("notes/resumed.jsonl")).await;
    assert_eq!((&resumed["usage"], &resumed["events"]), (&usage(1, [20, 8, 1, 0], None, 0), &json!(6)));
    assert_eq!(importer.import(read("empty.jsonl")).await["lines"], 0);

    let overview = importer.overview("").await;
    assert_eq!(overview["usage"], usage(11, [3062, 688, 24401, 6350], Some(0.512345), 2));
    assert_eq!(overview["stats"]["completed_tasks"], 3);
    let notes = importer.overview("?project=field-notes").await;
    assert_eq!(notes["usage"], usage(4, [3030, 123, 1, 0], Some(0.512345), 2));
    assert_eq!(importer.overview("?project=nothing").await["usage"], usage(0, [0; 4], None, 0));

    let detail = importer.task(CHECKOUT).await;
    let task = &detail["task"];
    assert_eq!(
        json!([task["title"], task["project"], task["workspace"], task["status"], task["source"], task["event_count"]]),
        json!(["Checkout: delivery date", "shop", "/home/dev/shop", "completed", "claude-code", 12])
    );
    assert_eq!(
        json!([task["created_at"], task["ended_at"], task["changed_at"]]),
        json!(["2026-01-12T09:00:05.000Z", "2026-01-12T09:21:00.000Z", "2026-01-12T09:21:00.000Z"])
    );
    assert_eq!(detail["usage"], usage(7, [32, 565, 24400, 6350], None, 0));
    assert_eq!(
        detail["models"],
        json!([
            {"model": "claude-opus-4-5", "usage": usage(5, [20, 510, 24400, 4650], None, 0)},
            {"model": "claude-haiku-4-5", "usage": usage(2, [12, 55, 0, 1700], None, 0)},
        ])
    );
    let events = detail["timeline"]["items"].as_array().unwrap().iter().rev();
    let lines: Vec<_> = events.map(line_of).collect();
    assert_eq!(
        lines.join("\n"),
        "\
09:00:05 user.message user: The checkout forgets the delivery date.
09:00:09 assistant.response assistant: I will look at the checkout first.
09:00:10 tool exploration ok: Read src/checkout.ts
09:00:15 tool terminal failed: Bash: npm test -- checkout
09:00:15 tool implementation ok: Edit src/checkout.ts
09:00:30 tool coordination ok: Task: Look for other forms
09:00:45 assistant.response assistant: Mended: the date is kept now. Two other forms have the same fault.
09:05:00 user.message user: Mend those too
09:05:09 assistant.error assistant: Turn failed (overloaded)
09:20:00 compaction system ok: Compaction
09:21:00 tool terminal abandoned: Bash: sleep 600
09:00:33 tool exploration ok: Grep: date"
    );
    let test = &detail["timeline"]["items"][8];
    assert_eq!(test["body"], "Exit code 1\n1 failing");
    assert_eq!(
        test["metadata"],
        json!({
            "tool": "Bash", "tool_use_id": "toolu_test", "command": "npm test -- checkout", "command_class": "test",
            "description": "Run the tests", "exit_status": 1,
            "input": {"command": "npm test -- checkout", "description": "Run the tests"},
        })
    );
    assert_eq!(importer.task(OLD).await["task"]["title"], "اقرأ الملاحظات وأصلح الأسماء");
}

fn line_of(event: &Value) -> String {
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let state = if text("state").is_empty() { String::new() } else { format!(" {}", text("state")) };
    format!("{} {} {}{state}: {}", &text("created_at")[11..19], text("kind"), text("lane"), text("title"))
}

#[tokio::test]
async fn a_second_import_logs_no_change() {
    let importer = Importer::start().await;
    importer.import(read(MAIN)).await;
    assert_eq!(importer.changes_since("0"), "event.logged|11\ntask.started|1\ntask.updated|6");
    let (before, store) = (importer.newest_change(), importer.store());
    let again = importer.import(read(MAIN)).await;
    assert_eq!((&again["tasks"], &again["events"], &again["usage"]["answers"]), (&json!(0), &json!(0), &json!(0)));
    assert_eq!(again["usage"], usage(0, [0; 4], None, 0));
    assert_eq!((importer.changes_since(&before), importer.store()), (String::new(), store));
}

/// Single lines, overlapping batches, an interrupted import and any order of the files give the same rows.
#[tokio::test]
async fn order_batches_and_interruptions_do_not_change_the_result() {
    let files = [MAIN, SUBAGENT, "notes/old.jsonl", "hostile.jsonl"];
    let whole = Importer::start().await;
    whole.import_files(&files).await;
    let expected = whole.store();
    for order in [[3, 1, 2, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
        let importer = Importer::start().await;
        importer.import_files(&order.map(|at| files[at])).await;
        assert_eq!(importer.store(), expected, "{order:?}");
    }
    let one_by_one = Importer::start().await;
    let overlapping = Importer::start().await;
    let interrupted = Importer::start().await;
    for file in files {
        let bytes = read(file);
        let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        for line in &lines {
            one_by_one.import(*line).await;
        }
        for end in (3..lines.len() + 3).step_by(3) {
            let end = end.min(lines.len());
            overlapping.import(lines[end.saturating_sub(7)..end].concat()).await;
        }
        // The first import ends in the middle of a line. The second one, below, begins again.
        interrupted.import(&bytes[..bytes.len() * 2 / 3]).await;
    }
    interrupted.import_files(&files).await;
    assert_eq!(one_by_one.store(), expected);
    assert_eq!(overlapping.store(), expected);
    assert_eq!(interrupted.store(), expected);

    // An answer that two sessions share belongs to the session imported first. The total does not depend on the order.
    for files in [["notes/old.jsonl", "notes/resumed.jsonl"], ["notes/resumed.jsonl", "notes/old.jsonl"]] {
        let importer = Importer::start().await;
        importer.import_files(&files).await;
        assert_eq!(importer.overview("").await["usage"], usage(4, [3030, 123, 1, 0], Some(0.512345), 2));
        assert_eq!(importer.task(RESUMED).await["task"]["event_count"], 6);
    }
}

/// The lines of a transcript are not always in the order of time. The timeline of one batch is.
#[tokio::test]
async fn a_batch_is_stored_in_the_order_of_time() {
    let importer = Importer::start().await;
    let bytes = read(MAIN);
    let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    lines.reverse();
    importer.import(lines.concat()).await;
    let times = importer.app.sql_seen("select created_at from events order by position");
    assert!(times.lines().is_sorted(), "{times}");
}

#[tokio::test]
async fn an_import_changes_no_row_that_hooks_reported() {
    let importer = Importer::start().await;
    let with = |hook: &str, more: Value| {
        let mut body = json!({"session_id": CHECKOUT, "hook_event_name": hook, "cwd": "/home/dev/shop"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    importer.hook(with("UserPromptSubmit", json!({"prompt": "The checkout forgets the delivery date."}))).await;
    let read_file = json!({"tool_name": "Read", "tool_use_id": "toolu_read", "tool_input": {"file_path": "/x"}});
    importer.hook(with("PreToolUse", read_file)).await;
    let (task, events) = ("select * from tasks", "select * from events order by position");
    let before = (importer.app.sql_seen(task), importer.app.sql_seen(events));
    let (newest, mut screen) = (importer.newest_change(), importer.app.ws("").await);
    screen.frame().await;
    let imported = importer.import(read(MAIN)).await;
    assert_eq!((&imported["tasks"], &imported["events"]), (&json!(0), &json!(0)));
    assert_eq!(importer.changes_since(&newest), "task.updated|6");
    while screen.frame().await["type"] != "task.updated" {}
    assert_eq!((importer.app.sql_seen(task), importer.app.sql_seen(events)), before);
    let detail = importer.task(CHECKOUT).await;
    assert_eq!((&detail["task"]["status"], &detail["usage"]["answers"]), (&json!("running"), &json!(6)));

    // Hooks continue an imported session: their records end the tool calls that the transcript began.
    let importer = Importer::start().await;
    let yesterday = importer.app.sql_seen("select date('now', '-1 day')");
    let mut main = String::from_utf8(read(MAIN)).unwrap().replace("2026-01-12", &yesterday);
    importer.import(main.clone()).await;
    let slept = json!({
        "tool_name": "Bash", "tool_use_id": "toolu_sleep", "tool_input": {"command": "sleep 600"},
        "tool_response": {"stdout": "slept"},
    });
    // A spooled record of a time that the transcript covers changes the status of the task, and adds no event.
    let late = with("UserPromptSubmit", json!({"prompt": "Mend those too"})).to_string();
    let at = [("requery-at", format!("{yesterday}T09:05:01Z"))];
    let events = || importer.app.sql_seen("select * from events order by position");
    let before = events();
    assert_eq!(importer.client.send("POST", "/api/v1/hooks/claude-code", Some(late), &at).await.status, 204);
    assert_eq!((events(), &importer.task(CHECKOUT).await["task"]["status"]), (before, &json!("running")));
    let late = with("SessionEnd", json!({})).to_string();
    assert_eq!(importer.client.send("POST", "/api/v1/hooks/claude-code", Some(late), &at).await.status, 204);
    assert_eq!(importer.task(CHECKOUT).await["task"]["status"], "completed");
    // A line 10 minutes ahead of the clock must not make the records of these 10 minutes late.
    let ahead = importer.app.sql_seen("select strftime('%Y-%m-%dT%H:%M:%S.000Z', 'now', '+10 minutes')");
    let line = json!({"type": "user", "uuid": "ahead", "sessionId": CHECKOUT, "timestamp": ahead,
        "message": {"content": "from another clock"}});
    importer.import(format!("{line}\n")).await;
    main += &format!("{line}\n");
    importer.hook(with("UserPromptSubmit", json!({"prompt": "Go on"}))).await;
    importer.hook(with("PostToolUse", slept)).await;
    let detail = importer.task(CHECKOUT).await;
    let task = &detail["task"];
    assert_eq!(
        json!([task["status"], task["title"], task["event_count"], detail["timeline"]["items"][2]["state"]]),
        json!(["running", "Checkout: delivery date", 13, "ok"])
    );
    let store = importer.store();
    importer.import(main).await;
    assert_eq!(importer.store(), store);
}

#[tokio::test]
async fn an_import_keeps_edited_fields() {
    let importer = Importer::start().await;
    let bytes = read(MAIN);
    let half = bytes.len() / 2;
    importer.import(&bytes[..half]).await;
    let id = importer.task(CHECKOUT).await["task"]["task_id"].as_str().unwrap().to_owned();
    let patch = json!({"title": "Mine", "status": "errored", "project": "other"});
    assert_eq!(importer.client.patch(&format!("/api/v1/tasks/{id}"), patch).await.status, 200);
    importer.import(bytes).await;
    let task = importer.task(CHECKOUT).await["task"].clone();
    assert_eq!(json!([task["title"], task["status"], task["project"]]), json!(["Mine", "errored", "other"]));
    assert_eq!(importer.overview("?project=other").await["usage"]["answers"], 6);
    assert_eq!(importer.overview("?project=shop").await["usage"]["answers"], 0);
    // The usage is deleted with its task.
    assert_eq!(importer.client.delete(&format!("/api/v1/tasks/{id}")).await.status, 204);
    assert_eq!(importer.overview("").await["usage"], usage(0, [0; 4], None, 0));
    assert_eq!(importer.app.sql_seen("select count(*) from usage"), "0");
}

#[tokio::test]
async fn a_bad_line_is_skipped_and_the_others_are_imported() {
    let importer = Importer::start().await;
    let imported = importer.import(read("hostile.jsonl")).await;
    let reasons = imported["reasons"].as_array().unwrap().iter();
    let reasons: Vec<_> =
        reasons.map(|skipped| format!("{} {}", skipped["line"], skipped["reason"].as_str().unwrap())).collect();
    assert_eq!(
        reasons.join("\n"),
        "\
2 not JSON: expected ident at byte 2
3 not an object
4 not an object
5 not an object
6 type is missing
7 timestamp is missing
9 message.content is neither a text nor a list
10 message.content is neither a text nor a list
11 message is not an object
12 timestamp is not a time as in 2026-01-31T09:30:00Z
13 timestamp is not a time as in 2026-01-31T09:30:00Z
14 timestamp is before 1970 or in the future
15 sessionId is not a text
16 sessionId is empty
17 sessionId is longer than 256 bytes
18 message.usage.input_tokens is not a count
19 message.usage.input_tokens is not a count
20 not JSON: number out of range at byte 397
21 message.usage.input_tokens is not a count
22 costUSD is not an amount"
    );
    assert_eq!((&imported["lines"], &imported["skipped"], &imported["tasks"]), (&json!(36), &json!(31), &json!(1)));
    let detail = importer.task("../../../etc/passwd").await;
    let titles: Vec<_> = detail["timeline"]["items"].as_array().unwrap().iter().map(line_of).collect();
    assert_eq!(
        titles.join("\n"),
        "\
10:00:17 tool coordination abandoned: ../Odd\u{202e}
10:00:16 assistant.response assistant: a text alone
10:00:15 user.message user: café \u{1b}[2J
10:00:01 user.message user: cut \u{fffd} and \u{fffd} nul
10:00:00 user.message user: <script>alert(1)</script> \u{202e}gnp.exe"
    );
    assert_eq!(detail["task"]["project"], "<b>");
    assert_eq!(detail["usage"], usage(1, [3, 0, 0, 0], None, 0));
    // Bodies without a single valid line.
    for body in [&b"\0\0\0\0"[..], b"\n\n\n", b"\xff\xfe\x00", b"", "[".repeat(100_000).as_bytes()] {
        importer.import(body).await;
    }
    let long = vec![b' '; 8 * 1024 * 1024 + 1];
    assert_eq!(importer.client.send("POST", PATH, Some(long), &[]).await.status, 413);
    let many = importer.client.send("POST", PATH, Some("{}\n".repeat(5001)), &[]).await;
    assert_eq!((many.status, &many.json()["errors"][0]["field"]), (422, &json!("body")), "{}", many.text);
    let block = r#"{"type":"tool_use","id":"x","name":"y"}"#;
    let blocks = format!(
        r#"{{"type":"assistant","sessionId":"s","timestamp":"2026-01-01T00:00:00Z","message":{{"content":[{}]}}}}"#,
        vec![block; 1001].join(",")
    );
    let blocks = importer.import(blocks).await;
    assert_eq!(blocks["reasons"], json!([{"line": 1, "reason": "message.content has more than 1000 blocks"}]));
}
