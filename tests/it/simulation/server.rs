//! The simulated server: a database with a change log, and the first frame of a stream.

use std::collections::{BTreeMap, BTreeSet};

use requery::protocol::{Cursor, Frame, FrameKind, Notice, ReadModel, Resumed, Watched};

use crate::engine::{notice, snapshot, task, time};

/// The content of each read model. Each change gives a new number, and `None` means that the read model does not exist.
pub type Contents = BTreeMap<ReadModel, Option<u64>>;

pub struct Server {
    /// The state after each change. The first entry is the initial state.
    history: Vec<Contents>,
    /// The notice of each change.
    log: Vec<Notice>,
    /// The epoch of each run of the server, and the number of changes at its start.
    runs: Vec<(String, usize)>,
    /// The states of the run before.
    run_before: Vec<(Cursor, Contents)>,
    /// The number of changes that are pruned from the log.
    floor: usize,
    contents: u64,
    started: u32,
    /// The tasks of another project after each change. They do not exist for the client, and the stream does not report
    /// their changes.
    elsewhere: Vec<BTreeSet<ReadModel>>,
}

pub fn models() -> Vec<ReadModel> {
    let tasks = (1..5).map(|number| ReadModel::Task(task(&format!("t{number}"))));
    [ReadModel::Overview].into_iter().chain(tasks).chain([ReadModel::Bookmarks]).collect()
}

impl Server {
    pub fn new() -> Self {
        let contents = models().into_iter().map(|model| (model, Some(0))).collect();
        let runs = vec![("run0".into(), 0)];
        Self {
            history: vec![contents],
            log: Vec::new(),
            runs,
            run_before: Vec::new(),
            floor: 0,
            contents: 0,
            started: 0,
            elsewhere: vec![BTreeSet::new()],
        }
    }

    pub fn changes(&self) -> usize {
        self.log.len()
    }

    /// The number of changes at the start of the current run.
    pub fn began(&self) -> usize {
        self.runs.last().expect("a run").1
    }

    pub fn cursor(&self, changes: usize) -> Cursor {
        Cursor::counter(self.runs.last().expect("a run").0.as_str(), changes as u64)
    }

    /// A state of the run before, also one with changes that are lost now. Zero is its last one.
    pub fn run_before(&self, back: usize) -> Option<&(Cursor, Contents)> {
        self.run_before.iter().rev().nth(back)
    }

    pub fn contents(&self, changes: usize) -> &Contents {
        &self.history[changes]
    }

    /// Changes a row. The read models that the change makes stale are listed here a second time on purpose, so that the
    /// test does not share a mistake with the catalogue.
    pub fn change(&mut self, kind: u8, number: u8) {
        let (name, parent_name) = (format!("t{number}"), format!("t{}", number % 4 + 1));
        let (task_id, parent) = (task(&name), task(&parent_name));
        let of_task = |kind| notice(kind, &[&name]);
        let of_child = |kind| notice(kind, &[&name, "of", &parent_name]);
        let of = |id: &_| ReadModel::Task(Clone::clone(id));
        let elsewhere = self.elsewhere.last().expect("a state").clone();
        if elsewhere.contains(&of(&task_id)) {
            return;
        }
        let mut next = self.history.last().expect("a state").clone();
        let mut touch = |models: &[ReadModel]| {
            for model in models.iter().filter(|model| !elsewhere.contains(*model)) {
                self.contents += 1;
                next.insert(model.clone(), Some(self.contents));
            }
        };
        let change = match kind {
            0 | 1 => {
                touch(&[ReadModel::Overview, of(&task_id)]);
                of_task("event.logged")
            }
            2 => {
                touch(&[of(&task_id)]);
                of_task("event.updated")
            }
            3 => {
                touch(&[ReadModel::Bookmarks]);
                of_task("bookmark.saved")
            }
            4 => {
                touch(&[ReadModel::Overview, of(&task_id), of(&parent)]);
                of_child("task.started")
            }
            _ if number.is_multiple_of(2) => {
                touch(&[ReadModel::Overview, of(&parent), ReadModel::Bookmarks]);
                next.insert(of(&task_id), None);
                of_child("task.deleted")
            }
            _ => {
                touch(&models());
                notice("tasks.purged", &[])
            }
        };
        self.history.push(next);
        self.elsewhere.push(elsewhere);
        self.log.push(change);
    }

    /// Moves a task out of the project of the client, or back into it. Both projects are told.
    pub fn move_task(&mut self, number: u8, away: bool) {
        let name = format!("t{number}");
        let model = ReadModel::Task(task(&name));
        let mut elsewhere = self.elsewhere.last().expect("a state").clone();
        if elsewhere.contains(&model) == away {
            return;
        }
        self.contents += 1;
        let mut next = self.history.last().expect("a state").clone();
        next.insert(ReadModel::Overview, Some(self.contents));
        next.insert(model.clone(), (!away).then_some(self.contents));
        if away {
            elsewhere.insert(model);
        } else {
            elsewhere.remove(&model);
        }
        self.history.push(next);
        self.elsewhere.push(elsewhere);
        self.log.push(notice("task.updated", &[&name]));
    }

    /// Whether the server can certify a read model: it exists in the project of the client, or in none.
    pub fn certifies(&self, watched: &Watched) -> bool {
        !matches!(watched, Watched::One(model) if self.elsewhere.last().expect("a state").contains(model))
    }

    /// Restarts without the last `lost` changes.
    pub fn restart(&mut self, lost: usize) {
        let states = self.began()..=self.changes();
        self.run_before = states.map(|changes| (self.cursor(changes), self.contents(changes).clone())).collect();
        let left = self.log.len().saturating_sub(lost);
        self.log.truncate(left);
        self.history.truncate(left + 1);
        self.elsewhere.truncate(left + 1);
        self.runs.retain(|(_, began)| *began <= left);
        self.floor = self.floor.min(left);
        self.started += 1;
        self.runs.push((format!("run{}", self.started), left));
    }

    pub fn prune(&mut self) {
        self.floor = self.log.len();
    }

    pub fn notices(&self, from: usize) -> &[Notice] {
        &self.log[from..]
    }

    pub fn first_frame(&self, since: Option<&Cursor>) -> Frame {
        let heartbeat_ms = 25_000;
        let kind = match since.and_then(|since| self.continued(since)) {
            None => snapshot(heartbeat_ms),
            Some(from) => {
                // A read model that changed and changed back is listed too: a client may hold an answer from the time
                // between the two changes.
                let states = &self.history[from..];
                let changed = |model: &ReadModel| states.windows(2).any(|pair| pair[0][model] != pair[1][model]);
                let stale = models().into_iter().filter(changed).map(Watched::One).collect();
                FrameKind::Resumed(Resumed {
                    server_time: time(),
                    heartbeat_ms,
                    version: "1.0".into(),
                    known: true,
                    stale,
                })
            }
        };
        Frame::new(kind, self.cursor(self.changes()))
    }

    fn continued(&self, since: &Cursor) -> Option<usize> {
        let at = self.runs.iter().position(|(run, _)| run == since.epoch())?;
        let changes = usize::try_from(since.snapshot().xmax()).ok()?;
        let within = self.runs.get(at + 1).is_none_or(|(_, began)| changes <= *began);
        (within && changes >= self.floor && changes <= self.changes()).then_some(changes)
    }
}
