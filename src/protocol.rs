//! The wire contract: each kind, frame, read model, header and limit, written once.
//!
//! A stream carries [`Frame`]s. Most frames are notices: a [`Notice`] says *that* a row changed and where, never its
//! new content. A client maps each notice to the [`ReadModel`]s it makes stale and fetches them again over REST; the
//! answers are the types of [`model`]. Each frame and each answer carries a [`Cursor`], which names the set of changes
//! it contains, so that either side can tell whether the other has seen a change.
//!
//! The module performs no I/O and needs `serde` alone. With the feature `server` the same types also describe
//! themselves for the OpenAPI document; there is no second definition.
//!
//! Types that may grow are `#[non_exhaustive]`. A client that cannot decode a message takes every watched read
//! model for stale ([`Incoming::Unknown`]), so that a new kind never breaks an old client.

#[cfg(feature = "server")]
mod openapi_text;
#[cfg(feature = "server")]
use openapi_text::openapi_text;

mod cursor;
mod frame;
mod id;
mod key;
pub mod limits;
pub mod model;
mod notice;
mod read_model;
mod watched;
#[cfg(any(feature = "server", feature = "client"))]
pub mod write;

pub use cursor::{Cursor, CursorError, Snapshot};
pub use frame::{
    Closing, Frame, FrameKind, Heartbeat, Incoming, Resumed, Resync, SnapshotPayload, Stale, UnknownFrame, Watch,
    WatchFrame, Watching,
};
pub use id::{BookmarkId, EventId, IdError, SessionId, TaskId};
// A glob, because only the catalogue lists the payload types. Each kind of notice has one.
pub use key::Key;
pub use notice::*;
pub use read_model::{EveryTask, ReadModel, ReadModelError};
pub use watched::Watched;

/// The version of this contract, sent in the first frame of every stream.
pub const VERSION: &str = "1.1";

/// Header of every answer: the cursor at which the server read the answer, or the cursor of the reported write.
pub const CURSOR_HEADER: &str = "requery-cursor";
/// Header of a request: the answer must cover this cursor.
pub const AT_LEAST_HEADER: &str = "requery-at-least";
/// Header of a hook: the UUID of the delivery. The server takes each delivery once.
pub const DELIVERY_HEADER: &str = "requery-delivery";
/// Header of a hook that is sent late: the time at which the hook ran, RFC 3339.
pub const AT_HEADER: &str = "requery-at";
/// Header of a hook: the process of the agent, as the forwarder names it. Only a server on the same machine uses it.
pub const PROCESS_HEADER: &str = "requery-process";
/// Header of a hook: the name of the agent's machine.
pub const HOST_HEADER: &str = "requery-host";
