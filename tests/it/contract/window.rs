//! The window in simulated time: when it sends notices, and how it merges them.
//!
//! A script has one line for each input, `<ms> <input>`. While a flush is being sent, inputs wait. The output has one
//! line for each flush, with its time and, after `@`, the number of the input line whose cursor the flush carries.

use std::fmt::Write;
use std::time::{Duration, Instant};

use requery::protocol::{Cursor, Notice, NoticeColumns, NoticeKind};
use requery::server::hub::{Flushed, Window};

use super::id;

const BASE: Duration = Duration::from_millis(40);

/// The window sends the batches of one pass in one flush, with the cursor that completes the pass.
#[test]
fn an_incomplete_pass_is_not_flushed() {
    check(
        "0 begin event a
         100 begin event b
         200 event c",
        "200 @3 event.logged a, event.logged b, event.logged c",
    );
    // A doubt completes the pass too. `clear`, which the hub calls when the database is unavailable, drops the pass.
    check(
        "0 begin event a
         100 doubt",
        "100 @2 doubt: because",
    );
    check(
        "0 begin event a
         100 clear
         200 event b",
        "200 @3 event.logged b",
    );
}

#[test]
fn the_first_notice_after_a_quiet_window_is_sent_at_once() {
    check("0 event a", "0 @1 event.logged a");
    check(
        "0 event a
         1000 event a",
        "0 @1 event.logged a
         1000 @2 event.logged a",
    );
    // A quiet window is one without a flush. Changes may arrive in it.
    check(
        "0 event a
         39 event a
         40 event a
         80 event a
         120 event a",
        "0 @1 event.logged a
         40 @2 event.logged a
         80 @3 event.logged a
         120 @4 event.logged a
         160 @5 event.logged a",
    );
}

#[test]
fn later_notices_are_sent_once_in_each_window() {
    check(
        "0 event a
         1 event a
         10 event b
         39 event a
         41 task a
         79 event a
         200 event a",
        "0 @1 event.logged a
         40 @4 event.logged a x2, event.logged b
         80 @6 task.updated a, event.logged a
         200 @7 event.logged a",
    );
}

#[test]
fn notices_merge_by_kind_task_project_and_parent() {
    check(
        "0 task z
         1 task a, event a, task b, event a, task a, event b
         40 wait",
        "0 @1 task.updated z
         40 @2 task.updated a x2, event.logged a x2, task.updated b, event.logged b",
    );
    // Notices of a task in two projects or below two parents stay apart. Of merged notices the newest is sent.
    check(
        "0 task z
         1 task a, task a of q, task a below b, task a, started a, deleted a, completed a errored, completed a completed",
        "0 @1 task.updated z
         1 @2 task.updated a x2, task.updated a of q, task.updated a below b, task.started a, task.deleted a, task.completed a completed x2",
    );
    // The counts of merged purges are added up for each project.
    check(
        "0 purged 1
         1 purged 2, purged 3 of q, purged 4",
        "0 @1 tasks.purged 1
         40 @2 tasks.purged 6 x2, tasks.purged 3 of q",
    );
}

#[test]
fn the_window_widens_under_load_and_narrows_again() {
    // Sending may take two thirds of the time: 26 ms for each window, and not more.
    check(
        "0 sending 26
         0 event a
         1 event a",
        "0 @2 event.logged a
         40 @3 event.logged a",
    );
    check(
        "0 sending 66.6666667
         0 event a
         1 event a
         101 event a
         201 event a
         250 sending 1
         301 event a
         341 event a
         381 event a",
        "0 @2 event.logged a
         100 @3 event.logged a
         200 @4 event.logged a
         300 @5 event.logged a
         340 @7 event.logged a
         380 @8 event.logged a
         420 @9 event.logged a",
    );
    // The window is at most eight times as wide.
    check(
        "0 sending 300
         0 event a
         1 event a",
        "0 @2 event.logged a
         320 @3 event.logged a",
    );
}

#[test]
fn a_notice_for_which_a_person_waits_is_sent_early_with_all_that_waits() {
    check(
        "0 event a
         1 event b
         5 status c
         6 event d",
        "0 @1 event.logged a
         5 @3 event.logged b, task.updated c
         40 @4 event.logged d",
    );
    // At most one in 10 ms.
    check(
        "0 event a
         1 completed a errored
         2 status c
         10 status d
         11 status e
         12 todo f",
        "0 @1 event.logged a
         1 @2 task.completed a errored
         11 @4 task.updated c, task.updated d
         21 @6 task.updated e, event.logged f",
    );
    // Also in a wide window.
    check(
        "0 sending 90
         0 event a
         90 sending 1
         95 event b
         100 status c
         102 event d",
        "0 @2 event.logged a
         100 @5 event.logged b, task.updated c
         135 @6 event.logged d",
    );
    // An agent asks, and writes its todo list, by a call of a tool.
    for event in ["tool/todo/", "tool/question/", "note//todos"] {
        check(
            &format!("0 event a\n 1 event b\n 5 {event} c"),
            "0 @1 event.logged a
             5 @3 event.logged b, event.logged c",
        );
    }
    check(
        "0 event a
         5 tool/terminal/ c",
        "0 @1 event.logged a
         40 @2 event.logged c",
    );
    // A task can start as waiting.
    check(
        "0 event a
         5 started b
         6 event b",
        "0 @1 event.logged a
         5 @2 task.started b
         40 @3 event.logged b",
    );
    // Not before the pass is complete, and not twice.
    check(
        "0 begin status a
         30 event b",
        "30 @2 task.updated a, event.logged b",
    );
}

/// The pause after an early flush is counted from its end. It lasts 10 ms, or half of the time that the flush took.
#[test]
fn early_flushes_leave_time_for_other_work() {
    check(
        "0 sending 8
         0 event a
         9 status a
         18 status b
         41 event c
         50 sending 30
         51 status d
         82 status e
         83 event f",
        "0 @2 event.logged a
         9 @3 task.updated a
         27 @4 task.updated b
         41 @5 event.logged c
         51 @7 task.updated d
         96 @9 task.updated e, event.logged f",
    );
    // No window ends in that half.
    check(
        "0 event a
         20 sending 30
         20 status b
         51 event c",
        "0 @1 event.logged a
         20 @3 task.updated b
         65 @4 event.logged c",
    );
    // A quick early flush does not make a wide window narrow: sending to all takes as long as before.
    check(
        "0 sending 66.6666667
         0 event a
         67 sending 2
         70 status b
         80 event c
         98 sending 66.6666667
         101 event d
         170 event e",
        "0 @2 event.logged a
         70 @4 task.updated b
         100 @5 event.logged c
         200 @8 event.logged d, event.logged e",
    );
}

#[test]
fn a_doubt_replaces_the_waiting_notices() {
    check("0 doubt", "0 @1 doubt: because");
    check(
        "0 event a
         1 event a
         2 doubt
         3 event b
         41 event c",
        "0 @1 event.logged a
         40 @4 doubt: because
         80 @5 event.logged c",
    );
}

#[test]
fn more_than_10000_notices_become_a_doubt() {
    check(
        "0 event a
         1 tasks 10000",
        "0 @1 event.logged a
         40 @2 10000 notices",
    );
    check(
        "0 event a
         1 tasks 10000
         2 task 7
         3 event b
         41 event a",
        "0 @1 event.logged a
         40 @4 doubt: too much changed at once
         80 @5 event.logged a",
    );
    check("0 tasks 10001", "0 @1 doubt: too much changed at once");
}

#[test]
fn cleared_notices_are_not_sent() {
    check(
        "0 event a
         1 event a
         2 clear
         90 event b
         91 doubt
         92 clear
         93 event c",
        "0 @1 event.logged a
         90 @4 event.logged b
         130 @7 event.logged c",
    );
}

/// Runs the script as the hub does: a flush that is due at the time of an input happens before the input, and while a
/// flush is being sent no input is taken.
#[track_caller]
fn check(script: &str, expected: &str) {
    let mut hub = SimulatedHub::default();
    for (number, line) in script.lines().map(str::trim).enumerate() {
        let (ms, input) = line.split_once(' ').unwrap();
        let now = Duration::from_millis(ms.parse().unwrap());
        hub.flush_until(now);
        let now = now.max(hub.free_at);
        let (window, cursor) = (&mut hub.window, Cursor::counter("e", number as u64 + 1));
        match input.split_once(' ').unwrap_or((input, "")) {
            ("sending", ms) => hub.sending = Duration::from_secs_f64(ms.parse::<f64>().unwrap() / 1_000.0),
            ("doubt", _) => window.handle_doubt("because", cursor, now),
            ("clear", _) => window.clear(),
            ("wait", _) => complete(window, Vec::new(), cursor, now),
            ("begin", notices) => {
                window.handle_notices(notices.split(", ").map(notice).collect(), Instant::now(), now);
            }
            ("tasks", count) => {
                let tasks = 0..count.parse::<u64>().unwrap();
                complete(window, tasks.map(|at| notice(&format!("task {at}"))).collect(), cursor, now);
            }
            _ => complete(window, input.split(", ").map(notice).collect(), cursor, now),
        }
        hub.flush(now);
    }
    hub.flush_until(Duration::MAX);
    let (out, expected): (_, String) = (hub.out, expected.lines().map(|line| format!("{}\n", line.trim())).collect());
    assert!(out == expected, "{script}\n  gave:\n{out}  expected:\n{expected}");
}

/// The driver of a window, with the time that it needs to send a flush.
struct SimulatedHub {
    window: Window,
    sending: Duration,
    /// The end of the last flush.
    free_at: Duration,
    out: String,
}

impl Default for SimulatedHub {
    fn default() -> Self {
        Self { window: Window::new(BASE), sending: Duration::ZERO, free_at: Duration::ZERO, out: String::new() }
    }
}

impl SimulatedHub {
    fn flush_until(&mut self, end: Duration) {
        while let Some(due) = self.window.poll_timeout().map(|due| due.max(self.free_at)).filter(|due| *due <= end) {
            self.flush(due);
        }
    }

    fn flush(&mut self, now: Duration) {
        let due = self.window.poll_timeout().filter(|due| *due <= now);
        let flushed = self.window.poll_flush(now).map(|due| due.flushed);
        assert!(due.is_some() || flushed.is_none(), "a flush before its time");
        if let Some(flushed) = flushed {
            self.free_at = now + self.sending;
            self.window.handle_sent(self.sending, self.free_at);
            note(now, &flushed, &mut self.out);
        }
    }
}

/// A pass of one batch.
fn complete(window: &mut Window, notices: Vec<Notice>, cursor: Cursor, now: Duration) {
    window.handle_notices(notices, Instant::now(), now);
    window.handle_complete(cursor);
}

fn note(now: Duration, flushed: &Flushed, out: &mut String) {
    let ms = now.as_millis();
    match flushed {
        Flushed::Doubt { reason, cursor } => {
            writeln!(out, "{ms} @{} doubt: {reason}", cursor.snapshot().xmax()).unwrap();
        }
        Flushed::Notices { merged, cursor } if merged.len() > 100 => {
            writeln!(out, "{ms} @{} {} notices", cursor.snapshot().xmax(), merged.len()).unwrap();
        }
        Flushed::Notices { merged, cursor } => {
            let lines = merged.iter().map(|one| match one.count {
                1 => text(&one.notice),
                count => format!("{} x{count}", text(&one.notice)),
            });
            let lines = lines.collect::<Vec<_>>().join(", ");
            writeln!(out, "{ms} @{} {lines}", cursor.snapshot().xmax()).unwrap();
        }
    }
}

/// `event a`, `todo a`, `tool/todo/ a` (an event of that class), `task a of q`, `status a`, `completed a errored`,
/// `purged 3`.
fn notice(text: &str) -> Notice {
    let (rest, project) = text.split_once(" of ").unwrap_or((text, ""));
    let (rest, parent) = rest.split_once(" below ").map_or((rest, None), |(rest, parent)| (rest, Some(parent)));
    let mut words = rest.split(' ');
    let (kind, name) = (words.next().unwrap(), words.next().unwrap());
    let has_status = kind == "status";
    let event_class = kind.contains('/').then_some(kind).or((kind == "todo").then_some("todo//"));
    let kind = match kind {
        _ if event_class.is_some() => NoticeKind::EventLogged,
        "event" => NoticeKind::EventLogged,
        "task" | "status" => NoticeKind::TaskUpdated,
        "started" => NoticeKind::TaskStarted,
        "deleted" => NoticeKind::TaskDeleted,
        "purged" => NoticeKind::TasksPurged,
        "completed" => NoticeKind::TaskCompleted,
        other => panic!("not a kind: {other}"),
    };
    let parent = parent.map(id);
    let columns = NoticeColumns {
        kind: kind.as_str(),
        project,
        task_id: Some(&id(name)),
        parent_task_id: parent.as_deref(),
        object_id: Some(&id("e")),
        status: words.next(),
        count: name.parse().ok(),
        event_class,
        status_changed: has_status.then_some(1),
    };
    Notice::from_columns(&columns).unwrap_or_else(|| panic!("not a notice: {text}"))
}

fn text(notice: &Notice) -> String {
    let mut text = notice.kind().to_owned();
    if let Some(task) = notice.task_id() {
        write!(text, " {}", super::wire::name(task.as_str())).unwrap();
    }
    let fields = notice.fields();
    if let Some(count) = fields.count {
        write!(text, " {count}").unwrap();
    }
    if let Some(status) = fields.status {
        write!(text, " {status}").unwrap();
    }
    if let Some(parent) = fields.parent_task_id {
        write!(text, " below {}", super::wire::name(parent.as_str())).unwrap();
    }
    if !notice.project().is_empty() {
        write!(text, " of {}", notice.project()).unwrap();
    }
    text
}
