//! The claims of the screens: a record of all that they show, and of the cursor beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use requery::client::{AgentBody, Client, HeldState, View, WatchHandle};
use requery::protocol::{Cursor, ReadModel};
use serde_json::Value;
use tokio::time::timeout;

use super::ledger::{Mark, Word};
use super::writers::{API_WRITERS, SQL_WRITERS, Writing, task_of};

/// Records what each body shows beside its cursor, until the client is dropped.
pub async fn record_claims(screen: &'static str, client: Client, writing: Arc<Writing>) {
    let models = writers().map(|writer| ReadModel::Task(task_of(writer).parse().unwrap()));
    let models = models.chain([ReadModel::Overview, ReadModel::Bookmarks]);
    let watches: Vec<WatchHandle<AgentBody>> = models.map(|model| client.watch(model)).collect();
    let mut recorded: BTreeMap<ReadModel, Cursor> = BTreeMap::new();
    let mut changes = client.changes();
    loop {
        // A new cursor alone is no change of a view, so the views are read at short intervals too.
        let _ = timeout(Duration::from_millis(20), changes.next()).await;
        for watch in &watches {
            let view = watch.view();
            let Some(cursor) = view.cursor.clone().filter(|cursor| recorded.get(watch.model()) != Some(cursor)) else {
                continue;
            };
            let shown = match view.state {
                HeldState::Fresh => shown(&view),
                HeldState::Gone => BTreeSet::new(),
                _ => continue,
            };
            recorded.insert(watch.model().clone(), cursor.clone());
            claim(screen, watch.model(), &cursor, &shown, &writing);
        }
    }
}

fn claim(screen: &'static str, model: &ReadModel, cursor: &Cursor, shown: &BTreeSet<Mark>, writing: &Writing) {
    let mut ledger = writing.ledger();
    for writer in writers() {
        match model {
            ReadModel::Overview => ledger.claim(screen, cursor, Word::Title, writer, shown),
            ReadModel::Bookmarks => ledger.claim(screen, cursor, Word::Note, writer, shown),
            ReadModel::Task(task) if task.to_string() == task_of(writer) => {
                ledger.claim(screen, cursor, Word::Title, writer, shown);
                ledger.claim(screen, cursor, Word::Event, writer, shown);
            }
            _ => {}
        }
    }
}

fn writers() -> impl Iterator<Item = u8> {
    API_WRITERS.chain(SQL_WRITERS)
}

/// The marks in the text of a body.
fn shown(view: &View<AgentBody>) -> BTreeSet<Mark> {
    let mut marks = BTreeSet::new();
    let mut rest: Vec<Value> = view.parts.iter().map(|part| serde_json::from_slice(part).unwrap()).collect();
    while let Some(value) = rest.pop() {
        match value {
            Value::String(text) => marks.extend(Mark::read(&text)),
            Value::Array(items) => rest.extend(items),
            Value::Object(fields) => rest.extend(fields.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    marks
}
