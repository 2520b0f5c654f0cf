//! The answers of the REST API.
//!
//! In every object all fields are present; a field without a value is `null`. A model holds no value that could change
//! without a notice that makes the model stale: a parent has no figures of its children, the overview has no text of an
//! event. The words of a question are therefore a value of the task, in `status_detail`.

mod page;
mod words;

mod timestamp;
pub use timestamp::Timestamp;

mod task;
pub use task::{ChildTask, FinalStatus, Purged, StaleReason, Task, TaskMode, TaskPage, TaskStatus};

mod todo;
pub use todo::{Todo, TodoProgress, TodoState};

mod session;
pub use session::{Session, SessionStatus};

mod lane;
pub use lane::{Lane, ToolFamily};

// An event holds JSON. The core without `server` and `client` has no type for JSON values.
#[cfg(any(feature = "server", feature = "client"))]
mod event;
#[cfg(any(feature = "server", feature = "client"))]
pub use event::{EVENT_KINDS, Event, EventPage, EventState, EventsLogged, Metadata, Timeline};

mod bookmark;
pub use bookmark::{Bookmark, BookmarkPage};

#[cfg(any(feature = "server", feature = "client"))]
mod detail;
#[cfg(any(feature = "server", feature = "client"))]
pub use detail::{OpenCall, TaskDetail, TaskFigures, TouchedFile};

mod since;
pub use since::{
    BookmarksSince, ChildrenSince, PlacedBookmark, PlacedChild, PlacedSession, PlacedTask, SessionsSince, TasksSince,
};
#[cfg(any(feature = "server", feature = "client"))]
pub use since::{EventsSince, PlacedEvent, TaskDetailSince};

mod overview;
pub use overview::{Activity, NeedsYou, Overview, SourceCount, Stats};

mod search;
pub use search::{SearchHit, SearchKind, SearchResults, Snippet};

mod project;
pub use project::{Project, ProjectPage};

mod usage;
pub use usage::{Imported, ModelUsage, SkippedLine, Usage};

mod agent;
pub use agent::{Agent, Agents};

mod hooks;
pub use hooks::{AgentHeard, HooksHeard};
