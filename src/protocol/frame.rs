//! Frames: the messages of a stream, the same on WebSocket and server-sent events.

use serde::{Deserialize, Serialize};

use super::model::{Activity, NeedsYou, Overview, SourceCount, Stats, Task, TaskPage, Timestamp, Usage};
use super::{Cursor, Notice, ReadModel, Watched};
use crate::protocol::limits;

/// One message from the server.
///
/// On the wire `{"type", "payload", "cursor"}`, and `"more"`, `"count"` and `"spread_ms"` if they differ from their
/// defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Frame {
    /// The kind and the payload.
    #[serde(flatten)]
    pub kind: FrameKind,
    /// Contains all changes of this frame and of all frames before it.
    pub cursor: Cursor,
    /// More frames with the same cursor follow at once; a client resumes only with the cursor of the last of them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// The number of changes that this notice stands for. Left out if it is one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
    /// A client waits a random share of this many milliseconds before it fetches, so that many screens do not fetch at
    /// once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_ms: Option<u32>,
}

impl Frame {
    /// A frame that is the only one with its cursor.
    pub fn new(kind: FrameKind, cursor: Cursor) -> Self {
        Self { kind, cursor, more: false, count: 1, spread_ms: None }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn one() -> u32 {
    1
}

fn is_one(count: &u32) -> bool {
    *count == 1
}

/// A server of an earlier version does not say whether it knows the project.
fn known() -> bool {
    true
}

macro_rules! frames {
    ($($(#[$doc:meta])* $kind:literal $name:ident($payload:ty),)*) => {
        /// The kind of a frame with its payload.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type", content = "payload")]
        #[non_exhaustive]
        pub enum FrameKind {
            $($(#[$doc])* #[serde(rename = $kind)] $name($payload),)*
            /// A change, with the place where it happened.
            #[serde(untagged)]
            Notice(Notice),
        }

        impl FrameKind {
            /// The kinds that are not notices.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The text in `type`.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(FrameKind::$name(_) => $kind,)*
                    FrameKind::Notice(notice) => notice.kind(),
                }
            }

            #[cfg(feature = "server")]
            fn schemas(registry: &mut poem_openapi::registry::Registry) -> Vec<(&'static str, poem_openapi::registry::MetaSchemaRef)> {
                use poem_openapi::types::Type;
                $(<$payload>::register(registry);)*
                let mut all = vec![$(($kind, <$payload>::schema_ref())),*];
                all.extend(Notice::schemas(registry));
                all
            }
        }
    };
}

frames! {
    /// The first frame of a stream that starts afresh: every watched read model is stale.
    "snapshot" Snapshot(Box<SnapshotPayload>),
    /// The first frame of a stream that continues: read models outside its list have not changed.
    "resumed" Resumed(Resumed),
    /// Several notices, merged into the read models that they make stale.
    "stale" Stale(Stale),
    /// The answer to `watch`.
    "watching" Watching(Watching),
    /// The connection works.
    "heartbeat" Heartbeat(Heartbeat),
    /// Every watched read model is stale.
    "resync" Resync(Resync),
    /// The last frame: the server ends, or its database is away.
    "closing" Closing(Closing),
}

mod incoming;
pub use incoming::{Incoming, UnknownFrame};

/// The first frame of a stream that starts afresh: every watched read model is stale. It has the whole read model
/// `overview` of the stream's project, so a client that receives it need not request that read model.
///
/// A server of an earlier version leaves out the fields from `next` to `usage`. They are `null`, and `tasks` is empty, if
/// the frame would be too large otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct SnapshotPayload {
    /// The numbers of tasks by status, as the overview has them.
    pub stats: Stats,
    /// The first page of tasks, the last changed first.
    pub tasks: Vec<Task>,
    /// The `next` of that page.
    #[serde(default)]
    pub next: Option<String>,
    /// The `needs_you` of the overview.
    #[serde(default)]
    pub needs_you: Option<Vec<NeedsYou>>,
    /// The `activity` of the overview.
    #[serde(default)]
    pub activity: Option<Vec<Activity>>,
    /// The `sources` of the overview.
    #[serde(default)]
    pub sources: Option<Vec<SourceCount>>,
    /// The `usage` of the overview.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// The server's clock.
    pub server_time: Timestamp,
    /// Milliseconds between heartbeats.
    pub heartbeat_ms: u32,
    /// The version of the contract.
    pub version: String,
    /// Whether the project of the stream has a task. True for a stream of all projects. False can mean a name with a
    /// typing error.
    #[serde(default = "known")]
    pub known: bool,
}

impl SnapshotPayload {
    /// The payload with `stats` as the only part of the read model `overview`.
    pub fn figures_alone(&self) -> Self {
        Self {
            stats: self.stats.clone(),
            tasks: Vec::new(),
            next: None,
            needs_you: None,
            activity: None,
            sources: None,
            usage: None,
            server_time: self.server_time.clone(),
            heartbeat_ms: self.heartbeat_ms,
            version: self.version.clone(),
            known: self.known,
        }
    }

    /// The answers of the two requests of the read model `overview`, as they are at the cursor of the frame. None if the
    /// frame lacks the read model.
    pub fn first_screen(&self) -> Option<(Overview, TaskPage)> {
        let overview = Overview {
            stats: self.stats.clone(),
            needs_you: self.needs_you.clone()?,
            activity: self.activity.clone()?,
            sources: self.sources.clone()?,
            usage: self.usage.clone()?,
        };
        Some((overview, TaskPage { items: self.tasks.clone(), next: self.next.clone(), previous: None }))
    }
}

/// The first frame of a stream that continues from `since`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Resumed {
    /// The server's clock.
    pub server_time: Timestamp,
    /// Milliseconds between heartbeats.
    pub heartbeat_ms: u32,
    /// The version of the contract.
    pub version: String,
    /// Whether the project of the stream has a task. True for a stream of all projects. False can mean a name with a
    /// typing error.
    #[serde(default = "known")]
    pub known: bool,
    /// The read models that changed between `since` and the cursor of this frame.
    pub stale: Vec<Watched>,
}

/// Several notices, merged into the read models that they make stale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Stale {
    /// The stale read models.
    pub read_models: Vec<Watched>,
}

/// The answer to `watch`: from now on the stream reports the changes to these read models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Watching {
    /// The list of the `watch`, without the tasks that exist in another project than the stream. A read model is stale if
    /// the held answer does not cover the cursor of this frame.
    pub read_models: Vec<Watched>,
}

/// The connection works. Sent once in each `heartbeat_ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Heartbeat {
    /// The server's clock.
    pub server_time: Timestamp,
}

/// Every watched read model is stale, for example because the client read too slowly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Resync {
    /// The reason, for a log.
    pub reason: String,
}

/// The last frame of a stream: the server ends, or its database is away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Closing {
    /// The client reconnects after a random share of this many milliseconds.
    pub retry_ms: u32,
}

/// The only message from a client, on WebSocket only: the read models that its screens show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum WatchFrame {
    /// Narrows the stream. A later `watch` replaces this one.
    #[serde(rename = "watch")]
    Watch(Watch),
}

/// The read models to which a stream is narrowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Watch {
    /// The read models; at most 256.
    pub read_models: Vec<Watched>,
}

impl Watch {
    /// How many read models one stream may be narrowed to. Enough for any screen, and a bound on the cost of each
    /// notice.
    pub const MAX: usize = limits::WATCHED_READ_MODELS;

    /// The message for these read models.
    pub fn frame(models: impl IntoIterator<Item = ReadModel>) -> WatchFrame {
        WatchFrame::Watch(Watch { read_models: models.into_iter().map(Watched::One).collect() })
    }
}

#[cfg(feature = "server")]
mod openapi {
    use std::borrow::Cow;

    use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
    use poem_openapi::types::{ToJSON, Type};

    use super::{Cursor, Frame, FrameKind};

    /// The schema of a frame is one object schema for each kind. The field `type` tells them apart.
    impl Type for Frame {
        const IS_REQUIRED: bool = true;
        type RawValueType = Self;
        type RawElementValueType = Self;

        fn name() -> Cow<'static, str> {
            "Frame".into()
        }

        fn schema_ref() -> MetaSchemaRef {
            MetaSchemaRef::Reference(Self::name().into_owned())
        }

        fn register(registry: &mut Registry) {
            registry.create_schema::<Self, _>(Self::name().into_owned(), |registry| {
                let one_of = FrameKind::schemas(registry)
                    .into_iter()
                    .map(|(kind, payload)| MetaSchemaRef::Inline(Box::new(frame_schema(kind, payload))))
                    .collect();
                MetaSchema { description: Some("One message of a stream."), one_of, ..MetaSchema::ANY }
            });
        }

        fn as_raw_value(&self) -> Option<&Self> {
            Some(self)
        }

        fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
            Box::new(std::iter::once(self))
        }
    }

    fn frame_schema(kind: &'static str, payload: MetaSchemaRef) -> MetaSchema {
        let mut of_kind = MetaSchema::new("string");
        of_kind.enum_items = vec![kind.into()];
        let inline = |schema| MetaSchemaRef::Inline(Box::new(schema));
        MetaSchema {
            required: vec!["type", "payload", "cursor"],
            properties: vec![
                ("type", inline(of_kind)),
                ("payload", payload),
                ("cursor", Cursor::schema_ref()),
                ("more", bool::schema_ref()),
                ("count", u32::schema_ref()),
                ("spread_ms", u32::schema_ref()),
            ],
            ..MetaSchema::new("object")
        }
    }

    impl ToJSON for Frame {
        fn to_json(&self) -> Option<serde_json::Value> {
            serde_json::to_value(self).ok()
        }
    }
}

#[cfg(test)]
#[cfg(feature = "server")]
mod tests {
    use super::{Frame, FrameKind, Heartbeat, Incoming, WatchFrame};
    use crate::protocol::Notice;

    #[test]
    fn notice_has_the_fields_of_the_contract() {
        let text = r#"{"type":"event.logged","payload":{"event_id":"0190b0a0-0000-7000-8000-000000000001","task_id":"0190b0a0-0000-7000-8000-000000000002","project":"p","kinds":["tool"],"lanes":["terminal"]},"cursor":"e:5:5:","more":true,"count":3}"#;
        let Ok(Incoming::Frame(frame)) = serde_json::from_str(text) else { panic!("not a frame") };
        assert!(matches!(frame.kind, FrameKind::Notice(Notice::EventLogged(_))));
        assert_eq!((frame.more, frame.count, frame.spread_ms), (true, 3, None));
        assert_eq!(serde_json::to_string(&frame).expect("json"), text);
    }

    #[test]
    fn fields_may_come_in_any_order() {
        let text = r#"{"cursor":"e:5:5:","payload":{"server_time":"2026-01-01T00:00:00.000Z"},"type":"heartbeat"}"#;
        let frame: Frame = serde_json::from_str(text).expect("a frame");
        assert!(matches!(frame.kind, FrameKind::Heartbeat(Heartbeat { .. })));
    }

    #[test]
    fn undecodable_messages_become_unknown() {
        for text in [
            r#"{"type":"task.renamed","payload":{"task_id":1},"cursor":"e:5:5:"}"#,
            r#"{"type":"event.logged","payload":{},"cursor":"e:5:5:"}"#,
            r#"{"type":"heartbeat","payload":{"server_time":"x"},"cursor":"garbage"}"#,
            r#"[]"#,
        ] {
            assert!(matches!(serde_json::from_str(text), Ok(Incoming::Unknown(_))), "{text}");
        }
    }

    #[test]
    fn watch_takes_models_and_every_task() {
        let text = r#"{"type":"watch","payload":{"read_models":["overview","task:*"]}}"#;
        let frame: WatchFrame = serde_json::from_str(text).expect("a watch");
        assert_eq!(serde_json::to_string(&frame).expect("json"), text);
        assert!(serde_json::from_str::<WatchFrame>(r#"{"type":"watch","payload":{"read_models":["nope"]}}"#).is_err());
    }
}
