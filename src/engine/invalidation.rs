//! The read models that each notice makes stale, as a table of templates with holes.
//!
//! `task:{task_id}` is the task with the id in the field `task_id` of the notice. The table is text: this code, the
//! checked-in `openapi/invalidation.json` and clients in other languages read the same templates. A kind with templates
//! from another source would need no code of its own.
//!
//! A message of an unknown kind is no [`Notice`], so it has no row here: a client that receives one treats every read
//! model it watches as stale.

mod template;
pub use template::StaleTemplate;

use crate::protocol::{Notice, NoticeKind, Watched};

/// The figures and the first page of tasks.
const OVERVIEW: StaleTemplate<'static> = StaleTemplate::new("overview");
/// The bookmarks.
const BOOKMARKS: StaleTemplate<'static> = StaleTemplate::new("bookmarks");
/// The coding agents.
const AGENTS: StaleTemplate<'static> = StaleTemplate::new("agents");
/// The task that the notice names.
const TASK: StaleTemplate<'static> = StaleTemplate::new("task:{task_id}");
/// The parent of that task, if any.
const PARENT: StaleTemplate<'static> = StaleTemplate::new("task:{parent_task_id}");
/// Every task.
const EVERY_TASK: StaleTemplate<'static> = StaleTemplate::new("task:*");

/// The templates of a kind. Each kind has an arm of its own or shares one: a new kind does not compile without.
pub fn templates(kind: NoticeKind) -> &'static [StaleTemplate<'static>] {
    match kind {
        NoticeKind::TaskStarted | NoticeKind::TaskUpdated | NoticeKind::TaskCompleted => &[OVERVIEW, TASK, PARENT],
        // The running sessions of an agent are counted, so a task takes them along.
        NoticeKind::TaskDeleted => &[OVERVIEW, TASK, PARENT, BOOKMARKS, AGENTS],
        NoticeKind::TasksPurged => &[OVERVIEW, EVERY_TASK, BOOKMARKS, AGENTS],
        NoticeKind::SessionStarted | NoticeKind::SessionEnded => &[OVERVIEW, TASK, AGENTS],
        NoticeKind::EventLogged => &[OVERVIEW, TASK],
        NoticeKind::EventUpdated => &[TASK],
        NoticeKind::BookmarkSaved | NoticeKind::BookmarkDeleted => &[BOOKMARKS],
        NoticeKind::AgentRegistered | NoticeKind::AgentChanged => &[AGENTS],
    }
}

/// The read models that `notice` makes stale: the templates of its kind, filled from its fields.
pub fn stale(notice: &Notice) -> impl Iterator<Item = Watched> + '_ {
    let fields = notice.fields();
    templates(notice.notice_kind()).iter().filter_map(move |template| template.fill(&fields))
}

#[cfg(test)]
mod tests {
    use super::{stale, templates};
    use crate::protocol::Notice;

    /// A template with a misspelt model or field would fill to no read model, and screens would stay outdated.
    #[test]
    fn every_template_of_every_kind_fills() {
        for sample in Notice::samples() {
            let templates = templates(sample.notice_kind());
            assert!(!templates.is_empty(), "{} makes no read model stale", sample.kind());
            assert_eq!(stale(&sample).count(), templates.len(), "{}: {templates:?}", sample.kind());
        }
    }
}
