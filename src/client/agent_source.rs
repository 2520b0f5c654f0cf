//! The domain of this crate's server: tasks of agents, their timelines, and bookmarks.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::agent_changes;
use super::frame_signal;
use super::source::{BodyError, BodyValue, CarriedBody, Message, ModelRequest, Source};
use crate::protocol::model::{Agents, BookmarkPage, Lane, Overview, TaskDetail, TaskPage};
use crate::protocol::{
    EventLogged, EventUpdated, FrameKind, Incoming, Notice, ReadModel, SnapshotPayload, TaskUpdated, UnknownFrame,
    Watched,
};

/// The read models of this crate's server.
#[derive(Clone, Copy, Debug, Default)]
pub struct AgentSource;

/// The body of a read model of [`AgentSource`].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum AgentBody {
    /// The body of [`ReadModel::Overview`].
    Overview(Arc<OverviewBody>),
    /// The body of [`ReadModel::Task`].
    Task(Arc<TaskDetail>),
    /// The body of [`ReadModel::Bookmarks`].
    Bookmarks(Arc<BookmarkPage>),
    /// The body of [`ReadModel::Agents`].
    Agents(Arc<Agents>),
}

/// The overview, which comes from two requests.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverviewBody {
    /// The figures, and the tasks that need a person.
    pub overview: Overview,
    /// The first page of tasks, the last changed first.
    pub tasks: TaskPage,
}

/// The changes that a watch asks for. The default is every change.
///
/// A server that does not say which events a notice stands for is taken to mean all of them.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchOptions {
    /// Only events of these kinds. None: of every kind.
    pub kinds: Option<Vec<String>>,
    /// Only events of these lanes. None: of every lane.
    pub lanes: Option<Vec<Lane>>,
    /// Only changes of the status of a task, and no events.
    pub status_only: bool,
}

impl WatchOptions {
    /// Events of these kinds alone. Changes of the task itself count too.
    pub fn kinds(kinds: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { kinds: Some(kinds.into_iter().map(Into::into).collect()), ..Self::default() }
    }

    /// Events of these lanes alone. Changes of the task itself count too.
    pub fn lanes(lanes: impl IntoIterator<Item = Lane>) -> Self {
        Self { lanes: Some(lanes.into_iter().collect()), ..Self::default() }
    }

    /// Changes of the status alone: no events, and no other change of a task.
    pub fn status_only() -> Self {
        Self { status_only: true, ..Self::default() }
    }
}

impl Source for AgentSource {
    type Key = ReadModel;
    type Body = AgentBody;
    type Options = WatchOptions;
    type Detail = NoticeDetail;

    fn carried(&self) -> Vec<ReadModel> {
        vec![ReadModel::Overview]
    }

    fn requests(&self, model: &ReadModel) -> Vec<ModelRequest> {
        match model {
            ReadModel::Overview => vec![ModelRequest::new("api/v1/overview"), ModelRequest::new("api/v1/tasks")],
            ReadModel::Task(id) => vec![ModelRequest::new(format!("api/v1/tasks/{id}"))],
            ReadModel::Bookmarks => vec![ModelRequest::new("api/v1/bookmarks")],
            ReadModel::Agents => vec![ModelRequest::new("api/v1/agents")],
        }
    }

    fn parse(&self, model: &ReadModel, parts: &[Bytes]) -> Result<AgentBody, BodyError> {
        let part = |at: usize| parts.get(at).map(|part| &part[..]).unwrap_or_default();
        Ok(match model {
            ReadModel::Overview => {
                let body = OverviewBody { overview: parse(part(0))?, tasks: parse(part(1))? };
                AgentBody::Overview(Arc::new(body))
            }
            ReadModel::Task(_) => AgentBody::Task(Arc::new(parse(part(0))?)),
            ReadModel::Bookmarks => AgentBody::Bookmarks(Arc::new(parse(part(0))?)),
            ReadModel::Agents => AgentBody::Agents(Arc::new(parse(part(0))?)),
        })
    }

    fn knows_changes(&self, model: &ReadModel, part: usize) -> bool {
        match model {
            ReadModel::Overview => part == 1,
            ReadModel::Task(_) | ReadModel::Bookmarks => true,
            ReadModel::Agents => false,
        }
    }

    fn apply_changes(&self, model: &ReadModel, _: usize, held: &Bytes, changes: &Bytes) -> Option<Bytes> {
        match model {
            ReadModel::Overview => agent_changes::apply_to_page(held, changes, "task_id"),
            ReadModel::Task(_) => agent_changes::apply_to_detail(held, changes),
            ReadModel::Bookmarks => agent_changes::apply_to_page(held, changes, "bookmark_id"),
            ReadModel::Agents => None,
        }
    }

    fn message(&self, text: &[u8]) -> Message<Self> {
        let incoming = serde_json::from_slice(text).unwrap_or_else(|_| Incoming::Unknown(UnknownFrame::default()));
        let mut message = Message::new(frame_signal::signal(&incoming));
        if let Incoming::Frame(frame) = incoming {
            match frame.kind {
                FrameKind::Snapshot(snapshot) => {
                    message.known = Some(snapshot.known);
                    message.carried.extend(carried_overview(&snapshot));
                }
                FrameKind::Resumed(resumed) => message.known = Some(resumed.known),
                FrameKind::Notice(notice) => message.detail = detail(notice),
                _ => {}
            }
        }
        message
    }

    fn name(&self, entry: &Watched) -> String {
        entry.to_string()
    }

    fn kind_name(&self, kind: u16) -> &str {
        frame_signal::kind_name(kind)
    }

    fn concerns(&self, options: &WatchOptions, detail: &NoticeDetail) -> bool {
        match detail {
            NoticeDetail::Events { kinds, lanes } => {
                let kinds = meets(options.kinds.as_deref(), kinds.as_deref());
                !options.status_only && kinds && meets(options.lanes.as_deref(), lanes.as_deref())
            }
            NoticeDetail::Task { status_changed } => !options.status_only || *status_changed != Some(false),
        }
    }
}

/// The overview that came with a snapshot. Its JSON is written anew, without the fields that this version does not
/// know.
fn carried_overview(snapshot: &SnapshotPayload) -> Option<CarriedBody<AgentSource>> {
    let (overview, tasks) = snapshot.first_screen()?;
    let parts = [serde_json::to_vec(&overview), serde_json::to_vec(&tasks)];
    let parts = parts.into_iter().map(|json| json.ok().map(Bytes::from)).collect::<Option<Vec<_>>>()?;
    let body = AgentBody::Overview(Arc::new(OverviewBody { overview, tasks }));
    Some(CarriedBody { key: ReadModel::Overview, parts, body })
}

/// The detail of a notice. None: every watch wants a notice of this kind.
fn detail(notice: Notice) -> Option<NoticeDetail> {
    match notice {
        Notice::EventLogged(EventLogged { kinds, lanes, .. })
        | Notice::EventUpdated(EventUpdated { kinds, lanes, .. }) => Some(NoticeDetail::Events { kinds, lanes }),
        Notice::TaskUpdated(TaskUpdated { status_changed, .. }) => Some(NoticeDetail::Task { status_changed }),
        Notice::TaskStarted(_)
        | Notice::TaskCompleted(_)
        | Notice::TaskDeleted(_)
        | Notice::TasksPurged(_)
        | Notice::SessionStarted(_)
        | Notice::SessionEnded(_)
        | Notice::BookmarkSaved(_)
        | Notice::BookmarkDeleted(_)
        | Notice::AgentRegistered(_)
        | Notice::AgentChanged(_) => None,
    }
}

/// The part of a notice that [`WatchOptions`] look at. None stands for an unknown value.
#[derive(Clone, Debug, PartialEq)]
pub enum NoticeDetail {
    /// Events were logged or changed.
    Events {
        /// The kinds of the events.
        kinds: Option<Vec<String>>,
        /// The lanes of the events.
        lanes: Option<Vec<Lane>>,
    },
    /// A task changed.
    Task {
        /// Whether its status changed.
        status_changed: Option<bool>,
    },
}

/// Whether two sets have an element in common. A set that is none has every element.
fn meets<T: PartialEq>(one: Option<&[T]>, other: Option<&[T]>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.iter().any(|element| other.contains(element)),
        _ => true,
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, BodyError> {
    serde_json::from_slice(json).map_err(BodyError::new)
}

impl BodyValue<AgentSource> for AgentBody {
    fn of(body: &Arc<AgentBody>) -> Option<Arc<Self>> {
        Some(Arc::clone(body))
    }

    fn into_body(self) -> AgentBody {
        self
    }
}

macro_rules! values {
    ($($variant:ident($type:ty))*) => {$(
        impl BodyValue<AgentSource> for $type {
            fn of(body: &Arc<AgentBody>) -> Option<Arc<Self>> {
                match &**body {
                    AgentBody::$variant(value) => Some(Arc::clone(value)),
                    _ => None,
                }
            }

            fn into_body(self) -> AgentBody {
                AgentBody::$variant(Arc::new(self))
            }
        }
    )*};
}

values! {
    Overview(OverviewBody)
    Task(TaskDetail)
    Bookmarks(BookmarkPage)
    Agents(Agents)
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::{AgentSource, WatchOptions};
    use crate::protocol::ReadModel;
    use crate::protocol::model::Lane;

    #[test]
    fn options_name_the_changes_that_a_watch_wants() {
        let (id, other) = ("0190b0a0-0000-7000-8000-000000000001", "0190b0a0-0000-7000-8000-000000000002");
        let concerned = |options: &WatchOptions, kind: &str, fields: &str| {
            let payload = format!(r#"{{"task_id":"{id}","event_id":"{other}","project":"p"{fields}}}"#);
            let text = format!(r#"{{"type":"{kind}","payload":{payload},"cursor":"e:5:5:"}}"#);
            let message = AgentSource.message(text.as_bytes());
            message.detail.is_none_or(|detail| AgentSource.concerns(options, &detail))
        };
        let all = WatchOptions::default();
        let (plans, answers) = (WatchOptions::kinds(["plan"]), WatchOptions::lanes([Lane::Assistant]));
        let status = WatchOptions::status_only();
        let check = |kind, fields, expected: [bool; 4]| {
            assert_eq!(
                [&all, &plans, &answers, &status].map(|options| concerned(options, kind, fields)),
                expected,
                "{fields}"
            );
        };
        check("event.logged", r#","kinds":["plan"],"lanes":["assistant"]"#, [true, true, true, false]);
        check("event.logged", r#","kinds":["message"],"lanes":["user"]"#, [true, false, false, false]);
        check("event.updated", r#","kinds":["message","plan"],"lanes":["user"]"#, [true, true, false, false]);
        check("event.updated", r#","kinds":null,"lanes":null"#, [true, true, true, false]);
        check("event.logged", "", [true, true, true, false]);
        check("task.updated", r#","parent_task_id":null,"status_changed":false"#, [true, true, true, false]);
        check("task.updated", r#","parent_task_id":null,"status_changed":true"#, [true; 4]);
        check("task.updated", r#","parent_task_id":null"#, [true; 4]);
        check("task.renamed", "", [true; 4]);
    }

    #[test]
    fn a_body_of_another_shape_is_an_error_with_its_place() {
        let error = AgentSource.parse(&ReadModel::Bookmarks, &[r#"{"items":1}"#.into()]).expect_err("no list");
        let text = "invalid type: integer `1`, expected a sequence at line 1 column 10";
        assert!(error.to_string().ends_with(text), "{error}");
        assert!(AgentSource.parse(&ReadModel::Bookmarks, &[]).is_err());
    }
}
