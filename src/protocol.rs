//! The wire: everything that crosses it, written once.
//!
//! A stream carries [`Frame`]s. Most of them are notices, which say *that* something changed and where, never what it
//! became. A reader maps each notice to the [`ReadModel`]s it makes stale and asks for those again over REST; the
//! answers are the types of [`model`]. Each frame and each answer carries a [`Cursor`] that names the set of changes
//! it contains, so that both sides can tell whether one has seen what the other speaks of.
//!
//! Nothing here performs I/O, and nothing but `serde` is needed. With the feature `server` the same types also
//! describe themselves for the OpenAPI document; there is no second definition.

#[cfg(feature = "server")]
mod openapi_text;
#[cfg(feature = "server")]
use openapi_text::openapi_text;

mod cursor;
mod frame;
mod id;
pub mod limits;
pub mod model;
mod notice;
mod read_model;
#[cfg(any(feature = "server", feature = "client"))]
pub mod write;

pub use cursor::{Cursor, CursorError, Snapshot};
pub use frame::{
    Closing, Frame, FrameKind, Heartbeat, Incoming, Resumed, Resync, SnapshotPayload, Stale, Watch, WatchFrame,
    Watching,
};
pub use id::{BookmarkId, EventId, IdError, SessionId, TaskId};
pub use notice::{
    BookmarkDeleted, BookmarkSaved, EventLogged, EventUpdated, Notice, NoticeColumns, NoticeFields, NoticeKind,
    NoticeSubject, SessionEnded, SessionStarted, TaskCompleted, TaskDeleted, TaskStarted, TaskUpdated, TasksPurged,
};
pub use read_model::{ReadModel, ReadModelError, Watched};

/// The version of this contract, sent in the first frame of every stream.
pub const VERSION: &str = "1.0";

/// Header on every answer: the cursor of the database the answer was read from, or of the write it reports.
pub const CURSOR_HEADER: &str = "requery-cursor";
/// Header on a request: do not answer from anything older than this cursor.
pub const AT_LEAST_HEADER: &str = "requery-at-least";
/// Header on a hook: a UUID; the same delivery is taken once.
pub const DELIVERY_HEADER: &str = "requery-delivery";
/// Header on a hook that comes late: when it happened, RFC 3339.
pub const AT_HEADER: &str = "requery-at";
/// Header on a hook: the process of the agent, as the forwarder names it. Only a server on the same machine can use it.
pub const PROCESS_HEADER: &str = "requery-process";
