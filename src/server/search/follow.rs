//! Follows the change log: brings the rows of the missing changes into the index.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::log::{self, IndexedChange, IndexedSubject};
use super::pace::ProgressDue;
use super::rows::{self, IndexedRow, IndexedTable};
use super::state::IndexState;
use super::{SearchIndex, removed};
use crate::protocol::NoticeKind;
use crate::server::access::scope::Scope;
use crate::server::change_log::Between;
use crate::server::database::sql::search;
use crate::server::database::{DatabaseError, ReadTransaction};

/// How much text of events of new tasks one step reads into memory, 4 MiB. A new task above that has steps of its own.
const BYTES_OF_NEW_TASKS: i64 = 4 * 1024 * 1024;

/// What a step of following has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// The first of the missing changes are in the index.
    Changes,
    /// There are no missing changes, though the position moved.
    Nothing,
    /// The log lacks some of the missing changes. There was no work.
    Gap,
}

/// A task of the current changes: its row and its state in the index.
#[derive(FromQueryResult)]
struct KnownTask {
    task_id: StoredText,
    is_there: bool,
    project: Option<StoredText>,
    /// The project under which the documents of the task are indexed. None: the task has no documents.
    indexed: Option<StoredText>,
    /// Only for a task without documents: the number of its events. They can be older than the index, or can have been
    /// inserted before their task.
    events: i64,
    /// The size of the texts of these events.
    bytes: i64,
}

/// Brings the first of the missing changes into the index: those after `state`. The log can lack some of them: it was
/// pruned, or another program deleted rows anywhere in it.
pub(super) async fn follow(
    index: &SearchIndex,
    tx: ReadTransaction,
    missing: &Between,
    state: &IndexState,
    due: ProgressDue,
) -> Result<Followed, DatabaseError> {
    let mut batch = index.batch();
    let looks_at = batch.bounds.looks_at;
    let changes = log::changes(&tx, missing, state, looks_at).await?;
    let cut = changes.last().filter(|_| changes.len() == looks_at as usize).map(IndexedChange::place);
    let part = cut.map_or_else(|| missing.clone(), |last| missing.up_to_row(last));
    if log::lacks_changes(&tx, &part, changes.len() as u64).await? {
        return Ok(Followed::Gap);
    }
    if changes.is_empty() && !state.is_partly() {
        drop(tx);
        return note_unchanged(index, missing, state, due).await;
    }
    let ids = |about: fn(&IndexedChange) -> Option<&str>| -> Vec<&str> {
        changes.iter().filter_map(about).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let tasks = ids(|one| if let IndexedSubject::Task(id) = one.changed_row() { Some(id) } else { None });
    let events = ids(|one| if let IndexedSubject::Event(_, id) = one.changed_row() { Some(id) } else { None });
    let bookmarks = ids(|one| if let IndexedSubject::Bookmark(id) = one.changed_row() { Some(id) } else { None });

    // Handle tasks that need several transactions first; the rest fits into this one.
    let known = known_tasks(&tx, &tasks, looks_at).await?;
    let (mut small_new_tasks, mut bytes_of_new_tasks) = (Vec::<&str>::new(), 0);
    // The tasks whose removed documents have to be deleted. True: all their rows have to be indexed again first.
    let mut repairs = BTreeMap::<String, bool>::new();
    for task in &known {
        let of_task =
            |one: &&IndexedChange| matches!(one.changed_row(), IndexedSubject::Task(id) if id == task.task_id);
        match &task.indexed {
            None if !task.is_there || task.events == 0 => {}
            None if task.events <= i64::from(looks_at)
                && task.bytes <= batch.bounds.bytes as i64
                && bytes_of_new_tasks + task.bytes <= BYTES_OF_NEW_TASKS =>
            {
                small_new_tasks.push(&task.task_id);
                bytes_of_new_tasks += task.bytes;
            }
            None => _ = repairs.insert(task.task_id.to_string(), true),
            Some(_) if !task.is_there => _ = repairs.insert(task.task_id.to_string(), false),
            Some(indexed) => {
                let replaced = |one: &IndexedChange| NoticeKind::parse(&one.kind) == Some(NoticeKind::TaskDeleted);
                let moved = |one: &IndexedChange| one.project != *indexed;
                if task.project.as_ref() != Some(indexed)
                    || changes.iter().filter(of_task).any(|one| replaced(one) || moved(one))
                {
                    repairs.insert(task.task_id.to_string(), true);
                }
            }
        }
    }
    let gone_events: BTreeSet<String> = removed::events(&tx, &events).await?.into_iter().collect();
    for change in &changes {
        if let IndexedSubject::Event(task, event) = change.changed_row()
            && gone_events.contains(event)
        {
            repairs.entry(task.to_owned()).or_insert(false);
        }
    }
    let purged = changes.iter().any(|one| matches!(one.changed_row(), IndexedSubject::Purge));
    let tx = if repairs.is_empty() && !purged {
        tx
    } else {
        drop(tx);
        if purged {
            for task_id in removed::tasks(&index.database).await? {
                repairs.insert(task_id, false);
            }
        }
        for (task_id, whole) in &repairs {
            if *whole {
                index_whole_task(index, task_id).await?;
            }
            removed::sweep(index, task_id).await?;
        }
        index.database.snapshot(Scope::All).await?
    };

    let before = IndexState::read(&tx).await?;
    if before.reached() != *missing.start() {
        // Another server has followed these changes meanwhile.
        return Err(DatabaseError::Busy);
    }
    let mut after = before.clone();
    batch.gone = removed::bookmarks(&tx, &bookmarks).await?;
    let mut rows = HashMap::<(IndexedTable, String), Vec<IndexedRow>>::new();
    for (table, ids) in
        [(IndexedTable::Tasks, &tasks), (IndexedTable::Events, &events), (IndexedTable::Bookmarks, &bookmarks)]
    {
        for row in table.named(&tx, ids).await? {
            rows.entry((table, row.id.to_string())).or_default().push(row);
        }
    }
    for row in rows::events_of_all(&tx, &small_new_tasks, looks_at * looks_at).await? {
        let with_task = rows.entry((IndexedTable::Tasks, row.task_id.to_string())).or_default();
        with_task.push(row);
    }
    let mut taken = BTreeSet::new();
    after.follow_to(missing, cut);
    for (at, change) in changes.iter().enumerate() {
        let key = match change.changed_row() {
            IndexedSubject::Task(id) => (IndexedTable::Tasks, id),
            IndexedSubject::Event(_, id) => (IndexedTable::Events, id),
            IndexedSubject::Bookmark(id) => (IndexedTable::Bookmarks, id),
            IndexedSubject::Purge | IndexedSubject::NotIndexed => continue,
        };
        let mut unwritten = rows.remove(&(key.0, key.1.to_owned())).unwrap_or_default();
        unwritten.retain(|row| taken.insert((row.task_id.clone(), row.position, row.bookmark_id.clone())));
        if !batch.holds(unwritten.iter().map(IndexedRow::bytes).sum()) {
            // The batch has a row of a change before this one: an empty batch holds any row.
            if let Some(last) = at.checked_sub(1) {
                after.follow_to(missing, Some(changes[last].place()));
            }
            break;
        }
        unwritten.into_iter().for_each(|row| batch.add(row, &mut after, false));
    }
    drop(tx);
    batch.write(index, &before, &after).await?;
    index.reached.send_replace(after.reached());
    Ok(Followed::Changes)
}

/// Notes that no change is missing, though the position has moved: on Postgres each transaction moves it, whatever it
/// writes. To write the progress is such a transaction too, so it is written now and then. It has to move: the log is
/// pruned up to positions.
async fn note_unchanged(
    index: &SearchIndex,
    missing: &Between,
    state: &IndexState,
    due: ProgressDue,
) -> Result<Followed, DatabaseError> {
    if due.note {
        let mut after = state.clone();
        after.follow_to(missing, None);
        index.batch().write(index, state, &after).await?;
    }
    index.reached.send_replace(missing.end().clone());
    Ok(Followed::Nothing)
}

/// Indexes all rows of a task, even if they are indexed under another project.
async fn index_whole_task(index: &SearchIndex, task_id: &str) -> Result<(), DatabaseError> {
    let mut project = None;
    let (mut position, mut bookmark) = (i64::MIN, Some(String::new()));
    loop {
        let (tx, before) = index.snapshot(Scope::All).await?;
        let mut after = before.clone();
        let mut batch = index.batch();
        let Some(task) = IndexedTable::Tasks.named(&tx, &[task_id]).await?.pop() else { return Ok(()) };
        if project.get_or_insert_with(|| task.project.clone()) != &task.project {
            (project, position, bookmark) = (None, i64::MIN, Some(String::new()));
            continue;
        }
        let rows = rows::events_of(&tx, task_id, position, batch.bounds.looks_at).await?;
        let mut done = false;
        if !rows.is_empty() {
            let positions: Vec<Option<i64>> = rows.iter().map(|row| row.position).collect();
            let taken = batch.take(rows, &mut after, false);
            position = positions[taken - 1].unwrap_or(position);
        } else if let Some(after_bookmark) = &bookmark {
            let rows = rows::bookmarks_of(&tx, task_id, after_bookmark, batch.bounds.looks_at).await?;
            let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
            let taken = batch.take(rows, &mut after, false);
            // An id that is not UTF-8 can be read as a lower text. Then the loop must not find it again.
            bookmark = taken.checked_sub(1).map(|last| ids[last].clone()).filter(|last| last > after_bookmark);
        } else {
            batch.settled = vec![(task_id.to_owned(), task.project.to_string())];
            batch.take(vec![task], &mut after, false);
            done = true;
        }
        drop(tx);
        batch.write(index, &before, &after).await?;
        if done {
            return Ok(());
        }
    }
}

async fn known_tasks(tx: &impl ConnectionTrait, tasks: &[&str], most_events: u32) -> Result<Vec<KnownTask>, DbErr> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    search::KNOWN_TASKS.all(tx, [rows::list(tasks).into(), most_events.into()]).await
}
