-- The triggers of the parent of a new task. They are made last, so they run before all other triggers of the insert:
-- these find the task in the project of its parent, and announce it there alone.

-- An insert that names no project cannot be told from one that names the empty project.
create trigger tasks_take_the_project_above after insert on tasks
when new.parent_task_id is not null and new.project = ''
    and (select project from tasks where id = new.parent_task_id) <> '' begin
    -- While `settling` has the task, its move is neither logged nor counted.
    insert into settling (id) values (new.id);
    update tasks set project = (select project from tasks where id = new.parent_task_id) where id = new.id;
    delete from settling where id = new.id;
end;

-- Runs before the trigger above, which relies on these checks.
create trigger tasks_begin_in_the_project_above after insert on tasks when new.parent_task_id is not null begin
    select raise(abort, 'parent_task_id: there is no such task')
        where not exists (select 1 from tasks where id = new.parent_task_id);
    -- A new task has tasks below it if it is its own parent, or if it replaced a row.
    select raise(abort, 'parent_task_id: a task cannot be below itself')
        where exists (select 1 from tasks where parent_task_id = new.id) and new.id in (
            with recursive above (id) as (
                select new.parent_task_id
                union
                select tasks.parent_task_id from above join tasks on tasks.id = above.id
            )
            select id from above
        );
    select raise(abort, 'project: a task below another task has the project of that task')
        from tasks where id = new.parent_task_id and project <> new.project and new.project <> '';
    select raise(abort, 'external_id: another task of the project of the task above has it')
        from tasks above join tasks other on other.project = above.project and other.source = new.source
            and other.external_id = new.external_id and other.id <> new.id
        where above.id = new.parent_task_id and new.external_id is not null;
end;
