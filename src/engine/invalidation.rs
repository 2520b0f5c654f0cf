//! What each notice makes stale. Every kind is matched by name: a new one does not compile until it is placed here.
//!
//! A notice that is not known is no [`Notice`] at all; whoever gets one takes everything watched for stale.

use crate::protocol::{Notice, ReadModel, TaskId, Watched};

/// A place among the read models, seen from a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The figures and the first page of tasks.
    Overview,
    /// The task that the notice names.
    Task,
    /// The task that it is part of, if any.
    Parent,
    /// Every task.
    EveryTask,
    /// The bookmarks.
    Bookmarks,
}

impl Place {
    /// The word for it in a table that other languages read.
    pub fn as_str(self) -> &'static str {
        match self {
            Place::Overview => "overview",
            Place::Task => "task",
            Place::Parent => "parent",
            Place::EveryTask => "task:*",
            Place::Bookmarks => "bookmarks",
        }
    }
}

/// The read models that `notice` makes stale.
pub fn stale(notice: &Notice) -> impl Iterator<Item = Watched> + '_ {
    let task = |id: &TaskId| Watched::One(ReadModel::Task(id.clone()));
    places(notice).iter().filter_map(move |place| match place {
        Place::Overview => Some(Watched::One(ReadModel::Overview)),
        Place::Task => notice.task_id().map(task),
        Place::Parent => parent(notice).map(task),
        Place::EveryTask => Some(Watched::EveryTask),
        Place::Bookmarks => Some(Watched::One(ReadModel::Bookmarks)),
    })
}

/// Where `notice` makes things stale.
pub fn places(notice: &Notice) -> &'static [Place] {
    match notice {
        Notice::TaskStarted(_) | Notice::TaskUpdated(_) | Notice::TaskCompleted(_) => {
            &[Place::Overview, Place::Task, Place::Parent]
        }
        Notice::TaskDeleted(_) => &[Place::Overview, Place::Task, Place::Parent, Place::Bookmarks],
        Notice::TasksPurged(_) => &[Place::Overview, Place::EveryTask, Place::Bookmarks],
        Notice::SessionStarted(_) | Notice::SessionEnded(_) | Notice::EventLogged(_) => &[Place::Overview, Place::Task],
        Notice::EventUpdated(_) => &[Place::Task],
        Notice::BookmarkSaved(_) | Notice::BookmarkDeleted(_) => &[Place::Bookmarks],
    }
}

fn parent(notice: &Notice) -> Option<&TaskId> {
    match notice {
        Notice::TaskStarted(n) => n.parent_task_id.as_ref(),
        Notice::TaskUpdated(n) => n.parent_task_id.as_ref(),
        Notice::TaskCompleted(n) => n.parent_task_id.as_ref(),
        Notice::TaskDeleted(n) => n.parent_task_id.as_ref(),
        Notice::TasksPurged(_)
        | Notice::SessionStarted(_)
        | Notice::SessionEnded(_)
        | Notice::EventLogged(_)
        | Notice::EventUpdated(_)
        | Notice::BookmarkSaved(_)
        | Notice::BookmarkDeleted(_) => None,
    }
}
