//! The rows behind a session: what is there already, and what is written.

use std::collections::HashMap;

use requery_entities::{event, task};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, Statement};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::line::Named;
use super::session::{Entry, LateResult, Session};
use crate::protocol::TaskId;
use crate::protocol::model::{EventState, Imported, TaskMode, TaskStatus};
use crate::server::ingest::hook::Source;
use crate::server::ingest::hook::catalogue::Hook;
use crate::server::ingest::hook::place;
use crate::server::ingest::hook::record::Record;
use crate::server::ingest::hook::status::{Agent, Titled};
use crate::server::ingest::hook::store::{StoredEvent, Timeline};

const SOURCE: Source = Source::ClaudeCode;
/// Rows in one statement. More would not be faster, and SQLite bounds the values of one.
const ROWS: usize = 100;
/// What `cost_usd` is kept in.
const MICROS: f64 = 1_000_000.0;

/// Writes a session, and adds to what is told. Hands back the lines whose results have no call.
pub async fn save(
    tx: &impl ConnectionTrait,
    mut session: Session,
    told: &mut Imported,
    now_ms: i64,
) -> Result<Vec<u64>, DbErr> {
    let found = task::Entity::find()
        .filter(task::Column::Source.eq(SOURCE.as_str()))
        .filter(task::Column::ExternalId.eq(&session.id))
        .one(tx)
        .await?;
    let (task_id, is_history) = match found {
        Some(row) => {
            let id = row.id.clone();
            match History::of(&row) {
                Some(history) => {
                    update_task(tx, row, history, &session).await?;
                    (id, true)
                }
                None => (id, false),
            }
        }
        None => match session.span.filter(|_| session.says_something()) {
            Some(span) => {
                told.tasks += 1;
                (start_task(tx, &session, span).await?, true)
            }
            None => return Ok(session.results.into_iter().map(|result| result.line).collect()),
        },
    };
    save_usage(tx, &task_id, &session, told).await?;
    if !is_history {
        // Its hooks tell the rest, each thing at its place.
        return Ok(Vec::new());
    }
    let known = known(tx, &task_id, &session).await?;
    let late = std::mem::take(&mut session.results);
    told.events += log(tx, &task_id, session.entries, &known, now_ms).await?;
    let mut lost = Vec::new();
    for result in late {
        match known.get(&result.external_id) {
            Some(call) => end(tx, &task_id, &session.id, result, call).await?,
            None => lost.push(result.line),
        }
    }
    Ok(lost)
}

/// What is remembered of a task that was made from a transcript. It is kept where the ingest of hooks remembers its
/// agent: the first hook that reports the session takes over, and it is gone.
#[derive(Deserialize, Serialize)]
struct History {
    /// What the title was taken from.
    titled: TitledBy,
    /// The title. Another one is somebody else's and stays.
    title: String,
    /// When the prompt was said that the title was taken from.
    #[serde(default)]
    prompt_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum TitledBy {
    Folder,
    Prompt,
    Agent,
    Person,
}

impl History {
    fn of(row: &task::Model) -> Option<Self> {
        #[derive(Deserialize)]
        struct Remembered {
            imported: History,
        }
        let remembered: Remembered = serde_json::from_str(row.ingest_state.as_deref()?).ok()?;
        Some(remembered.imported)
    }

    /// What the lines of a session say it is called.
    fn said(session: &Session) -> Self {
        let titled = |titled, hook, field: &str, text: &str, prompt_ms| {
            let fields = Map::from_iter([(field.to_owned(), text.into())]);
            let (_, title) = place::title(&Record::of(SOURCE, String::new(), hook, fields))?;
            Some(Self { titled, title, prompt_ms })
        };
        let by_name = session.name.as_ref().and_then(|(named, name)| {
            let by = match named {
                Named::Agent => TitledBy::Agent,
                Named::Person => TitledBy::Person,
            };
            titled(by, Hook::SessionStart, "session_title", name, None)
        });
        let by_prompt = session.prompt.as_ref();
        let by_prompt = || {
            by_prompt.and_then(|(at, text)| titled(TitledBy::Prompt, Hook::UserPromptSubmit, "prompt", text, Some(*at)))
        };
        by_name.or_else(by_prompt).unwrap_or_else(|| {
            let cwd = session.cwd.as_ref().map(|(_, cwd)| ("cwd".to_owned(), cwd.clone().into()));
            let record = Record::of(SOURCE, String::new(), Hook::SessionStart, Map::from_iter(cwd));
            Self { titled: TitledBy::Folder, title: place::first_title(&record), prompt_ms: None }
        })
    }

    /// Whether this title takes the place of that one.
    fn is_better_than(&self, other: &Self) -> bool {
        match self.titled {
            TitledBy::Agent | TitledBy::Person => self.titled >= other.titled,
            TitledBy::Prompt if other.titled == TitledBy::Prompt => self.prompt_ms < other.prompt_ms,
            TitledBy::Prompt | TitledBy::Folder => self.titled > other.titled,
        }
    }

    fn remembered(&self) -> Option<String> {
        #[derive(Serialize)]
        struct Remembered<'a> {
            #[serde(flatten)]
            agent: Agent,
            imported: &'a History,
        }
        let titled = match self.titled {
            TitledBy::Folder => Titled::Folder,
            TitledBy::Prompt => Titled::Prompt,
            TitledBy::Agent | TitledBy::Person => Titled::Session,
        };
        serde_json::to_string(&Remembered { agent: Agent::ended(titled), imported: self }).ok()
    }
}

async fn start_task(
    tx: &impl ConnectionTrait,
    session: &Session,
    (first_ms, last_ms): (i64, i64),
) -> Result<String, DbErr> {
    let id = TaskId::fresh().to_string();
    let history = History::said(session);
    let cwd = session.cwd.as_ref().map(|(_, cwd)| cwd.clone());
    let row = task::ActiveModel {
        id: Set(id.clone()),
        title: Set(history.title.clone()),
        project: Set(cwd.as_deref().map(place::project).unwrap_or_default()),
        status: Set(TaskStatus::Completed.as_str().to_owned()),
        mode: Set(TaskMode::Primary.as_str().to_owned()),
        workspace: Set(cwd),
        source: Set(SOURCE.as_str().to_owned()),
        external_id: Set(Some(session.id.clone())),
        status_since: Set(last_ms),
        ingest_state: Set(history.remembered()),
        changed_at: Set(last_ms),
        created_at: Set(first_ms),
        parent_task_id: NotSet,
        parent_session_id: NotSet,
        waiting_reason: NotSet,
        summary: NotSet,
        event_count: NotSet,
    };
    task::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(id)
}

/// Writes what the lines add to a task that earlier ones made. Where that is nothing, the row is left alone.
async fn update_task(
    tx: &impl ConnectionTrait,
    row: task::Model,
    history: History,
    session: &Session,
) -> Result<(), DbErr> {
    let mut next = task::ActiveModel::default();
    let mut changed = false;
    let said = History::said(session);
    if row.title == history.title && said.is_better_than(&history) {
        next.ingest_state = Set(said.remembered());
        changed = said.title != row.title;
        next.title = if changed { Set(said.title) } else { NotSet };
    }
    if let Some((_, cwd)) = session.cwd.as_ref().filter(|_| row.workspace.is_none()) {
        next.workspace = Set(Some(cwd.clone()));
        if row.project.is_empty() {
            next.project = Set(place::project(cwd));
        }
        changed = true;
    }
    let (first_ms, last_ms) = session.span.unwrap_or((row.created_at, row.status_since));
    if first_ms < row.created_at {
        next.created_at = Set(first_ms);
        changed = true;
    }
    if last_ms > row.status_since && row.status == TaskStatus::Completed.as_str() {
        next.status_since = Set(last_ms);
        changed = true;
    }
    if changed || next.ingest_state.is_set() {
        task::Entity::update_many().set(next).filter(task::Column::Id.eq(&row.id)).exec(tx).await?;
    }
    if changed {
        // The trigger made it now; it is history.
        let then = task::ActiveModel { changed_at: Set(row.changed_at.max(last_ms)), ..Default::default() };
        task::Entity::update_many().set(then).filter(task::Column::Id.eq(&row.id)).exec(tx).await?;
    }
    Ok(())
}

/// The events of these names that there are.
async fn known(
    tx: &impl ConnectionTrait,
    task_id: &str,
    session: &Session,
) -> Result<HashMap<String, StoredEvent>, DbErr> {
    const KNOWN: &str = "
        select external_id, id, state, metadata from events
        where task_id = ? and external_id in (select value from json_each(?))";
    #[derive(FromQueryResult)]
    struct Row {
        external_id: String,
        id: String,
        state: Option<String>,
        metadata: Option<String>,
    }
    let late = session.results.iter().map(|result| &result.external_id);
    let names: Vec<_> = session.entries.iter().map(|entry| &entry.external_id).chain(late).collect();
    let values = [task_id.into(), json!(names).to_string().into()];
    let rows = Row::find_by_statement(Statement::from_sql_and_values(tx.get_database_backend(), KNOWN, values));
    let rows = rows.all(tx).await?.into_iter().map(|Row { external_id, id, state, metadata }| {
        let state = state.and_then(|state| EventState::parse(&state)).unwrap_or(EventState::Running);
        (external_id, StoredEvent { id, state, metadata })
    });
    Ok(rows.collect())
}

/// Logs what is new in the order of time, and ends what has a result now. Tells how many are new.
async fn log(
    tx: &impl ConnectionTrait,
    task_id: &str,
    mut entries: Vec<Entry>,
    known: &HashMap<String, StoredEvent>,
    now_ms: i64,
) -> Result<u64, DbErr> {
    entries.sort_by_key(|entry| entry.at_ms);
    let mut fresh = Vec::new();
    for entry in entries {
        let timeline = Timeline { tx, source: SOURCE, task_id, now_ms: entry.at_ms };
        match (known.get(&entry.external_id), entry.state) {
            (None, state) => {
                let row = timeline.event(entry.row, state, Some(entry.external_id));
                fresh.push(event::ActiveModel { updated_at: Set(now_ms), ..row });
            }
            (Some(event), Some(state @ (EventState::Ok | EventState::Failed))) if is_open(event) => {
                timeline.end(event.clone(), state, entry.row).await?;
            }
            (Some(_), _) => {}
        }
    }
    let count = fresh.len() as u64;
    let mut fresh = fresh.into_iter().peekable();
    while fresh.peek().is_some() {
        let rows: Vec<_> = fresh.by_ref().take(ROWS).collect();
        event::Entity::insert_many(rows).exec_without_returning(tx).await?;
    }
    Ok(count)
}

/// Ends a call that earlier lines told of.
async fn end(
    tx: &impl ConnectionTrait,
    task_id: &str,
    session_id: &str,
    result: LateResult,
    call: &StoredEvent,
) -> Result<(), DbErr> {
    if !is_open(call) {
        return Ok(());
    }
    let begun: Map<String, Value> =
        call.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let of = [("tool", "tool_name"), ("input", "tool_input"), ("tool_use_id", "tool_use_id")];
    let fields = of.iter().filter_map(|(kept, field)| Some(((*field).to_owned(), begun.get(*kept)?.clone())));
    let timeline = Timeline { tx, source: SOURCE, task_id, now_ms: result.at_ms };
    let (row, state) = result.end(session_id, fields.collect());
    timeline.end(call.clone(), state, row).await
}

fn is_open(event: &StoredEvent) -> bool {
    matches!(event.state, EventState::Running | EventState::Abandoned)
}

/// Writes what is not counted yet of the answers, and adds it to what is told.
async fn save_usage(
    tx: &impl ConnectionTrait,
    task_id: &str,
    session: &Session,
    told: &mut Imported,
) -> Result<(), DbErr> {
    const COUNTED: &str = "
        select answer_id, usage.task_id, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
            cost_usd_micros
        from usage left join tasks on tasks.id = usage.task_id
        where answer_id in (select value from json_each(?2)) and (usage.task_id = ?1 or tasks.source = ?3)";
    const SAVE: &str = "
        insert into usage (task_id, answer_id, model, input_tokens, output_tokens, cache_read_tokens,
            cache_write_tokens, cost_usd_micros, at)
        select ?1, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
            json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
            json_extract(value, '$[6]'), json_extract(value, '$[7]')
        from json_each(?2) where true
        on conflict (task_id, answer_id) do update set
            model = coalesce(excluded.model, model), input_tokens = excluded.input_tokens,
            output_tokens = excluded.output_tokens, cache_read_tokens = excluded.cache_read_tokens,
            cache_write_tokens = excluded.cache_write_tokens, cost_usd_micros = excluded.cost_usd_micros,
            at = min(at, excluded.at)";
    #[derive(FromQueryResult)]
    struct Counted {
        answer_id: String,
        task_id: String,
        input_tokens: i64,
        output_tokens: i64,
        cache_read_tokens: i64,
        cache_write_tokens: i64,
        cost_usd_micros: Option<i64>,
    }
    if session.answers.is_empty() {
        return Ok(());
    }
    let backend = tx.get_database_backend();
    let ids: Vec<_> = session.answers.keys().collect();
    let values = [task_id.into(), json!(ids).to_string().into(), SOURCE.as_str().into()];
    let counted = Counted::find_by_statement(Statement::from_sql_and_values(backend, COUNTED, values)).all(tx).await?;
    let counted: HashMap<&str, &Counted> = counted.iter().map(|row| (row.answer_id.as_str(), row)).collect();

    let mut rows = Vec::new();
    let mut micros = 0;
    for answer in session.answers.values() {
        let (before, cost) = match counted.get(answer.id.as_str()) {
            // The session that this one goes on from has it.
            Some(row) if row.task_id != task_id => continue,
            Some(row) => {
                let tokens = [row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens];
                (tokens, row.cost_usd_micros)
            }
            None => {
                told.usage.answers += 1;
                ([0; 4], None)
            }
        };
        let after: Vec<i64> = answer.tokens.iter().zip(before).map(|(said, before)| (*said).max(before)).collect();
        let added = |at: usize| (after[at] - before[at]).unsigned_abs();
        told.usage.input_tokens += added(0);
        told.usage.output_tokens += added(1);
        told.usage.cache_read_tokens += added(2);
        told.usage.cache_write_tokens += added(3);
        let costs = answer.cost_usd_micros.max(cost);
        told.usage.answers_with_cost += u64::from(costs.is_some() && cost.is_none());
        micros += costs.unwrap_or(0) - cost.unwrap_or(0);
        rows.push(json!([answer.id, answer.model, after[0], after[1], after[2], after[3], costs, answer.at_ms]));
    }
    if told.usage.answers_with_cost > 0 {
        *told.usage.cost_usd.get_or_insert_default() += micros as f64 / MICROS;
    }
    let values = [task_id.into(), Value::Array(rows).to_string().into()];
    tx.execute_raw(Statement::from_sql_and_values(backend, SAVE, values)).await.map(drop)
}
