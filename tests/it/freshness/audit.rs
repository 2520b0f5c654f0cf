//! Looks at the views of one screen again and again, beside the frames that it received and the writes that were made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use requery::client::{HeldState, Status, signal};
use requery::engine::What;
use requery::protocol::{Cursor, Incoming, ReadModel, UnknownFrame, Watched};
use serde_json::Value;

use super::Commits;
use super::lines::WatchLines;
use crate::proxy::Proxy;
use crate::viewer::Viewer;

/// The longest time between the end of the frame on the network and the view: the client reads, decodes and publishes
/// it, on a busy machine.
const READING: Duration = Duration::from_millis(750);

/// A screen, by the module or by the command.
pub enum Screen {
    Client(Arc<Viewer>),
    /// A line appears for a new body alone, so its cursor says no more than that the body contains these commits.
    Command(Arc<WatchLines>),
}

impl Screen {
    pub fn name(&self) -> &'static str {
        match self {
            Screen::Client(viewer) => viewer.name,
            Screen::Command(_) => "requery watch --json",
        }
    }

    fn status(&self) -> String {
        match self {
            Screen::Client(viewer) => match viewer.client.status() {
                Status::Reconnecting { .. } => "reconnecting".to_owned(),
                status => format!("{status:?}").to_lowercase(),
            },
            Screen::Command(lines) => lines.status(),
        }
    }

    fn held(&self) -> Vec<(ReadModel, HeldState, Option<Cursor>)> {
        match self {
            Screen::Client(viewer) => viewer.held(),
            Screen::Command(lines) => lines.held(),
        }
    }
}

pub struct Audit {
    screen: Screen,
    proxy: Arc<Proxy>,
    commits: Arc<Commits>,
    /// The longest time for which a view may be called fresh after a commit that it does not show.
    bound: Duration,
    commits_seen: usize,
    /// The cursors that each read model must cover to be called fresh, since these times.
    heard: BTreeMap<ReadModel, Vec<(Instant, Cursor)>>,
    committed: BTreeMap<ReadModel, Vec<(Instant, Cursor)>>,
    pub report: Report,
}

/// The sums of a run.
#[derive(Default)]
pub struct Report {
    /// Seconds with each status of the connection, and with each state of the views.
    pub seconds: BTreeMap<String, f64>,
    /// Seconds for which a view was called fresh while a commit was missing in it.
    pub fresh_but_behind: f64,
    /// The longest such time after a commit.
    pub longest_behind: Duration,
    pub frames: usize,
    pub violations: Vec<String>,
}

impl Audit {
    pub fn new(screen: Screen, proxy: Arc<Proxy>, commits: Arc<Commits>, bound: Duration) -> Self {
        proxy.take_frames();
        let (heard, committed, report) = Default::default();
        Self { screen, proxy, commits, bound, commits_seen: 0, heard, committed, report }
    }

    pub fn name(&self) -> &'static str {
        self.screen.name()
    }

    /// One look. `since` is the time of the look before.
    pub fn look(&mut self, since: Instant, now: Instant) {
        self.hear();
        let passed = (now - since).as_secs_f64();
        let status = self.screen.status();
        self.add(&format!("status {status}"), passed);
        for (model, state, held) in self.screen.held() {
            self.add(&format!("view {}", state.as_str()), passed);
            let covered = |cursor: &Cursor| held.as_ref().is_some_and(|held| held.covers(cursor));
            let heard = self.heard.entry(model.clone()).or_default();
            heard.retain(|(_, cursor)| !covered(cursor));
            let committed = self.committed.entry(model.clone()).or_default();
            committed.retain(|(_, cursor)| !covered(cursor));
            if state != HeldState::Fresh {
                continue;
            }
            let (name, at_cursor) = (self.screen.name(), held.as_ref().map(ToString::to_string).unwrap_or_default());
            if let Some((at, cursor)) = heard.first().filter(|(at, _)| now - *at > READING) {
                let late = now - *at;
                self.report
                    .violations
                    .push(format!("{name}: {model} is fresh at {at_cursor} {late:?} after {cursor} came"));
                heard.clear();
            }
            let Some((at, cursor)) = committed.first() else { continue };
            let behind = now.saturating_duration_since(*at);
            self.report.fresh_but_behind += passed;
            self.report.longest_behind = self.report.longest_behind.max(behind);
            if behind > self.bound {
                let violation =
                    format!("{name}: {model} is fresh at {at_cursor} {behind:?} after the commit of {cursor}");
                self.report.violations.push(violation);
                committed.clear();
            }
        }
    }

    fn add(&mut self, name: &str, seconds: f64) {
        *self.report.seconds.entry(name.to_owned()).or_default() += seconds;
    }

    /// Notes the frames that the client received, and the commits.
    fn hear(&mut self) {
        for (at, frame) in self.proxy.take_frames() {
            self.report.frames += 1;
            if matches!(self.screen, Screen::Command(_)) {
                continue;
            }
            for place in places(frame) {
                let Some((place, cursor)) = place else { continue };
                for (model, _, _) in self.screen.held() {
                    if place.as_ref().is_none_or(|place| place.includes(&model)) {
                        self.heard.entry(model).or_default().push((at, cursor.clone()));
                    }
                }
            }
        }
        for (at, cursor, models) in self.commits.since(self.commits_seen) {
            self.commits_seen += 1;
            for model in models {
                self.committed.entry(model).or_default().push((at, cursor.clone()));
            }
        }
    }
}

/// The places that a frame makes stale, each with its cursor; no place stands for every read model.
fn places(frame: Value) -> Vec<Option<(Option<Watched>, Cursor)>> {
    let incoming = serde_json::from_value(frame).unwrap_or(Incoming::Unknown(UnknownFrame::default()));
    let signal = signal(&incoming);
    let with =
        |places: Vec<Watched>| places.into_iter().map(|place| Some((Some(place), signal.cursor.clone()?))).collect();
    match signal.what.clone() {
        What::Stale { places, .. } => with(places),
        What::Resumed { stale, .. } => with(stale),
        What::Resync | What::Unknown => vec![signal.cursor.clone().map(|cursor| (None, cursor))],
        _ => Vec::new(),
    }
}
