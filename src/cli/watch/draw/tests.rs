//! Each test draws a moment on a terminal of some size and compares the text.

use std::sync::Arc;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Size;
use ratatui::style::{Color, Modifier};
use requery::client::{AgentSource, BodyValue, HeldState, OverviewBody, Source};
use requery::protocol::ReadModel;
use requery::protocol::model::TaskDetail;
use serde_json::{Value, json};

use super::{Palette, Picture};
use crate::cli::watch::connection_words::{ConnectionTone, ConnectionWords};
use crate::cli::watch::content::content;
use crate::cli::watch::shown::{ShownMoment, ShownView};
use crate::cli::watch::state::ScreenState;

mod needs;

/// 2026-01-01T00:01:00Z
const NOW_MS: i64 = 1_767_225_660_000;
const COLORS: Palette = Palette { has_colors: true };

fn id(number: usize) -> String {
    format!("00000000-0000-7000-8000-{number:012}")
}

fn task(number: usize, title: &str, status: &str) -> Value {
    json!({
        "task_id": id(number), "title": title, "project": "ledger-api", "status": status, "mode": "primary",
        "parent_task_id": null, "parent_session_id": null, "workspace": null, "source": "api", "status_reason": null,
        "waiting_since": null, "stale_since": null, "stale_reason": null, "summary": null, "event_count": number,
        "created_at": "2026-01-01T00:00:00.000Z", "changed_at": "2026-01-01T00:00:51.000Z", "ended_at": null
    })
}

fn needy(number: usize, title: &str, reason: &str) -> Value {
    json!({
        "task_id": id(number), "title": title, "project": "relay", "source": "codex", "status": "waiting",
        "status_certain": true, "reason": reason, "detail": null, "since": "2026-01-01T00:00:00.000Z"
    })
}

fn overview(needy: Vec<Value>, tasks: Vec<Value>, next: Option<&str>) -> ShownView<OverviewBody> {
    let total = tasks.len();
    let usage = json!({
        "answers": 0, "input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 0,
        "cost_usd": null, "answers_with_cost": 0
    });
    let overview = json!({
        "stats": {
            "total_tasks": total, "running_tasks": 1, "waiting_tasks": needy.len(), "completed_tasks": 0,
            "errored_tasks": 0, "total_events": 1234
        },
        "needs_you": needy, "activity": [], "sources": [], "usage": usage
    });
    let page = json!({ "items": tasks, "next": next, "previous": null });
    let parts = [overview.to_string().into(), page.to_string().into()];
    let body = AgentSource.parse(&ReadModel::Overview, &parts).expect("a body");
    fresh(OverviewBody::of(&Arc::new(body)).expect("an overview"))
}

fn fresh<T>(value: Arc<T>) -> ShownView<T> {
    let (value, age) = (Some(value), Some(Duration::from_secs(2)));
    ShownView { value, age, state: HeldState::Fresh, ..ShownView::default() }
}

fn moment(overview: ShownView<OverviewBody>) -> ShownMoment {
    ShownMoment {
        server: "http://127.0.0.1:7373".into(),
        project: None,
        is_project_known: true,
        connection: ConnectionWords { state: "live", detail: None, tone: ConnectionTone::Good },
        overview,
        task: None,
        bookmarks: None,
        now_ms: NOW_MS,
    }
}

fn team() -> ShownMoment {
    let needy = vec![needy(4, "Profile it", "permission"), needy(3, "Two messages are lost", "finished")];
    let tasks = vec![
        task(1, "Write the changelog", "running"),
        task(2, "Build and sign", "errored"),
        task(3, "Two messages are lost", "waiting"),
        task(5, "翻译设置页面的所有标题和说明文字", "completed"),
    ];
    moment(overview(needy, tasks, None))
}

struct Drawn {
    terminal: Terminal<TestBackend>,
}

impl Drawn {
    fn new(state: &mut ScreenState, moment: &ShownMoment, columns: u16, lines: u16, palette: Palette) -> Self {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("a terminal");
        let picture = Picture::new(content(state, moment), moment, Size::new(columns, lines), palette);
        state.settle(picture.rows(), picture.height());
        terminal.draw(|frame| picture.draw(state, frame)).expect("a picture");
        Self { terminal }
    }

    /// The lines of the terminal. A line ends with its last character.
    fn text(&self) -> String {
        let buffer = self.terminal.backend().buffer();
        let mut text = String::new();
        for y in 0..buffer.area.height {
            let mut line = String::new();
            let mut x = 0;
            while x < buffer.area.width {
                let symbol = buffer[(x, y)].symbol();
                line += symbol;
                x += u16::try_from(console::measure_text_width(symbol).max(1)).expect("a width");
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }

    /// The distinct foreground colours.
    fn has_color(&self) -> bool {
        self.terminal.backend().buffer().content().iter().any(|cell| cell.fg != Color::Reset)
    }
}

fn drawn(moment: &ShownMoment, columns: u16, lines: u16) -> String {
    Drawn::new(&mut ScreenState::new(std::iter::empty()), moment, columns, lines, COLORS).text()
}

fn press(state: &mut ScreenState, code: KeyCode) {
    state.handle_key(KeyEvent::new(code, KeyModifiers::NONE));
}

#[test]
fn the_tasks_that_need_a_person_come_first() {
    assert_eq!(
        drawn(&team(), 80, 16),
        "\
requery http://127.0.0.1:7373                               ! 2 need you  [live]
overview fresh, as of 2 s ago
4 tasks: 1 running, 2 waiting, 0 completed, 0 errored; 1,234 events

needs you (2)
> ! Profile it                            permission relay            1 min ago
  ! Two messages are lost                 finished   relay            1 min ago
tasks (3)
  * Write the changelog                   running    ledger-api       9 s ago
  x Build and sign                        errored    ledger-api       9 s ago
  + 翻译设置页面的所有标题和说明文字      completed  ledger-api       9 s ago




q quit  ? help  enter open  / filter  b bookmarks  r refresh                 1/5
"
    );
}

#[test]
fn a_task_that_needs_a_person_shows_its_question_in_the_line_below() {
    let mut asks = needy(4, "Profile it", "permission");
    asks["detail"] = json!("Bash: perf record -- ./target/release/relay --long --options\n  && perf\u{1b}[2J report");
    asks["source"] = json!("codex");
    let mut done = needy(3, "Two messages are lost", "finished");
    done["detail"] = json!(" \n ");
    let moment = moment(overview(vec![asks, done], vec![task(1, "Write the changelog", "running")], None));
    let mut state = ScreenState::new(std::iter::empty());
    let text = Drawn::new(&mut state, &moment, 80, 12, COLORS).text();
    assert_eq!(
        text,
        "\
requery http://127.0.0.1:7373                               ! 2 need you  [live]
overview fresh, as of 2 s ago
1 task: 1 running, 2 waiting, 0 completed, 0 errored; 1,234 events
needs you (2)
> ! Profile it                            permission relay            1 min ago
    Bash: perf record -- ./target/release/relay --long --options && perf\\u{1b}[…
  ! Two messages are lost                 finished   relay            1 min ago
tasks (1)
  * Write the changelog                   running    ledger-api       9 s ago


q quit  ? help  enter open  / filter  b bookmarks  r refresh                 1/3
"
    );
    // A filter finds a task by the words of its question, and the question stays with its row.
    press(&mut state, KeyCode::Char('/'));
    for c in "release".chars() {
        press(&mut state, KeyCode::Char(c));
    }
    let filtered = Drawn::new(&mut state, &moment, 80, 12, COLORS).text();
    let rows: Vec<&str> = filtered.lines().skip(3).take(4).collect();
    assert_eq!(rows[0], "needs you (1 of 2)");
    assert!(rows[1].contains("Profile it") && rows[2].contains("perf record"), "{filtered}");
    assert_eq!(rows[3], "tasks (0 of 1)");
}

#[test]
fn a_small_terminal_keeps_the_state_the_title_and_the_rows() {
    assert_eq!(
        drawn(&team(), 40, 10),
        "\
requery http://127… ! 2 need you  [live]
overview fresh, as of 2 s ago
4 tasks: 1 running, 2 waiting, 0 comple…
needs you (2)
> ! Profile it                permission
  ! Two messages are lost     finished
tasks (3)
  * Write the changelog       running
  x Build and sign            errored
q quit  ? help  enter open  / filter
"
    );
    assert_eq!(
        drawn(&team(), 12, 4),
        "\
requ… [live]
overv… fresh
> ! Profile…
q quit   1/5
"
    );
    // No size may break the program.
    for columns in 0..60 {
        for lines in 0..12 {
            drawn(&team(), columns, lines);
        }
    }
}

#[test]
fn a_wide_terminal_shows_more_cells() {
    let wide = drawn(&team(), 200, 50);
    let line = wide.lines().find(|line| line.contains("Write the changelog")).expect("the task");
    assert_eq!(
        line,
        "  * Write the changelog                                                                                  running    ledger-api       1 event      9 s ago"
    );
}

#[test]
fn wide_characters_take_two_cells() {
    let text = drawn(&team(), 50, 16);
    let line = text.lines().find(|line| line.contains("翻译")).expect("the task");
    assert_eq!(line, "  + 翻译设置页面的所有标题…  completed  9 s ago");
}

#[test]
fn a_lost_stream_says_why_and_since_when_and_no_view_is_fresh() {
    let mut moment = team();
    moment.connection = ConnectionWords {
        state: "reconnecting",
        detail: Some("next try in 3 s; the stream was lost 12 s ago: the connection was refused".into()),
        tone: ConnectionTone::Bad,
    };
    moment.overview.state = HeldState::Unconfirmed;
    moment.overview.error = Some("could not reach the server\x1b[2J".into());
    let text = drawn(&moment, 60, 16);
    assert_eq!(
        text.lines().take(5).collect::<Vec<_>>().join("\n"),
        "\
requery http://127.0.0.1:7373   ! 2 need you  [reconnecting]
next try in 3 s; the stream was lost 12 s ago: the
connection was refused
overview unconfirmed, as of 2 s ago; could not reach the se…
4 tasks: 1 running, 2 waiting, 0 completed, 0 errored; 1,23…"
    );
}

#[test]
fn an_empty_server_and_a_mistyped_project_get_a_line() {
    let mut moment = moment(overview(vec![], vec![], None));
    moment.project = Some("mistypd".into());
    moment.is_project_known = false;
    assert_eq!(
        drawn(&moment, 80, 12),
        "\
requery http://127.0.0.1:7373 project mistypd                             [live]
the project \"mistypd\" has no task; is the name right?
overview fresh, as of 2 s ago
0 tasks: 1 running, 0 waiting, 0 completed, 0 errored; 1,234 events
tasks
  no task yet: `requery hooks install` connects an agent,
  and `requery demo` shows a team at work




q quit  ? help  enter open  / filter  b bookmarks  r refresh
"
    );
}

#[test]
fn states_can_be_read_without_colours() {
    let mut state = ScreenState::new(std::iter::empty());
    let colored = Drawn::new(&mut state, &team(), 80, 16, COLORS);
    let plain = Drawn::new(&mut state, &team(), 80, 16, Palette { has_colors: false });
    assert!(colored.has_color() && !plain.has_color());
    assert_eq!(colored.text(), plain.text());
    let text = plain.text();
    let row = |title| text.lines().find(|line| line.contains(title)).and_then(|line| line.get(..3)).expect("a row");
    assert_eq!(["Profile it", "Write the", "Build and", "翻译"].map(row), ["> !", "  *", "  x", "  +"]);
    let mut cells = plain.terminal.backend().buffer().content().iter();
    assert!(cells.any(|cell| cell.modifier.contains(Modifier::REVERSED)));
}

#[test]
fn five_hundred_tasks_scroll_and_are_filtered() {
    let tasks: Vec<Value> = (1..=500).map(|number| task(number, &format!("task {number}"), "running")).collect();
    let moment = moment(overview(vec![], tasks, Some("next")));
    let mut state = ScreenState::new(std::iter::empty());
    let first = Drawn::new(&mut state, &moment, 60, 10, COLORS).text();
    press(&mut state, KeyCode::End);
    let last = Drawn::new(&mut state, &moment, 60, 10, COLORS).text();
    press(&mut state, KeyCode::Char('/'));
    for c in "TASK 49 run".chars() {
        press(&mut state, KeyCode::Char(c));
    }
    let filtered = Drawn::new(&mut state, &moment, 60, 10, COLORS).text();
    press(&mut state, KeyCode::Enter);
    let entered = Drawn::new(&mut state, &moment, 60, 10, COLORS).text();
    assert_eq!(
        first,
        "\
requery http://127.0.0.1:7373                         [live]
overview fresh, as of 2 s ago
500 tasks: 1 running, 0 waiting, 0 completed, 0 errored; 1,…
tasks (500)
> * task 1                             running    9 s ago
  * task 2                             running    9 s ago
  * task 3                             running    9 s ago
  * task 4                             running    9 s ago
  * task 5                             running    9 s ago
q quit  ? help  enter open  / filter  b bookmarks  r refresh
"
    );
    assert_eq!(
        last,
        "\
requery http://127.0.0.1:7373                         [live]
overview fresh, as of 2 s ago
500 tasks: 1 running, 0 waiting, 0 completed, 0 errored; 1,…
  * task 496                           running    9 s ago
  * task 497                           running    9 s ago
  * task 498                           running    9 s ago
  * task 499                           running    9 s ago
> * task 500                           running    9 s ago
  this screen holds the newest 500 tasks; the server has mo…
q quit  ? help  enter open  / filter  b bookmarks  r refresh
"
    );
    assert_eq!(
        filtered,
        "\
requery http://127.0.0.1:7373                         [live]
overview fresh, as of 2 s ago
500 tasks: 1 running, 0 waiting, 0 completed, 0 errored; 1,…
tasks (15 of 500)
> * task 49                            running    9 s ago
  * task 149                           running    9 s ago
  * task 249                           running    9 s ago
  * task 349                           running    9 s ago
  * task 449                           running    9 s ago
/ TASK 49 run
"
    );
    assert_eq!(entered.lines().last(), Some("q quit  ? help  esc clear  filter: TASK 49 run          1/15"));
}

#[test]
fn a_task_shows_its_parts_and_its_timeline() {
    let detail = json!({
        "task": task(1, "Write the \u{1b}[31mchangelog", "running"),
        "sessions": [], "children": [{
            "task_id": id(9), "title": "Collect the changes", "project": "ledger-api", "status": "completed",
            "mode": "background", "status_reason": null, "stale_since": null,
            "created_at": "2026-01-01T00:00:00.000Z", "ended_at": "2026-01-01T00:00:30.000Z"
        }],
        "figures": { "events": 2, "sessions": 1, "children": 1 },
        "usage": {
            "answers": 0, "input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 0,
            "cost_usd": null, "answers_with_cost": 0
        },
        "models": [],
        "timeline": { "items": [{
            "event_id": id(7), "task_id": id(1), "session_id": null, "position": 2, "kind": "tool", "family": "terminal",
            "lane": "terminal", "state": "failed", "title": "cargo test", "body": null, "metadata": {},
            "truncated": null, "created_at": "2026-01-01T00:00:50.000Z", "updated_at": "2026-01-01T00:00:50.000Z"
        }], "next": "older" }
    });
    let detail: TaskDetail = serde_json::from_value(detail).expect("a task");
    let mut moment = team();
    let mut state = ScreenState::new(std::iter::empty());
    Drawn::new(&mut state, &moment, 80, 16, COLORS);
    press(&mut state, KeyCode::Enter);
    assert_eq!(
        Drawn::new(&mut state, &moment, 80, 8, COLORS).text(),
        "\
requery http://127.0.0.1:7373                               ! 2 need you  [live]
task:00000000-0000-7000-8000-000000000004 loading





q quit  ? help  esc back  / filter  b bookmarks  r refresh
"
    );
    moment.task = Some(fresh(Arc::new(detail)));
    assert_eq!(
        Drawn::new(&mut state, &moment, 80, 16, COLORS).text(),
        "\
requery http://127.0.0.1:7373                               ! 2 need you  [live]
task:00000000-0000-7000-8000-000000000004 fresh, as of 2 s ago
running: Write the \\u{1b}[31mchangelog
ledger-api: 2 events, 1 session, 1 part

parts (1)
> + Collect the changes                   completed  ledger-api       30 s ago
timeline, the newest event first (1)
  x cargo test                                             failed     10 s ago
  the server has older events





q quit  ? help  esc back  / filter  b bookmarks  r refresh                   1/2
"
    );
    moment.task = Some(ShownView { state: HeldState::Gone, ..ShownView::default() });
    assert_eq!(
        Drawn::new(&mut state, &moment, 80, 8, COLORS).text(),
        "\
requery http://127.0.0.1:7373                               ! 2 need you  [live]
task:00000000-0000-7000-8000-000000000004 gone
the server has no such task, or has it no more




q quit  ? help  esc back  / filter  b bookmarks  r refresh
"
    );
}

#[test]
fn the_help_page_fits_a_terminal_of_24_lines() {
    let mut state = ScreenState::new(std::iter::empty());
    press(&mut state, KeyCode::Char('?'));
    assert_eq!(
        Drawn::new(&mut state, &team(), 80, 24, COLORS).text(),
        "\
requery http://127.0.0.1:7373                               ! 2 need you  [live]

keys
>   arrows, j k      select a row; page up, page down, home and end too
    enter            open the task of the row
    esc              clear the filter, or go back
    /                filter the rows by words; enter ends the typing
    b                the bookmarks, and back
    r                fetch again now, and open a lost stream now
    ?                this page, and back
    q, ctrl-c        quit
signs of a row
    !  needs you: asks, or waits for the next prompt
    ?  in doubt: silent, its process gone, or asked and perhaps answered
    *  running
    +  completed
    x  errored, failed or denied
states of a read model
    fresh         no change is known, and the server reports every change
    stale         a change was reported; the next fetch is due or under way
    unconfirmed   no change is known, but none could be reported
    loading       no answer has come yet
    gone          the server has no such task, or has it no more
q quit  ? help  esc back                                                    1/18
"
    );
}
