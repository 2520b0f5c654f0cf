//! The sessions and the events of a task.

use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::Serialize;

use super::answer::{ChangedRow, NoContent, ReadAnswer, SavedRow};
use super::body::{EventsBody, JsonBody};
use super::reading::{PageParameters, ProjectParameter, Reading, SinceParameter};
use super::since::OrSince;
use super::writing::{read_back, write};
use super::{Group, now_ms};
use crate::protocol::model::{Event, EventPage, EventsLogged, EventsSince, Session};
use crate::protocol::write::{EventPatch, NewSession, SessionPatch};
use crate::protocol::{Cursor, EventId, ReadModel, SessionId, TaskId};
use crate::server::database::{Database, ListedRows, ReadKey, ReadTransaction};
use crate::server::error::ApiError;
use crate::server::ingest;
use crate::server::read;

pub(super) struct TimelineApi(pub(super) Database);

#[OpenApi(prefix_path = "/api/v1")]
impl TimelineApi {
    /// The events of a task, the newest first
    #[oai(path = "/tasks/:task_id/timeline", method = "get", operation_id = "timeline", tag = "Group::Read")]
    async fn timeline(
        &self,
        /// The task.
        task_id: Path<TaskId>,
        /// Only if the task is in this project. Default: in any project.
        project: ProjectParameter,
        page: PageParameters,
        /// The `Requery-Cursor` of the answer that the caller holds, made with the same parameters: the answer has only
        /// the changes since then, if they are known and cost less. Otherwise the answer is the whole one.
        since: SinceParameter,
        reading: Reading,
    ) -> Result<ReadAnswer<OrSince<EventPage, EventsSince>>, ApiError> {
        let window = page.window(read::timeline::list(&task_id.0))?;
        let key = ReadKey::new("timeline", ReadModel::Task(task_id.0.clone())).with("task_id", Some(&task_id.0));
        let changes = async |tx: &ReadTransaction, cursor: &Cursor| {
            Ok(read::timeline::page_since(tx, &task_id.0, &window, page.limit(), cursor).await?)
        };
        let key = page.extend(key).listing(ListedRows::Events, page.limit());
        let queries =
            async |tx: &ReadTransaction| Ok(read::timeline::page(tx, &task_id.0, &window, page.limit()).await?);
        let (row, reading) = (("task", &task_id.0), reading.since(page.since(since)));
        reading.answer_since_for(row, &self.0, project.0, key, changes, queries).await
    }

    /// Begin a session: a run of an agent on a task
    ///
    /// A repeated request with the same `session_id` on the same task makes no change and answers 200 with the session.
    #[oai(path = "/tasks/:task_id/sessions", method = "post", operation_id = "start_session", tag = "Group::Write")]
    async fn start_session(
        &self,
        /// The task.
        task_id: Path<TaskId>,
        body: JsonBody<NewSession>,
    ) -> Result<SavedRow<Session>, ApiError> {
        let write = write(&self.0, async |tx| {
            let (id, saved) = ingest::session::start(tx, &task_id.0, body.0, now_ms()).await?;
            Ok((saved, read_back("session", &id, read::task::session_of(tx, &id)).await?))
        });
        SavedRow::new(write.await?)
    }

    /// Change or end a session
    #[oai(path = "/sessions/:session_id", method = "patch", operation_id = "update_session", tag = "Group::Write")]
    async fn update_session(
        &self,
        /// The session.
        session_id: Path<SessionId>,
        body: JsonBody<SessionPatch>,
    ) -> Result<ChangedRow<Session>, ApiError> {
        let write = write(&self.0, async |tx| {
            ingest::session::update(tx, &session_id.0, body.0, now_ms()).await?;
            read_back("session", &session_id.0, read::task::session_of(tx, &session_id.0)).await
        });
        ChangedRow::new(write.await?)
    }

    /// Log events on a task
    ///
    /// The body is one event, or a batch of up to 1,000 events as `{"events": [...]}`. A batch is logged as a whole or
    /// not at all. An event with an `event_id` that exists on this task is left as it is. The answer is 201 if any
    /// event is new.
    #[oai(path = "/tasks/:task_id/events", method = "post", operation_id = "log_events", tag = "Group::Write")]
    async fn log(
        &self,
        /// The task.
        task_id: Path<TaskId>,
        body: JsonBody<EventsBody>,
    ) -> Result<SavedRow<LoggedBody>, ApiError> {
        let write = write(&self.0, async |tx| match body.0 {
            EventsBody::One(event) => {
                let logged = ingest::event::log(tx, &task_id.0, *event, now_ms()).await?;
                let event = read::timeline::first_named(tx, &logged.ids);
                Ok((logged.saved, LoggedBody::One(Box::new(read_back("task", &task_id.0, event).await?))))
            }
            EventsBody::Batch(events) => {
                let logged = ingest::event::log_all(tx, &task_id.0, events, now_ms()).await?;
                let items = read::timeline::named(tx, &logged.ids).await?;
                Ok((logged.saved, LoggedBody::Batch(EventsLogged { items })))
            }
        });
        SavedRow::new(write.await?)
    }

    /// Change an event
    ///
    /// A missing field leaves its value as it is. `metadata` is replaced as a whole.
    #[oai(path = "/events/:event_id", method = "patch", operation_id = "update_event", tag = "Group::Write")]
    async fn update(
        &self,
        /// The event.
        event_id: Path<EventId>,
        body: JsonBody<EventPatch>,
    ) -> Result<ChangedRow<Event>, ApiError> {
        let write = write(&self.0, async |tx| {
            ingest::event::update(tx, &event_id.0, body.0).await?;
            let event = read::timeline::first_named(tx, std::slice::from_ref(&event_id.0));
            read_back("event", &event_id.0, event).await
        });
        ChangedRow::new(write.await?)
    }

    /// Delete an event and its bookmark
    #[oai(path = "/events/:event_id", method = "delete", operation_id = "delete_event", tag = "Group::Write")]
    async fn delete(
        &self,
        /// The event.
        event_id: Path<EventId>,
    ) -> Result<NoContent, ApiError> {
        let write = write(&self.0, async |tx| Ok(ingest::event::delete(tx, &event_id.0).await?));
        Ok(NoContent::new(write.await?))
    }
}

/// The logged events in the form of the request: one event, or a list.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum LoggedBody {
    One(Box<Event>),
    Batch(EventsLogged),
}

impl Type for LoggedBody {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> std::borrow::Cow<'static, str> {
        "Logged".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let one_of = vec![Event::schema_ref(), EventsLogged::schema_ref()];
        MetaSchemaRef::Inline(Box::new(MetaSchema { one_of, ..MetaSchema::ANY }))
    }

    fn register(registry: &mut Registry) {
        Event::register(registry);
        EventsLogged::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}
