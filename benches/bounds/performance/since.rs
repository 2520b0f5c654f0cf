//! Reads of the changes alone beside the whole read: they must not cost more, however much has changed.
//!
//! The two reads of a turn meet the same changes, each once: an answer that another read left in the cache would cost
//! nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::machine::rounds;
use crate::table::{Limit, Row};

use super::reads::asked;
use super::{Requery, compared, log};

/// The rows of a full page.
const PAGE: usize = 50;
/// The reads of one round, of each kind: so many that two equal reads differ by a few hundredths.
const TURNS: usize = 60;
/// The server has followed its log up to a change after this time.
const NOTICED: Duration = Duration::from_millis(5);
const TASKS_PAGE: &str = "/api/v1/tasks?project=acme-web&status=completed";
const BOOKMARKS_PAGE: &str = "/api/v1/bookmarks?project=acme-web";
const SMALL_PAGE: &str = "/api/v1/bookmarks?project=small";

/// What happens between the held answer and the next one.
#[derive(Clone, Copy)]
enum Change {
    /// A task changes that is not on the page.
    Elsewhere,
    /// So many tasks of the page change.
    Tasks(usize),
    /// A bookmark of the small page changes.
    Bookmark,
    /// A task is deleted with its bookmark, which the log does not name.
    Deletion,
}

/// The page, the change, and whether the server answers with the changes alone.
const CASES: [(&str, &str, Change, Option<bool>); 6] = [
    ("a page of 50 tasks, none of them changed", TASKS_PAGE, Change::Elsewhere, Some(true)),
    ("a page of 50 tasks, one changed", TASKS_PAGE, Change::Tasks(1), Some(true)),
    ("a page of 50 tasks, half of them changed", TASKS_PAGE, Change::Tasks(PAGE / 2), None),
    ("a page of 50 tasks, all changed", TASKS_PAGE, Change::Tasks(PAGE), Some(false)),
    (
        "a page of 50 bookmarks after a deletion that the log does not name",
        BOOKMARKS_PAGE,
        Change::Deletion,
        Some(false),
    ),
    ("a page of two bookmarks, one changed", SMALL_PAGE, Change::Bookmark, None),
];

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let mut written = Written::start();
        let process = written.requery.server.process();
        let mut reader = Exchange::open(written.requery.server.address);
        let compressed = "Accept-Encoding: gzip\r\n";
        let mut figures = vec![[Vec::new(), Vec::new()]; CASES.len()];
        for round in 0..=rounds() {
            for ((_, path, change, is_short), figures) in CASES.into_iter().zip(&mut figures) {
                let [mut since, mut full] = [Vec::new(), Vec::new()];
                let mut cursor = asked(process, &mut reader, path, compressed).cursor();
                for turn in 0..TURNS {
                    // Each of the two is the first one in half of the turns.
                    for is_since in [turn % 2 == 0, turn % 2 == 1] {
                        written.make(change);
                        // A client asks after the notice of the change.
                        std::thread::sleep(NOTICED);
                        let asked_path = if is_since { format!("{path}&since={cursor}") } else { path.to_owned() };
                        let answer = asked(process, &mut reader, &asked_path, compressed);
                        cursor = answer.cursor();
                        if is_since {
                            let was_short = answer.answer.plain().starts_with(br#"{"full":false"#);
                            assert!(is_short.is_none_or(|is_short| is_short == was_short), "{path}: {was_short}");
                        }
                        (if is_since { &mut since } else { &mut full }).push(answer.cpu);
                    }
                }
                // The first round warms up.
                if round > 0 {
                    figures[0].push(mean(&since));
                    figures[1].push(mean(&full));
                }
            }
        }
        let mut rows = Vec::new();
        for ((name, ..), [since, full]) in CASES.iter().zip(&figures) {
            let name = format!("`since` read of {name}, CPU");
            rows.extend(compared(&name, since, &[("the full read", full, Limit::AtMost(1.1))], " ms"));
        }
        rows
    })
}

/// Some of the reads meet work in the background that the changes cause. A median would jump between the reads with that
/// work and the reads without it.
fn mean(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / times.len() as f64
}

/// A server with the rows of the pages.
struct Written {
    requery: Requery,
    /// The tasks of the page.
    listed: Vec<String>,
    /// A task that is on no page.
    other: String,
    /// The tasks of the small page.
    small: Vec<String>,
    changes: usize,
}

impl Written {
    fn start() -> Self {
        let mut requery = Requery::start(&[]);
        let listed = requery.tasks(PAGE, "acme-web");
        let other = requery.tasks(1, "acme-web").remove(0);
        let small = requery.tasks(2, "small");
        let mut written = Self { requery, listed, other, small, changes: 0 };
        for task in written.listed.clone() {
            log(&mut written.requery.writer, &task, 1);
            written.requery.writer.done("PATCH", &format!("/api/v1/tasks/{task}"), r#"{"status":"completed"}"#);
            written.bookmark(&task);
        }
        for task in written.small.clone() {
            written.bookmark(&task);
        }
        written
    }

    fn make(&mut self, change: Change) {
        match change {
            Change::Elsewhere => self.rename(&self.other.clone()),
            Change::Tasks(count) => self.listed[..count].to_vec().iter().for_each(|task| self.rename(task)),
            Change::Bookmark => self.bookmark(&self.small[0].clone()),
            Change::Deletion => {
                let task = self.requery.tasks(1, "acme-web").remove(0);
                self.bookmark(&task);
                self.requery.writer.done("DELETE", &format!("/api/v1/tasks/{task}"), "");
            }
        }
    }

    fn rename(&mut self, task: &str) {
        let body = json!({"title": self.title()});
        self.requery.writer.done("PATCH", &format!("/api/v1/tasks/{task}"), &body.to_string());
    }

    fn bookmark(&mut self, task: &str) {
        let body = json!({"task_id": task, "title": self.title()});
        self.requery.writer.done("PUT", "/api/v1/bookmarks", &body.to_string());
    }

    /// A title that no row has.
    fn title(&mut self) -> Value {
        self.changes += 1;
        format!("Port the settings page to the new form components, step {}", self.changes).into()
    }
}
