//! `requery hook`: each record arrives once and in order, and the agent never waits long or sees an error.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{App, PATIENCE};
use crate::home::{Home, Served, check_silent, free_port, run_silently};

/// A hook ends by itself within 300 ms. The bound is longer, so that only a hanging hook fails on a busy machine.
const AT_MOST: Duration = Duration::from_secs(5);

fn prompt(session: usize, number: usize) -> String {
    json!({
        "session_id": format!("session-{session}"),
        "hook_event_name": "UserPromptSubmit",
        "cwd": format!("/home/ada/{session}"),
        "prompt": format!("number {number}"),
    })
    .to_string()
}

/// Sends prompts of several agents at once. Each agent waits for its own hooks only.
fn send(home: &Home, port: u16, sessions: usize, numbers: std::ops::Range<usize>) {
    let url = format!("http://127.0.0.1:{port}");
    std::thread::scope(|scope| {
        for session in 0..sessions {
            let (url, numbers) = (&url, numbers.clone());
            scope.spawn(move || {
                for number in numbers {
                    home.hook(&["claude-code", "--server", url], prompt(session, number).as_bytes());
                }
            });
        }
    });
}

/// Waits for all prompts and checks that each is stored once and in order.
async fn check_all(served: &Served, sessions: usize, numbers: usize) {
    served.wait_for_events(sessions * numbers).await;
    let timelines = served.timelines().await;
    assert_eq!(timelines.len(), sessions);
    for (workspace, events) in timelines {
        let titles: Vec<_> = events.iter().map(|event| event["title"].as_str().unwrap().to_owned()).collect();
        let expected: Vec<_> = (0..numbers).map(|number| format!("number {number}")).collect();
        assert_eq!(titles, expected, "{workspace}");
        let times: Vec<_> = events.iter().map(|event| event["created_at"].as_str().unwrap().to_owned()).collect();
        assert!(times.is_sorted(), "{workspace}: {times:?}");
    }
}

#[tokio::test]
async fn hooks_spooled_without_a_server_arrive_once_and_in_order() {
    let home = Home::new();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    send(&home, port, 5, 0..100);
    assert_eq!(home.spooled(port), 500);
    let status = home.run(&["hooks", "status", "--server", &url]);
    assert!(
        status.contains("  answers       no: ") && status.contains("  spooled       500 records wait ("),
        "{status}"
    );

    let before = chrono::Utc::now();
    let served = home.serve(port, &[]).await;
    // Records that arrive during the spool intake are stored after the spooled ones.
    send(&home, port, 5, 100..102);
    check_all(&served, 5, 102).await;
    let first = &served.timelines().await[0].1[0];
    let at = chrono::DateTime::parse_from_rfc3339(first["created_at"].as_str().unwrap()).unwrap();
    assert!(at < before, "the event has the time of the hook, not of the intake: {at}");
    assert_eq!(home.spooled(port), 0);
    let status = home.run(&["hooks", "status", "--server", &url]);
    assert!(
        status.contains("  answers       yes\n") && status.contains("  spooled       no records wait\n"),
        "{status}"
    );
    assert!(
        status.contains("  last heard    claude-code: ") && status.contains("  last heard    codex: never\n"),
        "{status}"
    );
}

#[tokio::test]
async fn a_server_killed_during_the_spool_intake_stores_each_record_once() {
    let home = Home::new();
    let port = free_port();
    send(&home, port, 3, 0..40);
    for wait in [0, 5, 10, 20] {
        let served = home.serve(port, &[]).await;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        served.kill().await;
    }
    check_all(&home.serve(port, &[]).await, 3, 40).await;
}

/// The server is on another machine and cannot read the spool, so only hooks can deliver the records.
#[tokio::test]
async fn later_hooks_deliver_the_spooled_records() {
    let home = Home::new();
    let port = free_port();
    send(&home, port, 3, 0..10);
    let served = home.serve(port, &["--spool", "elsewhere"]).await;
    let (mut numbers, until) = (10, Instant::now() + PATIENCE);
    while home.spooled(port) > 0 {
        // One hook after the other: of three at once only one delivers the spool, and the others append to it.
        for session in 0..3 {
            let url = format!("http://127.0.0.1:{port}");
            home.hook(&["claude-code", "--server", &url], prompt(session, numbers).as_bytes());
        }
        numbers += 1;
        assert!(Instant::now() < until, "{} wait", home.spooled(port));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    check_all(&served, 3, numbers).await;
}

/// A TCP server that calls `answer` with every connection.
fn server(answer: impl Fn(&mut std::net::TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            answer(&mut stream);
            // The connection stays open until the test ends.
            open.push(stream);
        }
    });
    port
}

fn answering(text: &'static str) -> u16 {
    server(move |stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Both);
    })
}

#[test]
fn a_failing_server_delays_no_agent_and_loses_no_record() {
    let problem =
        "HTTP/1.1 422 Unprocessable Entity\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}";
    for (server_does, port, kept) in [
        ("is not there", free_port(), 1),
        ("hangs", server(|_| ()), 1),
        ("closes at once", answering(""), 1),
        ("closes half-way", answering("HTTP/1.1 204 No Con"), 1),
        ("closes within the head", answering("HTTP/1.1 204 No Content\r\nDate: x\r\n"), 1),
        ("answers 500", answering("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"), 1),
        (
            "answers 503",
            answering("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n"),
            1,
        ),
        ("is another program", answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), 1),
        ("speaks another language", answering("220 mail.example ESMTP\r\n\r\n"), 1),
        ("knows that it is no record", answering(problem), 0),
        ("has taken it", answering("HTTP/1.1 204 No Content\r\n\r\n"), 0),
    ] {
        let home = Home::new();
        let url = format!("http://127.0.0.1:{port}");
        let began = Instant::now();
        home.hook(&["claude-code", "--server", &url], prompt(0, 0).as_bytes());
        let took = began.elapsed();
        assert!(took < AT_MOST, "{server_does}: {took:?}");
        assert_eq!(home.spooled(port), kept, "{server_does}");
        home.hook(&["codex", "--server", &url], prompt(0, 1).as_bytes());
        assert_eq!(home.spooled(port), 2 * kept, "{server_does}");
        let aside = fs::read_dir(home.spool(port).join("aside")).map_or(0, Iterator::count);
        assert_eq!(aside, if server_does == "knows that it is no record" { 2 } else { 0 }, "{server_does}");
        if aside > 0 {
            let status = home.run(&["hooks", "status", "--server", &url]);
            assert!(status.contains("; 2 unreadable or rejected records were moved to "), "{status}");
        }
    }
}

#[test]
fn a_hanging_server_delays_at_most_two_of_five_hooks() {
    let home = Home::new();
    let port = server(|_| ());
    let url = format!("http://127.0.0.1:{port}");
    let mut times = Vec::new();
    for number in 0..5 {
        let began = Instant::now();
        home.hook(&["claude-code", "--server", &url], prompt(0, number).as_bytes());
        times.push(began.elapsed());
    }
    let slow = times.iter().filter(|took| **took > Duration::from_millis(200)).count();
    assert!(slow <= 2, "{times:?}");
    assert_eq!(home.spooled(port), 5);
}

#[test]
fn wrong_input_arguments_or_home_folders_never_fail_the_hook() {
    let home = Home::new();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let hook = ["claude-code", "--server", &url];
    home.hook(&hook, b"");
    home.hook(&hook, b" \n");
    assert_eq!(home.spooled(port), 0, "an empty input is no record");
    home.hook(&hook, &vec![b' '; 9 * 1024 * 1024]);
    assert_eq!(home.spooled(port), 0, "an input longer than any record is dropped");
    // On a busy machine the input is late, and another process reads its end.
    let until = Instant::now() + PATIENCE;
    while !home.run(&["hooks", "status", "--server", &url]).contains("1 input was lost") {
        assert!(Instant::now() < until, "not counted");
    }
    // The hook does not parse its input: the server decides whether it is a record.
    home.hook(&hook, b"\xff\xfe garbage");
    assert_eq!(home.spooled(port), 1);
    for args in [
        &[][..],
        &["claude"],
        &["--server"],
        &["claude-code", "--server", "https://x"],
        &["claude-code", "--server", "::"],
        &["--nonsense", "claude-code", "more", "--server", &url],
        &["codex", "--spool=/proc/nowhere", "--server", &url],
        &["codex", "--spool=/dev/null", "--server", &url],
    ] {
        home.hook(args, prompt(0, 0).as_bytes());
    }
    assert!(home.run(&["hook", "--help"]).contains("Usage: requery hook"));

    for (home_of, name) in [("/dev/null", "no folder"), ("", "an empty path"), ("/proc", "not writable")] {
        let mut command = home.requery(&["hook", "claude-code", "--server", &url]);
        command.env("HOME", home_of);
        let began = Instant::now();
        run_silently(command, prompt(0, 0).as_bytes());
        assert!(began.elapsed() < AT_MOST, "a home that is {name}");
    }
}

#[test]
fn an_input_without_end_is_kept_if_the_record_is_whole() {
    let home = Home::new();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let whole = prompt(0, 0);
    let mut command = home.requery(&["hook", "claude-code", "--server", &url]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(whole.as_bytes()).unwrap();
    check_silent(&child.wait_with_output().unwrap());
    assert!(began.elapsed() < AT_MOST, "{:?}", began.elapsed());
    assert_eq!(home.spooled(port), 1);
    drop(stdin);
    // The streams are closed from the start.
    let closed = |line: &str| {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line).env("REQUERY_SERVER", &url);
        let mut shell = home.at_home(shell);
        shell.env("REQUERY_SERVER", &url);
        assert!(shell.status().unwrap().success(), "{line}");
    };
    let program = env!("CARGO_BIN_EXE_requery");
    closed(&format!("{program} hook claude-code <&- >&- 2>&-"));
    closed(&format!("echo '{whole}' | {program} hook claude-code >&- 2>&-"));
    assert_eq!(home.spooled(port), 2);
}

#[tokio::test]
async fn broken_spool_files_are_put_aside() {
    let home = Home::new();
    let port = free_port();
    send(&home, port, 1, 0..3);
    home.hook(&["codex", "--server", &format!("http://127.0.0.1:{port}")], b"not JSON");
    let queue = home.spool(port).join("queue");
    let names: Vec<String> = home.queued(port);
    let whole = fs::read(queue.join(&names[1])).unwrap();
    fs::write(queue.join("0000000000000000"), &whole[..whole.len() - 7]).unwrap();
    fs::write(queue.join("0000000000000001-copy"), b"").unwrap();
    fs::write(queue.join("zzz"), vec![0; 100_000]).unwrap();
    fs::write(home.spool(port).join("part-left"), &whole).unwrap();
    fs::create_dir(queue.join("folder")).unwrap();
    let served = home.serve(port, &[]).await;
    check_all(&served, 1, 3).await;
    let until = Instant::now() + PATIENCE;
    while home.spooled(port) > 0 {
        assert!(Instant::now() < until, "{} wait", home.spooled(port));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let counters = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap().text().await.unwrap();
    for counter in ["requery_hooks_spooled_total 3", "requery_hooks_refused_total 5"] {
        assert!(counters.lines().any(|line| line == counter), "{counter}: {counters}");
    }
    drop(served);
    let status = home.run(&["hooks", "status", "--server", &format!("http://127.0.0.1:{port}")]);
    assert!(
        status.contains("  spooled       no records wait; 5 unreadable or rejected records were moved to "),
        "{status}"
    );
    send(&home, port, 1, 3..4);
}

/// To put a file aside takes no transaction, so it waits for no pause of other programs.
#[tokio::test]
async fn broken_spool_files_wait_for_no_pause_of_other_programs() {
    let home = Home::new();
    let port = free_port();
    home.hook(&["codex", "--server", &format!("http://127.0.0.1:{port}")], b"not JSON");
    let queue = home.spool(port).join("queue");
    fs::write(queue.join("zzz"), "not a record").unwrap();
    let (spool, address) = (home.spool(port).parent().unwrap().to_owned(), format!("127.0.0.1:{port}"));
    let folder = std::sync::Arc::new(tempfile::TempDir::new().unwrap());
    let app = App::start_at(address.parse().unwrap(), folder, |config| {
        config.spool = Some(spool);
        config.background_pause = 2 * PATIENCE;
    });
    let app = app.await;
    let until = Instant::now() + PATIENCE;
    while home.spooled(port) > 0 {
        assert!(Instant::now() < until, "{} wait", home.spooled(port));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.stop().await;
}

#[tokio::test]
async fn an_unusable_spool_does_not_stop_the_server() {
    for spool in [Path::new("/dev/null"), Path::new("/proc/nowhere")] {
        let app = App::start_with(|config| config.spool = Some(spool.to_owned())).await;
        assert!(reqwest::get(app.url("/api/v1/overview")).await.unwrap().status().is_success());
        app.stop().await;
    }
}

#[tokio::test]
async fn a_late_hook_is_stored_under_its_own_time() {
    let app = App::start().await;
    let client = reqwest::Client::new();
    let now = chrono::Utc::now();
    for (number, (at, expected)) in [
        (now - chrono::Duration::hours(3), now - chrono::Duration::hours(3)),
        (now - chrono::Duration::days(30), now - chrono::Duration::days(7)),
        (now + chrono::Duration::days(1), now),
    ]
    .into_iter()
    .enumerate()
    {
        let hook = client.post(app.url("/api/v1/hooks/codex")).header("content-type", "application/json");
        let hook = hook.header("requery-at", at.to_rfc3339()).body(prompt(number, 0));
        assert_eq!(hook.send().await.unwrap().status(), 204);
        let tasks = reqwest::get(app.url("/api/v1/tasks")).await.unwrap().text().await.unwrap();
        let tasks: Value = serde_json::from_str(&tasks).unwrap();
        let of_session = |task: &&Value| task["workspace"] == format!("/home/ada/{number}");
        let task = tasks["items"].as_array().unwrap().iter().find(of_session).unwrap();
        let began = chrono::DateTime::parse_from_rfc3339(task["created_at"].as_str().unwrap()).unwrap();
        assert!((began.to_utc() - expected).num_seconds().abs() < 30, "{at}: {began}");
    }
    let hook = client.post(app.url("/api/v1/hooks/codex")).header("content-type", "application/json");
    let refused = hook.header("requery-at", "yesterday").body(prompt(9, 0)).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert!(refused.text().await.unwrap().contains("Requery-At"));
}
