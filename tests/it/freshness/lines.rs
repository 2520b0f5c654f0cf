//! `requery watch --json` as a process of its own, and the last lines that it printed.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use requery::client::HeldState;
use requery::protocol::{Cursor, ReadModel};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::task::AbortOnDropHandle;

use crate::viewer::Rest;

/// The default settings wait for up to half a minute after many losses.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

pub struct WatchLines {
    last: Arc<Mutex<Last>>,
    _child: Child,
    _reader: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Last {
    status: String,
    models: BTreeMap<ReadModel, LastLine>,
}

#[derive(Clone, Default)]
struct LastLine {
    state: HeldState,
    cursor: Option<Cursor>,
    body: Value,
}

impl WatchLines {
    /// Watches the overview, the bookmarks and these tasks.
    pub fn start(server: &str, tasks: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
        command.args(["watch", "--json", "--body", "--bookmarks", "--server", server]);
        command.args(tasks.iter().flat_map(|task| ["--task", task]));
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let last = Arc::new(Mutex::new(Last::default()));
        let reading = Arc::clone(&last);
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                reading.lock().unwrap().take(serde_json::from_str(&line).unwrap());
            }
        });
        Self { last, _child: child, _reader: AbortOnDropHandle::new(reader) }
    }

    pub fn status(&self) -> String {
        self.last.lock().unwrap().status.clone()
    }

    pub fn held(&self) -> Vec<(ReadModel, HeldState, Option<Cursor>)> {
        let models = &self.last.lock().unwrap().models;
        models.iter().map(|(model, line)| (model.clone(), line.state, line.cursor.clone())).collect()
    }

    /// Waits until the last lines are the answers of the server.
    pub async fn settle(&self, rest: &Rest, models: usize) {
        let began = Instant::now();
        loop {
            let lines = self.last.lock().unwrap().models.clone();
            let mut different = Vec::new();
            for (model, line) in &lines {
                let mut answer = rest.body(model).await.unwrap_or_default();
                let body = match model {
                    ReadModel::Overview => serde_json::json!({"overview": answer[0].take(), "tasks": answer[1].take()}),
                    _ => answer[0].take(),
                };
                if line.state != HeldState::Fresh || line.body != body {
                    different.push(format!("{model} is {:?} with {}\ninstead of {body}", line.state, line.body));
                }
            }
            if lines.len() == models && different.is_empty() {
                return;
            }
            assert!(began.elapsed() < SETTLE_LIMIT, "not settled: {}\n{}", self.status(), different.join("\n"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Last {
    fn take(&mut self, mut line: Value) {
        if let Some(status) = line["status"].as_str() {
            status.clone_into(&mut self.status);
        }
        let Some(model) = line["read_model"].as_str() else { return };
        let shown = self.models.entry(model.parse().unwrap()).or_default();
        let states = [HeldState::Loading, HeldState::Fresh, HeldState::Stale, HeldState::Unconfirmed, HeldState::Gone];
        shown.state = states.into_iter().find(|state| line["state"] == state.as_str()).unwrap();
        shown.cursor = line["cursor"].as_str().map(|cursor| cursor.parse().unwrap());
        if line.get("body").is_some() {
            shown.body = line["body"].take();
        }
    }
}
