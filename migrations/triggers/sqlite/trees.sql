-- The triggers of trees of tasks. A tree has one project, so that a screen of a project hears of each change that it
-- shows, and no task of another project. These triggers run after those of `tasks.sql`, which log the row itself.
--
-- While `tree_roots` has a row, a trigger moves or deletes a tree. The triggers of the tasks below do not begin again
-- then: so the work grows with the size of the tree, and no trigger nests with its depth.
--
-- A trigger refuses a conflict before it moves a row: with `UPDATE OR IGNORE` SQLite would leave that row where it is.

-- An insert that names no project cannot be told from one that names the empty project.
create trigger tasks_begin_in_the_project_above after insert on tasks when new.parent_task_id is not null begin
    select raise(abort, 'parent_task_id: there is no such task')
        where not exists (select 1 from tasks where id = new.parent_task_id);
    select raise(abort, 'project: a task below another task has the project of that task')
        from tasks where id = new.parent_task_id and project <> new.project and new.project <> '';
    select raise(abort, 'external_id: another task of the project of the task above has it')
        from tasks above join tasks other on other.project = above.project and other.source = new.source
            and other.external_id = new.external_id and other.id <> new.id
        where above.id = new.parent_task_id and new.external_id is not null;
    update tasks set project = (select project from tasks where id = new.parent_task_id)
        where id = new.id and project <> (select project from tasks where id = new.parent_task_id);
end;

create trigger tasks_stay_in_the_project_above after update of project, parent_task_id on tasks
when new.parent_task_id is not null
    and (new.project is not old.project or new.parent_task_id is not old.parent_task_id)
    and not exists (select 1 from tree_roots) begin
    select raise(abort, 'parent_task_id: there is no such task')
        where new.parent_task_id is not old.parent_task_id
            and not exists (select 1 from tasks where id = new.parent_task_id);
    select raise(abort, 'project: a task below another task has the project of that task; move only the tasks without a parent_task_id')
        from tasks where id = new.parent_task_id and project <> new.project;
end;

create trigger tasks_below_move after update of project on tasks
when new.project is not old.project and not exists (select 1 from tree_roots)
    and exists (select 1 from tasks where parent_task_id = new.id and project <> new.project) begin
    insert into tree_roots (id) values (new.id);
    select raise(abort, 'external_id: another task of the project has that of a task below')
        from task_tree join tasks below on below.id = task_tree.id join tasks other on other.project = new.project
            and other.source = below.source and other.external_id = below.external_id and other.id <> below.id
        where below.project <> new.project;
    update tasks set project = new.project where id in (select id from task_tree) and project <> new.project;
    delete from tree_roots;
end;

-- The tasks below a task that was replaced with another project.
create trigger tasks_below_follow after insert on tasks
when exists (select 1 from tasks where parent_task_id = new.id and project <> new.project) begin
    insert into tree_roots (id) values (new.id);
    select raise(abort, 'external_id: another task of the project has that of a task below')
        from task_tree join tasks below on below.id = task_tree.id join tasks other on other.project = new.project
            and other.source = below.source and other.external_id = below.external_id and other.id <> below.id
        where below.project <> new.project;
    update tasks set project = (select project from tasks where id = new.id)
        where id in (select id from task_tree) and project <> (select project from tasks where id = new.id);
    delete from tree_roots;
end;
