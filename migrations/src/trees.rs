//! Trees of tasks that break a rule of the triggers: a task that is below itself, and a tree with two projects.
//!
//! Writes that fired no trigger made them, or a version before the rule. Here they are put right while there are no
//! triggers. The rows that were changed are noted in `repairs`, so that the log names them.

use sea_orm::{ConnectionTrait, DbErr};

use crate::rows;

/// Finds the tasks in a circle and below one: the tasks below another one that no task at the top leads to.
const FIND_CIRCLES: &str = "
create temp table if not exists repairs (what text not null, rows integer not null);
create temp table cut (id text primary key not null) without rowid;
create temp table circled (id text primary key not null) without rowid;
insert into temp.circled (id)
    with recursive tree (id) as (
        select id from main.tasks where parent_task_id is not null and not exists (
            select 1 from main.tasks above where above.id = tasks.parent_task_id and above.parent_task_id is not null)
        union all
        select tasks.id from tree join main.tasks on tasks.parent_task_id = tree.id
    )
    select id from main.tasks where parent_task_id is not null and id not in (select id from tree);
";

/// Opens one circle. The oldest task of the circle, which has the smallest id, gets to the top of its tree. The walk up
/// from any task ends with a task of the circle.
const CUT_ONE: &str = "
create temp table walk as
    with recursive above (id) as (
        select min(id) from temp.circled
        union
        select tasks.parent_task_id from above join main.tasks on tasks.id = above.id
    )
    select id from above;
create temp table top as
    with recursive circle (id) as (
        select id from temp.walk where rowid = (select max(rowid) from temp.walk)
        union
        select tasks.parent_task_id from circle join main.tasks on tasks.id = circle.id
    )
    select min(id) as id from circle;
update tasks set parent_task_id = null where id in (select id from temp.top);
delete from temp.circled where id in (
    with recursive tree (id) as (
        select id from temp.top
        union all
        select tasks.id from tree join main.tasks on tasks.parent_task_id = tree.id
    )
    select id from tree);
insert into temp.cut (id) select id from temp.top;
drop table temp.walk;
drop table temp.top;
";

/// Gives each tree the project of the task at its top. A task that meets another one of the same source and external id
/// there loses its external id: hooks go on with the other task.
const MOVE: &str = "
create temp table moved (id text primary key not null, project text not null, external_id text) without rowid;
insert into temp.moved (id, project, external_id)
    with recursive tree (id, project) as (
        select id, project from main.tasks
        where id in (select parent_task_id from main.tasks where parent_task_id is not null) and (parent_task_id is null
            or not exists (select 1 from main.tasks above where above.id = tasks.parent_task_id))
        union all
        select tasks.id, tree.project from tree join main.tasks on tasks.parent_task_id = tree.id
    )
    select tree.id, tree.project, tasks.external_id
    from tree join main.tasks on tasks.id = tree.id where tasks.project <> tree.project;
update tasks set project = moved.project, external_id = null from temp.moved as moved where tasks.id = moved.id;
update or ignore tasks set external_id = moved.external_id from temp.moved as moved where tasks.id = moved.id;
";

/// Notes the changes. A line of the log has the ids of a few tasks.
const NOTE: &str = "
insert into temp.repairs (what, rows)
    select 'a task was below itself, and is at the top of its tree now: '
        || (select group_concat(id, ', ') from (select id from temp.cut order by id limit 10)), count(*)
    from temp.cut having count(*) > 0;
insert into temp.repairs (what, rows)
    select 'the project of a task was not that of the task above it: '
        || (select group_concat(id, ', ') from (select id from temp.moved order by id limit 10)), count(*)
    from temp.moved having count(*) > 0;
create temp table nameless as
    select tasks.id from temp.moved as moved join main.tasks on tasks.id = moved.id
    where moved.external_id is not null and tasks.external_id is null;
insert into temp.repairs (what, rows)
    select 'another task of the project had the source and the external_id of a task, which lost its external_id: '
        || (select group_concat(id, ', ') from (select id from temp.nameless order by id limit 10)), count(*)
    from temp.nameless having count(*) > 0;
";

const FORGET: &str = "
drop table temp.circled;
drop table temp.cut;
drop table temp.moved;
drop table temp.nameless;
";

/// Puts all trees right. Returns whether a row was changed. The work grows with the number of tasks, and not with the
/// length of a circle.
pub(crate) async fn put_right(tx: &impl ConnectionTrait) -> Result<bool, DbErr> {
    tx.execute_unprepared(FIND_CIRCLES).await?;
    // Each step takes the tasks of its circle and the tasks below from the table.
    while has_rows(tx, "temp.circled").await? {
        tx.execute_unprepared(CUT_ONE).await?;
    }
    tx.execute_unprepared(MOVE).await?;
    tx.execute_unprepared(NOTE).await?;
    let changed = has_rows(tx, "temp.cut").await? || has_rows(tx, "temp.moved").await?;
    tx.execute_unprepared(FORGET).await?;
    Ok(changed)
}

async fn has_rows(tx: &impl ConnectionTrait, table: &str) -> Result<bool, DbErr> {
    Ok(!rows::texts(tx, &format!("select '' from {table} limit 1")).await?.is_empty())
}
