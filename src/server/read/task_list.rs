//! The rows of a list of tasks, found by key: the tasks in the indexes of the lists, and the tasks without a place
//! there, see [`listing`](crate::server::listing).
//!
//! On Postgres each task has a place. The place of a task whose row lacks events is not the true one, so these tasks are
//! looked up apart there.

use requery_entities::task;
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, JoinType, Query, SelectStatement, UnionType};
use sea_orm::{ColumnTrait, DbBackend};

use super::page::{MomentKey, PageWindow};
use crate::protocol::TaskId;
use crate::protocol::model::TaskStatus;
use crate::server::access::scope::Scope;
use crate::server::database::sql;

/// The time of a row, in the queries below.
const AT: &str = "at";

/// Which tasks a page lists.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only tasks with this status.
    pub status: Option<TaskStatus>,
    /// Only the tasks that are parts of this task.
    pub parent: Option<TaskId>,
}

/// The ids of the tasks of a window and of one task more, in the order of the window.
pub(super) fn ids(
    backend: DbBackend,
    scope: &Scope,
    filter: &TaskFilter,
    window: &PageWindow<MomentKey>,
    limit: u64,
) -> SelectStatement {
    found(backend, scope, filter, window, limit).column(task::Column::Id).take()
}

/// The ids and the times of the same tasks.
pub(super) fn keys(
    backend: DbBackend,
    scope: &Scope,
    filter: &TaskFilter,
    window: &PageWindow<MomentKey>,
    limit: u64,
) -> SelectStatement {
    found(backend, scope, filter, window, limit).column(task::Column::Id).column(Alias::new(AT)).take()
}

fn found(
    backend: DbBackend,
    scope: &Scope,
    filter: &TaskFilter,
    window: &PageWindow<MomentKey>,
    limit: u64,
) -> SelectStatement {
    let mut found = Query::select();
    match &filter.parent {
        Some(parent) => found.from_subquery(below(backend, parent, scope, filter.status, window), Alias::new("below")),
        None => {
            let mut listed = by(Expr::col(task::Column::ListedAt), scope, filter.status, window);
            listed.and_where(task::Column::ListedAt.is_not_null());
            let unlisted = match backend {
                DbBackend::Postgres => {
                    let mut moved = Query::select();
                    moved.column(Alias::new("task_id")).from_subquery(sql::tasks::moved(), Alias::new("moved"));
                    listed.and_where(task::Column::Id.not_in_subquery(moved));
                    moved_tasks(scope, filter.status, window)
                }
                _ => {
                    let mut unlisted = by(sql::tasks::changed_at(backend), scope, filter.status, window);
                    unlisted.and_where(task::Column::ListedAt.is_null()).take()
                }
            };
            in_order(&mut listed, task::Column::ListedAt, window).limit(limit + 1);
            let mut both = Query::select();
            both.columns([Alias::new("id"), Alias::new(AT)]).from_subquery(listed, Alias::new("listed"));
            both.union(UnionType::All, unlisted);
            found.from_subquery(both, Alias::new("both"))
        }
    };
    in_order(&mut found, Alias::new(AT), window).limit(limit + 1).take()
}

/// The id and the time of the tasks in the window, by an expression for their time.
fn by(time: Expr, scope: &Scope, status: Option<TaskStatus>, window: &PageWindow<MomentKey>) -> SelectStatement {
    let mut query = Query::select();
    query.column(task::Column::Id).expr_as(time.clone(), Alias::new(AT)).from(task::Entity);
    if let Some(project) = scope.project() {
        query.and_where(task::Column::Project.eq(project));
    }
    if let Some(status) = status {
        query.and_where(task::Column::Status.eq(status.as_str()));
    }
    query.and_where_option(window.beyond(time, Expr::col(task::Column::Id))).take()
}

/// The same for the tasks whose rows lack events.
fn moved_tasks(scope: &Scope, status: Option<TaskStatus>, window: &PageWindow<MomentKey>) -> SelectStatement {
    let of_moved = |column: &'static str| Expr::col((Alias::new("moved"), Alias::new(column)));
    let time = Func::greatest([Expr::col(task::Column::ChangedAt), of_moved("at")]);
    let is_task = of_moved("task_id").equals(task::Column::Id.as_column_ref());
    let mut query = by(time.into(), scope, status, window);
    query.join_subquery(JoinType::InnerJoin, sql::tasks::moved(), Alias::new("moved"), is_task).take()
}

/// The same for the tasks below a task. All of them are read: no index has them by their time.
fn below(
    backend: DbBackend,
    parent: &TaskId,
    scope: &Scope,
    status: Option<TaskStatus>,
    window: &PageWindow<MomentKey>,
) -> SelectStatement {
    // Not a bare column, for which SQLite would take an index on the project or on the status.
    let plain = |column: task::Column| Expr::expr(Func::coalesce([Expr::col(column), Expr::val("")]));
    let mut query = by(sql::tasks::changed_at(backend), &Scope::All, None, window);
    query.and_where(task::Column::ParentTaskId.eq(parent.as_str()));
    query.and_where_option(scope.project().map(|project| plain(task::Column::Project).eq(project)));
    query.and_where_option(status.map(|status| plain(task::Column::Status).eq(status.as_str())));
    query.take()
}

fn in_order<'a>(
    query: &'a mut SelectStatement,
    time: impl sea_orm::sea_query::IntoColumnRef,
    window: &PageWindow<MomentKey>,
) -> &'a mut SelectStatement {
    query.order_by(time, window.order()).order_by(task::Column::Id, window.order())
}
