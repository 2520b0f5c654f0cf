//! Streams: first frames, notices, narrowing, resuming after a reconnect, and clients that break the protocol.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use tokio::time::timeout;

use crate::app::{App, Engine, PATIENCE, Ws, engine, on_sqlite_only};
use crate::rest::Client;

mod load;
mod snapshot;
mod upgrade;
mod watching;

const TASK: &str = "0190b0a0-0000-7000-8000-000000000001";
const OTHER: &str = "0190b0a0-0000-7000-8000-000000000002";

fn kind(frame: &Value) -> &str {
    frame["type"].as_str().unwrap()
}

/// Waits until the server has noticed a write of another program.
async fn until_notice(ws: &mut Ws, kind_of_notice: &str) {
    while kind(&ws.frame().await) != kind_of_notice {}
}

#[tokio::test]
async fn a_stream_begins_with_a_snapshot_and_continues_with_notices() {
    let app = App::start().await;
    let mut ws = app.ws("").await;
    let first = ws.frame().await;
    assert_eq!(kind(&first), "snapshot");
    assert_eq!(first["payload"]["heartbeat_ms"], 25_000);
    assert_eq!(first["payload"]["version"], "1.1");

    app.sql(&format!("insert into tasks (id, title, project) values ('{TASK}', 'a', 'p')"));
    let notice = ws.frame().await;
    assert_eq!(kind(&notice), "task.started");
    assert_eq!(notice["payload"], json!({"task_id": TASK, "project": "p", "parent_task_id": null}));
    assert_eq!(notice.get("more"), None);
}

#[tokio::test]
async fn both_transports_carry_the_same_frames_in_the_same_order() {
    let app = App::start().await;
    let (mut ws, mut sse) = (app.ws("").await, app.sse("", "").await);
    assert_eq!(kind(&ws.frame().await), "snapshot");
    assert_eq!(kind(&sse.event().await.0), "snapshot");
    app.sql(&format!(
        "begin; insert into tasks (id, title) values ('{TASK}', 'a'), ('{OTHER}', 'b'); \
         insert into events (task_id, kind) values ('{TASK}', 'log'), ('{TASK}', 'log'), ('{OTHER}', 'log'); commit"
    ));
    let mut kinds = Vec::new();
    for at in 0..4 {
        let (by_ws, (by_sse, id)) = (ws.frame().await, sse.event().await);
        assert_eq!(by_ws, by_sse);
        let more = at < 3;
        assert_eq!(by_ws.get("more"), more.then_some(&json!(true)));
        assert_eq!(id.is_none(), more, "only the last of a flush has an id");
        kinds.push((kind(&by_ws).to_owned(), by_ws.get("count").cloned()));
    }
    let expected =
        [("task.started", None), ("task.started", None), ("event.logged", Some(json!(2))), ("event.logged", None)];
    assert_eq!(kinds, expected.map(|(kind, count)| (kind.to_owned(), count)));
}

#[tokio::test]
async fn a_stream_of_one_project_gets_no_notice_of_another() {
    let app = App::start().await;
    let mut ws = app.ws("?project=%C3%A9%20%26%3D").await;
    ws.frame().await;
    app.sql("insert into tasks (title, project) values ('a', 'other')");
    app.sql(&format!("insert into tasks (id, title, project) values ('{TASK}', 'b', 'é &=')"));
    assert_eq!(ws.frame().await["payload"]["task_id"], TASK);
}

#[tokio::test]
async fn the_first_frame_says_whether_the_project_is_known() {
    let app = App::start().await;
    let known = async |query: &str| app.ws(query).await.frame().await["payload"]["known"].clone();
    assert_eq!([known("").await, known("?project=p").await, known("?project=").await], [true, false, false]);

    let mut ws = app.ws("?project=p").await;
    let since = ws.frame().await["cursor"].as_str().unwrap().to_owned();
    app.sql(&format!("insert into tasks (id, title, project) values ('{TASK}', 'a', 'p')"));
    assert_eq!(kind(&ws.frame().await), "task.started");
    let [p, q] = ["p", "q"].map(|project| format!("?since={since}&project={project}"));
    assert_eq!(kind(&app.ws(&p).await.frame().await), "resumed");
    assert_eq!([known("?project=p").await, known(&p).await, known(&q).await], [true, true, false]);

    // The figures and the hours of a project outlive its tasks, and do not count.
    app.sql(&format!("insert into events (task_id, kind) values ('{TASK}', 'log')"));
    let folded = async {
        while app.sql("select count(*) from activity") == "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, folded).await.unwrap();
    app.sql("delete from tasks");
    until_notice(&mut ws, "task.deleted").await;
    assert_eq!([known("?project=p").await, known(&p).await], [false, false]);
    app.sql("insert into tasks (title, project) values ('b', 'p')");
    until_notice(&mut ws, "task.started").await;
    assert_eq!(known("?project=p").await, true);
}

#[tokio::test]
async fn a_repeated_parameter_is_refused_with_its_name() {
    let app = App::start().await;
    for name in ["project", "since"] {
        let answer = reqwest::get(app.url(&format!("/api/v1/stream?{name}=a&x=1&x=2&{name}=b"))).await.unwrap();
        assert_eq!(answer.status(), 422);
        let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(problem["errors"], json!([{"field": name, "detail": "is given more than once"}]));
    }
}

#[tokio::test]
async fn a_narrowed_stream_gets_only_notices_of_watched_read_models() {
    let app = App::start().await;
    app.sql(&format!("insert into tasks (id, title) values ('{TASK}', 'a'), ('{OTHER}', 'b')"));
    let mut ws = app.ws("").await;
    ws.frame().await;
    let watching = ws.watch(&[&format!("task:{TASK}")]).await;
    assert_eq!(kind(&watching), "watching");
    assert_eq!(watching["payload"]["read_models"], json!([format!("task:{TASK}")]));
    app.sql(&format!("update tasks set title = 'x' where id = '{OTHER}'"));
    app.sql(&format!("update tasks set title = 'x' where id = '{TASK}'"));
    while kind(&ws.frame().await) != "task.updated" {
        // The notice of the start may come first: its flush may be sent after the snapshot that contains the start.
    }

    assert_eq!(kind(&ws.watch(&["bookmarks"]).await), "watching");
    app.sql(&format!("update tasks set title = 'y'; insert into bookmarks (task_id) values ('{OTHER}')"));
    assert_eq!(kind(&ws.frame().await), "bookmark.saved");

    assert_eq!(kind(&ws.watch(&["task:*"]).await), "watching");
    app.sql("delete from bookmarks; update tasks set title = 'z'");
    assert_eq!(kind(&ws.frame().await), "task.updated");
}

#[tokio::test]
async fn a_resumed_stream_lists_exactly_the_changed_read_models() {
    let app = App::start().await;
    app.sql(&format!("insert into tasks (id, title, project) values ('{TASK}', 'a', 'p'), ('{OTHER}', 'b', 'q')"));
    let mut ws = app.ws("").await;
    let since = ws.frame().await["cursor"].as_str().unwrap().to_owned();

    let unchanged = app.ws(&format!("?since={since}")).await.frame().await;
    assert_eq!((kind(&unchanged), &unchanged["payload"]["stale"]), ("resumed", &json!([])));

    app.sql(&format!("update tasks set title = 'x' where id = '{TASK}'"));
    until_notice(&mut ws, "task.updated").await;
    let changed = app.ws(&format!("?since={since}")).await.frame().await;
    assert_eq!(changed["payload"]["stale"], json!(["overview", format!("task:{TASK}")]));
    let elsewhere = app.ws(&format!("?since={since}&project=q")).await.frame().await;
    assert_eq!(elsewhere["payload"]["stale"], json!([]));
    // `Last-Event-ID`, which a browser sends when it reconnects, takes precedence over `since` in the URL.
    let now = changed["cursor"].as_str().unwrap();
    let (event, _) = app.sse(&format!("?since={since}"), &format!("Last-Event-ID: {now}\r\n")).await.event().await;
    assert_eq!((kind(&event), &event["payload"]["stale"]), ("resumed", &json!([])));

    let folder = app.stop().await;
    let app = App::start_in(folder, |_| ()).await;
    let again = app.ws(&format!("?since={since}")).await.frame().await;
    assert_eq!((kind(&again), &again["payload"]["stale"]), ("resumed", &changed["payload"]["stale"]));
    let is_of_epoch = again["cursor"].as_str().unwrap().split(':').next() == since.split(':').next();
    // The epoch of Postgres is that of the database.
    assert_eq!(is_of_epoch, engine() == Engine::Postgres, "a restarted server begins a new epoch");
}

#[tokio::test]
async fn a_cursor_that_cannot_be_resumed_gets_a_snapshot() {
    if on_sqlite_only("its cursors are numbers of the log") {
        return;
    }
    let app = App::start().await;
    app.sql("insert into tasks (title) values ('a'), ('b')");
    let cursor = app.ws("").await.frame().await["cursor"].as_str().unwrap().to_owned();
    let epoch = cursor.split(':').next().unwrap();
    let beyond = format!("{epoch}:99:99:");
    let long = "x".repeat(9_000);
    for since in
        ["", "garbage", "e:1:1:", "%F0%9F", beyond.as_str(), &format!("{epoch}:1:3:2"), &format!("{epoch}:0:0:"), &long]
    {
        let first = app.ws(&format!("?since={since}")).await.frame().await;
        assert_eq!(kind(&first), "snapshot", "{since}");
    }
    // A cursor that lacks pruned changes, and a cursor that lacks more changes than one resume reads.
    app.until_folded().await;
    app.sql("delete from changes where id < 2");
    assert_eq!(kind(&app.ws(&format!("?since={epoch}:1:1:")).await.frame().await), "snapshot");
    assert_eq!(kind(&app.ws(&format!("?since={epoch}:2:2:")).await.frame().await), "resumed");
    app.sql("with recursive n (i) as (select 1 union select i + 1 from n where i < 1001) insert into tasks (title) select i from n");
    assert_eq!(kind(&app.ws(&format!("?since={cursor}")).await.frame().await), "snapshot");
}

#[tokio::test]
async fn a_burst_is_merged_into_one_stale_or_resync_frame() {
    let app = App::start().await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    app.sql("with recursive n (i) as (select 1 union select i + 1 from n where i < 100) insert into tasks (title) select i from n");
    let frame = ws.frame().await;
    assert_eq!(kind(&frame), "stale");
    assert_eq!(frame["payload"]["read_models"].as_array().unwrap().len(), 101);
    app.sql("with recursive n (i) as (select 1 union select i + 1 from n where i < 1000) insert into tasks (title) select i from n");
    assert_eq!(kind(&ws.frame().await), "resync");
    // A stream narrowed to the overview gets one frame as well.
    ws.watch(&["overview"]).await;
    app.sql("with recursive n (i) as (select 1 union select i + 1 from n where i < 1000) insert into tasks (title) select i from n");
    let frame = ws.frame().await;
    assert_eq!((kind(&frame), frame.get("more")), ("stale", None));
    assert_eq!(frame["payload"]["read_models"], serde_json::json!(["overview"]));
}

#[tokio::test]
async fn heartbeats_carry_the_cursor() {
    let app = App::start_with(|config| config.heartbeat = Duration::from_millis(100)).await;
    let mut ws = app.ws("").await;
    let cursor = ws.frame().await["cursor"].clone();
    let beat = ws.frame().await;
    assert_eq!((kind(&beat), &beat["cursor"]), ("heartbeat", &cursor));
    let (_, mut sse) = (ws, app.sse("", "").await);
    sse.event().await;
    assert_eq!(kind(&sse.event().await.0), "heartbeat");
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_disconnected() {
    let app = App::start_with(|config| config.heartbeat = Duration::from_millis(100)).await;
    let mut socket = upgrade(&app).await;
    // The socket answers no ping. The test reads all bytes until the server ends the connection.
    let mut all = Vec::new();
    tokio::time::timeout(crate::app::PATIENCE, socket.read_to_end(&mut all)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stopping_server_sends_closing_with_a_retry_time() {
    let app = App::start().await;
    let (mut ws, mut sse) = (app.ws("").await, app.sse("", "").await);
    ws.frame().await;
    sse.event().await;
    app.begin_stop();
    // Two streams are open, and each second one adds a millisecond.
    let closing = ws.frame().await;
    assert_eq!((kind(&closing), &closing["payload"]), ("closing", &json!({"retry_ms": 2001})));
    assert_eq!(ws.closed().await.0, 1012);
    assert_eq!(kind(&sse.event().await.0), "closing");
    app.stop().await;
}

/// A browser waits for exactly the time of the line `retry:`.
#[tokio::test]
async fn browsers_are_sent_back_at_different_times() {
    let app = App::start().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(reqwest::get(app.url("/api/v1/stream")).await.unwrap());
    }
    app.begin_stop();
    let mut pauses = BTreeSet::new();
    for stream in streams {
        let text = timeout(PATIENCE, stream.text()).await.unwrap().unwrap();
        let last = text.rsplit("\n\n").find(|event| event.contains("closing")).expect("the last event");
        let pause: u64 = last.lines().find_map(|line| line.strip_prefix("retry: ")).unwrap().parse().unwrap();
        assert!(last.contains(r#""retry_ms":2010"#) && (251..=2010).contains(&pause), "{last}");
        pauses.insert(pause);
    }
    assert!(pauses.len() > 10, "{pauses:?}");
    app.stop().await;
}

/// The message of a client can meet the end of its stream at any moment.
#[tokio::test]
async fn a_stream_that_narrows_while_the_server_stops_ends_as_every_stream() {
    let app = App::start().await;
    let watch = json!({"type": "watch", "payload": {"read_models": ["overview"]}}).to_string();
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut ws = app.ws("").await;
        ws.frame().await;
        streams.push(ws);
    }
    for (at, ws) in streams.iter_mut().enumerate() {
        ws.send(Message::text(watch.clone())).await;
        if at == 25 {
            app.begin_stop();
        }
    }
    for ws in &mut streams {
        let mut frame = ws.frame().await;
        if kind(&frame) == "watching" {
            frame = ws.frame().await;
        }
        assert_eq!(kind(&frame), "closing");
        assert_eq!(ws.closed().await.0, 1012);
    }
    app.stop().await;
}

#[tokio::test]
async fn each_client_error_has_its_close_code() {
    let app = App::start().await;
    let too_many = json!({"type": "watch", "payload": {"read_models": vec!["overview"; 257]}}).to_string();
    let cases = [
        (Message::Text("nope".into()), 1007),
        (Message::Text("[]".into()), 1008),
        (Message::Text(r#"["watch",{"read_models":[]}]"#.into()), 1008),
        (Message::Text(r#"{"type":"watch","payload":[["overview"]]}"#.into()), 1008),
        (Message::Text(r#"{"type":"look","payload":{}}"#.into()), 1008),
        (Message::Text(r#"{"type":"watch","payload":{"read_models":["task:1"]}}"#.into()), 1008),
        (Message::Text(too_many.into()), 1008),
        (Message::Text("x".repeat(17_000).into()), 1009),
        (Message::Binary(vec![1, 2].into()), 1003),
    ];
    for (message, code) in cases {
        let mut ws = app.ws("").await;
        ws.frame().await;
        ws.send(message.clone()).await;
        assert_eq!(ws.closed().await.0, code, "{message:?}");
    }
    // A frame with a reserved bit, a frame without a mask, and text that is not UTF-8.
    for (bytes, code) in [
        (&[0x91u8, 0x80, 0, 0, 0, 0][..], 1002),
        (&[0x81, 0x01, b'x'][..], 1002),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff][..], 1007),
    ] {
        let mut socket = upgrade(&app).await;
        socket.write_all(bytes).await.unwrap();
        let mut all = Vec::new();
        tokio::time::timeout(crate::app::PATIENCE, socket.read_to_end(&mut all)).await.unwrap().unwrap();
        let code = u16::to_be_bytes(code);
        assert!(all.windows(4).any(|four| four[0] == 0x88 && four[2..4] == code), "{bytes:?}");
    }
}

/// The hub writes to sockets while their clients close them. RFC 6455 allows no frame behind the answer.
#[tokio::test]
async fn no_frame_follows_the_answer_to_a_close_frame() {
    let app = App::start().await;
    let client = Client::of(&app);
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(upgrade(&app).await);
    }
    let writes = async {
        loop {
            client.task("x", json!({})).await;
        }
    };
    let closes = async {
        for mut socket in sockets {
            // A close frame without a code, with a mask of zeros.
            socket.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
            let mut all = Vec::new();
            timeout(PATIENCE, socket.read_to_end(&mut all)).await.unwrap().unwrap();
            assert!(all.ends_with(&[0x88, 0]), "{:?}", String::from_utf8_lossy(&all[all.len().max(100) - 100..]));
        }
    };
    tokio::select! {
        () = writes => {}
        () = closes => {}
    }
}

#[tokio::test]
async fn a_client_that_never_reads_delays_no_other() {
    let app = App::start().await;
    let stuck = upgrade(&app).await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    for round in 0..20 {
        app.sql(&format!("insert into tasks (title) values ('{round}')"));
        assert_eq!(kind(&ws.frame().await), "task.started");
    }
    drop(stuck);
}

#[tokio::test]
async fn foreign_hosts_and_origins_get_403_on_every_path() {
    let app = App::start().await;
    let http = reqwest::Client::new();
    for path in
        ["/ws", "/api/v1/stream", "/api/v1/overview", "/docs", "/healthz", "/metrics", "/api/v1/hooks/claude-code"]
    {
        let by_host = http.get(app.url(path)).header("host", "evil.example").send().await.unwrap();
        assert_eq!(by_host.status(), 403, "{path}");
        assert_eq!(by_host.headers()["content-type"], "application/problem+json", "{path}");
        let by_origin = http.get(app.url(path)).header("origin", "https://evil.example").send().await.unwrap();
        assert_eq!(by_origin.status(), 403, "{path}");
    }
}

/// A TCP connection after the WebSocket handshake. The test reads and writes its bytes itself.
async fn upgrade(app: &App) -> TcpStream {
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        app.address
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    socket
}
