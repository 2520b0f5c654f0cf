//! The screen of `requery watch` in a pseudo terminal.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, test_kill_process};
use tempfile::TempDir;

use super::terminal::PseudoTerminal;
use super::{is_blocked_in_a_write, start_task};
use crate::app::{App, PATIENCE};
use crate::process::ServerProcess;

const DOWN: &str = "\x1b[B";
const ESCAPE: &str = "\x1b";
const ENTER: &str = "\r";

fn server(app: &App) -> String {
    format!("--server http://{}", app.address)
}

#[tokio::test]
async fn the_screen_follows_the_server_and_keys_open_and_close_its_pages() {
    let app = App::start().await;
    let first = start_task(&app, "the first task").await;
    let mut terminal = PseudoTerminal::start(&server(&app), "", 80, 24);
    terminal.until_shows("the first task").await;
    assert!(terminal.is_taken_over());
    start_task(&app, "翻译设置页面 \x1b[2J").await;
    let picture = terminal.until_shows("翻译设置页面 \\u{1b}[2J").await;
    assert!(picture.contains("[live]") && picture.contains("2 tasks: 2 running"), "{picture}");

    terminal.press(DOWN).await;
    terminal.press(ENTER).await;
    terminal.until_shows("timeline").await;
    app.sql(&format!("insert into events (task_id, kind, title) values ('{first}', 'log', 'an event')"));
    terminal.until_shows("an event").await;
    terminal.press(ESCAPE).await;
    terminal.until("list of tasks", |picture| picture.contains("tasks (2)")).await;
    terminal.press("/first").await;
    terminal.until("filtered list", |picture| picture.contains("tasks (1 of 2)")).await;
    terminal.press(ENTER).await;
    terminal.press("b").await;
    terminal.until_shows("no bookmark yet").await;
    terminal.press("?").await;
    terminal.until_shows("signs of a row").await;
    terminal.press("q").await;
    assert_eq!(terminal.ended().await, 0);
    app.stop().await;
}

/// A task is watched only while its page is open.
#[tokio::test]
async fn a_task_is_watched_while_its_page_is_open() {
    let app = App::start().await;
    let task = start_task(&app, "the task").await;
    let proxy = crate::proxy::Proxy::start(app.address, true).await;
    let mut terminal = PseudoTerminal::start(&format!("--server {} --task {task}", proxy.url()), "", 80, 24);
    terminal.until_shows("timeline").await;
    let reads = || proxy.requests().iter().filter(|request| request.contains(&task)).count();
    let begun = reads();
    app.sql(&format!("insert into events (task_id, kind, title) values ('{task}', 'log', 'one')"));
    terminal.until_shows("one").await;
    assert!(reads() > begun, "{:?}", proxy.requests());
    terminal.press(ESCAPE).await;
    terminal.until("overview with the event", |picture| picture.contains("tasks (1)")).await;
    let read = reads();
    app.sql(&format!("insert into events (task_id, kind, title) values ('{task}', 'log', 'two')"));
    terminal.until_shows("2 events").await;
    assert_eq!(reads(), read, "{:?}", proxy.requests());
    terminal.press("q").await;
    assert_eq!(terminal.ended().await, 0);
    app.stop().await;
}

/// Each picture begins with the sequence that hides the cursor.
#[tokio::test]
async fn no_key_is_lost_and_the_screen_is_drawn_at_most_ten_times_a_second() {
    let app = App::start().await;
    app.sql(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 50)
        insert into tasks (title) select 'task ' || i from n",
    );
    let mut terminal = PseudoTerminal::start(&server(&app), "", 80, 24);
    terminal.until_shows("1/50").await;
    let pictures = |terminal: &PseudoTerminal| terminal.text().matches("\x1b[?25l").count();
    let (began, drawn) = (Instant::now(), pictures(&terminal));
    // Ten keys a time in one write, and single keys with pauses of a few milliseconds.
    for _ in 0..20 {
        terminal.press(DOWN).await;
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    terminal.press(&DOWN.repeat(10)).await;
    terminal.press("kkj/task").await;
    terminal.press(" 1").await;
    terminal.press(ENTER).await;
    terminal.press(&DOWN.repeat(2)).await;
    terminal.until_shows("3/14").await;
    let (most, drawn) = (2.0 + began.elapsed().as_secs_f64() * 10.0, pictures(&terminal) - drawn);
    assert!(drawn as f64 <= most, "{drawn} pictures, more than {most}");
    terminal.press(ESCAPE).await;
    terminal.until_shows("/50").await;
    terminal.press(&DOWN.repeat(60)).await;
    terminal.until_shows("50/50").await;
    // More keys than wait in the program. A lost one would leave an `x` in the filter.
    terminal.press(&format!("/{}task 7{ENTER}", "x\x7f".repeat(400))).await;
    terminal.until_shows("1/5").await;
    terminal.until_shows("filter: task 7 ").await;
    terminal.press("q").await;
    assert_eq!(terminal.ended().await, 0);
    app.stop().await;
}

#[tokio::test]
async fn a_resize_is_drawn_at_once() {
    let app = App::start().await;
    start_task(&app, "a task").await;
    let mut terminal = PseudoTerminal::start(&server(&app), "", 80, 24);
    terminal.until_shows("a task").await;
    let mut waits = Vec::new();
    for (columns, lines) in [(40, 10), (200, 50), (20, 5), (80, 24)] {
        let began = Instant::now();
        terminal.resize(columns, lines).await;
        let title = |screen: &vt100::Screen| screen.rows(0, columns).next().unwrap_or_default();
        let drawn = |screen: &vt100::Screen| {
            let (last, title) = (screen.rows(0, columns).last().unwrap_or_default(), title(screen));
            title.ends_with("[live]") && title.chars().count() == usize::from(columns) && last.starts_with("q quit")
        };
        terminal.until_screen("picture of the new size", drawn).await;
        waits.push(began.elapsed());
    }
    // The picture that is drawn once a second would come a second after the one before.
    assert!(waits.iter().any(|wait| *wait < Duration::from_millis(500)), "{waits:?}");
    terminal.press("q").await;
    assert_eq!(terminal.ended().await, 0);
    app.stop().await;
}

#[tokio::test]
async fn signals_and_control_c_restore_the_terminal() {
    let app = App::start().await;
    start_task(&app, "a task").await;
    for signal in [Some(Signal::TERM), Some(Signal::INT), Some(Signal::HUP), None] {
        let mut terminal = PseudoTerminal::start(&server(&app), "", 80, 24);
        terminal.until_shows("a task").await;
        assert!(terminal.is_taken_over());
        match signal {
            Some(signal) => terminal.send(signal).await,
            None => terminal.press("\x03").await,
        }
        assert_eq!(terminal.ended().await, 0, "{signal:?}");
    }
    app.stop().await;
}

/// The shell of the test controls no jobs, so the signal of Ctrl-Z stops the process and the test continues it.
#[tokio::test]
async fn a_stopped_screen_gives_the_terminal_back_and_takes_it_again() {
    let app = App::start().await;
    start_task(&app, "a task").await;
    let mut terminal = PseudoTerminal::start(&server(&app), "", 80, 24);
    terminal.until_shows("a task").await;
    terminal.press("\x1a").await;
    terminal.until_screen("main screen", |screen| !screen.alternate_screen()).await;
    terminal.send(Signal::CONT).await;
    terminal.until_shows("a task").await;
    assert!(terminal.is_taken_over());
    terminal.press("q").await;
    assert_eq!(terminal.ended().await, 0);
    app.stop().await;
}

#[tokio::test]
async fn a_closed_terminal_ends_the_command() {
    let app = App::start().await;
    start_task(&app, "a task").await;
    let mut terminal = PseudoTerminal::start(&server(&app), "", 80, 24);
    terminal.until_shows("a task").await;
    let pid = terminal.pid().await;
    terminal.close().await;
    until_ended(pid).await;
    app.stop().await;
}

/// The terminal of a person can hang, as over a lost connection. The write of a picture blocks then.
#[tokio::test]
async fn a_signal_ends_a_screen_whose_terminal_takes_no_output() {
    let app = App::start().await;
    start_task(&app, "a task").await;
    let mut terminal = PseudoTerminal::start(&server(&app), "", 200, 50);
    terminal.until_shows("a task").await;
    let pid = terminal.pid().await;
    terminal.stall();
    let until = Instant::now() + PATIENCE;
    // A write can wait for a moment before the buffers of the terminal are full.
    let mut blocked = 0;
    for columns in (100..200).cycle() {
        blocked = if is_blocked_in_a_write(pid) { blocked + 1 } else { 0 };
        if blocked == 50 {
            break;
        }
        assert!(Instant::now() < until, "the terminal takes all output");
        terminal.resize(columns, 50).await;
    }
    terminal.send(Signal::TERM).await;
    until_ended(pid).await;
    app.stop().await;
}

/// Waits until the process has ended.
async fn until_ended(pid: i32) {
    let until = Instant::now() + PATIENCE;
    while test_kill_process(Pid::from_raw(pid).unwrap()).is_ok() {
        assert!(Instant::now() < until, "the command still runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_terminal_without_colours_gets_none_and_a_dumb_one_gets_lines() {
    let app = App::start().await;
    start_task(&app, "a task").await;
    let is_colored = |text: &str| text.contains("\x1b[38;5;");
    let mut terminal = PseudoTerminal::start(&server(&app), "", 80, 24);
    terminal.until_shows("a task").await;
    assert!(is_colored(&terminal.text()), "{:?}", terminal.text());
    terminal.press("q").await;
    terminal.ended().await;

    let mut terminal = PseudoTerminal::start(&server(&app), "NO_COLOR=1", 80, 24);
    terminal.until_shows("* a task").await;
    assert!(!is_colored(&terminal.text()), "{:?}", terminal.text());
    terminal.press("q").await;
    terminal.ended().await;

    let mut terminal = PseudoTerminal::start(&server(&app), "TERM=dumb", 80, 24);
    terminal.until_shows("overview fresh").await;
    assert!(!terminal.text().contains('\x1b'), "{:?}", terminal.text());
    terminal.send(Signal::INT).await;
    assert_eq!(terminal.ended().await, 0);
    app.stop().await;
}

#[tokio::test]
async fn the_screen_says_why_and_since_when_the_stream_is_lost_and_the_last_attempt_is_a_failure() {
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("requery.db");
    let server = ServerProcess::start(&database, folder.path(), |_| ());
    server.add("a task").await;
    let url = format!("http://{}", server.address);
    let mut terminal = PseudoTerminal::start(&format!("--server {url} --attempts 4"), "", 120, 24);
    terminal.until_shows("a task").await;
    server.kill();
    let lost = terminal.until_shows("[reconnecting]").await;
    // The first attempt may have failed already.
    let reasons = ["the connection ended (", "the server cannot be reached ("];
    assert!(lost.contains("lost ") && reasons.iter().any(|reason| lost.contains(reason)), "{lost}");
    assert!(!lost.contains(" fresh,"), "{lost}");
    // The attempts fail, and the screen stays until the person has seen the end.
    let closed = terminal.until_shows("[closed]").await;
    assert!(closed.contains("Connection refused") && closed.contains("r tries"), "{closed}");
    assert!(closed.contains("a task") && !closed.contains(" fresh,"), "{closed}");
    terminal.press("q").await;
    let code = terminal.ended().await;
    assert_eq!(code, 1);
    let text = terminal.text();
    assert!(text.contains("requery: the last attempt to connect failed: could not connect to"), "{text:?}");
}
