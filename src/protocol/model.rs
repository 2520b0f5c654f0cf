//! What the REST API answers with.
//!
//! In every object all fields are present; one that says nothing is `null`. A model holds nothing that could change
//! without a notice that makes it stale: a child's figures are left out of its parent, an event's text out of the
//! overview.

mod page;
mod words;

mod timestamp;
pub use timestamp::Timestamp;

mod task;
pub use task::{ChildTask, FinalStatus, Purged, StaleReason, Task, TaskMode, TaskPage, TaskStatus};

mod session;
pub use session::{Session, SessionStatus};

// An event holds JSON, and the core has no type for it.
#[cfg(any(feature = "server", feature = "client"))]
mod event;
#[cfg(any(feature = "server", feature = "client"))]
pub use event::{EVENT_KINDS, Event, EventPage, EventState, EventsLogged, Lane, Metadata, Timeline, ToolFamily};

mod bookmark;
pub use bookmark::{Bookmark, BookmarkPage};

#[cfg(any(feature = "server", feature = "client"))]
mod detail;
#[cfg(any(feature = "server", feature = "client"))]
pub use detail::{TaskDetail, TaskFigures};

mod overview;
pub use overview::{Activity, NeedsYou, Overview, SourceCount, Stats};

mod search;
pub use search::{SearchHit, SearchKind, SearchResults, Snippet};

mod usage;
pub use usage::{Imported, ModelUsage, SkippedLine, Usage};

mod hooks;
pub use hooks::{AgentHeard, HooksHeard};
