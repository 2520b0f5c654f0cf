//! One sample of each kind. Documents and tests iterate the samples, so a new kind is at once part of each document and
//! test. A kind without a sample does not compile.

use super::{Notice, NoticeKind};
use crate::protocol::model::{FinalStatus, Lane};
use crate::protocol::{BookmarkId, EventId, SessionId, TaskId, notice};

impl Notice {
    /// One notice of each kind, in the order of the catalogue. Every field that can be `null` has a value.
    pub fn samples() -> impl Iterator<Item = Notice> {
        NoticeKind::ALL.iter().map(|kind| kind.sample())
    }
}

impl NoticeKind {
    /// A notice of this kind. Every field that can be `null` has a value, and no two ids are the same.
    pub fn sample(self) -> Notice {
        let task_id = TaskId::numbered(1);
        let parent_task_id = Some(TaskId::numbered(2));
        let session_id = SessionId::numbered(3);
        let event_id = EventId::numbered(4);
        let bookmark_id = BookmarkId::numbered(5);
        let project = "demo".to_owned();
        let status = FinalStatus::Completed;
        let status_changed = Some(true);
        let kinds = Some(vec!["tool".to_owned()]);
        let lanes = Some(vec![Lane::Terminal]);
        let source = "codex".to_owned();
        match self {
            NoticeKind::TaskStarted => Notice::TaskStarted(notice::TaskStarted { task_id, project, parent_task_id }),
            NoticeKind::TaskUpdated => {
                Notice::TaskUpdated(notice::TaskUpdated { task_id, project, parent_task_id, status_changed })
            }
            NoticeKind::TaskCompleted => {
                Notice::TaskCompleted(notice::TaskCompleted { task_id, project, parent_task_id, status })
            }
            NoticeKind::TaskDeleted => Notice::TaskDeleted(notice::TaskDeleted { task_id, project, parent_task_id }),
            NoticeKind::TasksPurged => Notice::TasksPurged(notice::TasksPurged { count: 6, project }),
            NoticeKind::SessionStarted => {
                Notice::SessionStarted(notice::SessionStarted { session_id, task_id, project })
            }
            NoticeKind::SessionEnded => Notice::SessionEnded(notice::SessionEnded { session_id, task_id, project }),
            NoticeKind::EventLogged => {
                Notice::EventLogged(notice::EventLogged { event_id, task_id, project, kinds, lanes })
            }
            NoticeKind::EventUpdated => {
                Notice::EventUpdated(notice::EventUpdated { event_id, task_id, project, kinds, lanes })
            }
            NoticeKind::BookmarkSaved => Notice::BookmarkSaved(notice::BookmarkSaved { bookmark_id, task_id, project }),
            NoticeKind::BookmarkDeleted => {
                Notice::BookmarkDeleted(notice::BookmarkDeleted { bookmark_id, task_id, project })
            }
            NoticeKind::AgentRegistered => Notice::AgentRegistered(notice::AgentRegistered { source, project }),
            NoticeKind::AgentChanged => Notice::AgentChanged(notice::AgentChanged { source, project }),
        }
    }
}
