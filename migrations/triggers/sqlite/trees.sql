-- The triggers of trees of tasks. A tree has one project, so that a screen of a project hears of each change that it
-- shows, and no task of another project. These triggers run after those of `tasks.sql`, which log the row itself.
--
-- While `tree_roots` has a row, a trigger moves or deletes a tree. The triggers of the tasks below do not begin again
-- then: so the work grows with the size of the tree, and no trigger nests with its depth.

create trigger tasks_stay_in_the_project_above after update of project, parent_task_id on tasks
when new.parent_task_id is not null
    and (new.project is not old.project or new.parent_task_id is not old.parent_task_id)
    and not exists (select 1 from tree_roots) begin
    select raise(abort, 'parent_task_id: there is no such task')
        where new.parent_task_id is not old.parent_task_id
            and not exists (select 1 from tasks where id = new.parent_task_id);
    -- The work grows with the depth of the new parent.
    select raise(abort, 'parent_task_id: a task cannot be below itself')
        where new.parent_task_id is not old.parent_task_id and new.id in (
            with recursive above (id) as (
                select new.parent_task_id
                union
                select tasks.parent_task_id from above join tasks on tasks.id = above.id
            )
            select id from above
        );
    select raise(abort, 'project: a task below another task has the project of that task; move tasks without a parent')
        from tasks where id = new.parent_task_id and project <> new.project;
end;

create trigger tasks_below_move after update of project on tasks
when new.project is not old.project and not exists (select 1 from tree_roots)
    and exists (select 1 from tasks where parent_task_id = new.id and project <> new.project) begin
    insert into tree_roots (id) values (new.id);
end;

-- The tasks below a task that was replaced with another project.
create trigger tasks_below_follow after insert on tasks
when exists (select 1 from tasks where parent_task_id = new.id
    and project <> (select project from tasks where id = new.id)) begin
    insert into tree_roots (id) values (new.id);
end;

-- A root that was deleted moves no tree.
create trigger trees_follow_their_root after insert on tree_roots
when exists (select 1 from tasks where id = new.id) begin
    -- A conflict is refused before a row moves: with `UPDATE OR IGNORE` SQLite would leave that row where it is.
    select raise(abort, 'external_id: another task of the project has that of a task below')
        from tasks root join task_tree join tasks below on below.id = task_tree.id
            join tasks other on other.project = root.project and other.source = below.source
            and other.external_id = below.external_id and other.id <> below.id
        where root.id = new.id and below.project <> root.project;
    update tasks set project = (select project from tasks where id = new.id)
        where id in (select id from task_tree) and project <> (select project from tasks where id = new.id);
    delete from tree_roots;
end;
