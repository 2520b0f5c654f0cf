//! The rows that a caller can name: the tasks of the projects in its scope, and the rows of these tasks.
//!
//! Every verb and every read that takes an id looks for the row here. So a row of another project is not found, exactly
//! as a row of a deleted task and a row that never existed, and the three are answered alike.

use requery_entities::task;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Select};

use crate::server::access::scope::Scope;

/// The task with this id, if it is in `scope`.
pub fn task(scope: &Scope, id: &str) -> Select<task::Entity> {
    let found = task::Entity::find_by_id(id);
    match scope.project() {
        Some(project) => found.filter(task::Column::Project.eq(project)),
        None => found,
    }
}

/// The rows of `found` whose column `task_id` names a task in `scope`.
pub fn of_tasks<E: EntityTrait>(scope: &Scope, found: Select<E>, task_id: E::Column) -> Select<E> {
    let mut tasks = Query::select();
    tasks.expr(Expr::val(1)).from(task::Entity);
    tasks.and_where(Expr::col(task::Column::Id.as_column_ref()).equals(task_id.as_column_ref()));
    if let Some(project) = scope.project() {
        tasks.and_where(task::Column::Project.eq(project));
    }
    found.filter(Expr::exists(tasks))
}
