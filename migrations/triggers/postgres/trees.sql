-- The trees of tasks. A tree has one project, so that a screen of a project hears of each change that it shows, and no task
-- of another project.
--
-- `offset 0` keeps the steps of a walk through a tree on the index: Postgres cannot know how few tasks a step finds, and
-- would read the whole table in each.

-- The work for tasks that have another project or another parent, after the change.
create function place_tasks(ids text[], projects text[], parents text[], old_projects text[], old_parents text[])
    returns void language plpgsql as $$
declare
    moved text[];
    moved_to text[];
begin
    -- A move waits for other transactions and then looks for the tasks that they put below. A snapshot from before the wait
    -- does not show these, so they would stay in the old project, or two moves would make a circle. No repetition helps, so
    -- this is no serialization failure.
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
        perform refuse(it.name || ': move a task in a transaction with the isolation read committed', it.name)
            from (select case when projects = old_projects then 'parent_task_id' else 'project' end) it (name);
    end if;
    -- Two transactions that put two tasks below each other would make a circle: so one waits for the other.
    if exists (select 1 from unnest(parents, old_parents) it (parent, old_parent)
        where it.parent is distinct from it.old_parent and it.parent is not null)
    then
        perform pg_advisory_xact_lock(hashtextextended('requery trees of {schema}', 0));
        perform refuse('parent_task_id: there is no such task', 'parent_task_id')
            from unnest(parents, old_parents) it (parent, old_parent)
            where it.parent is distinct from it.old_parent and it.parent is not null
                and (select id from tasks where id = it.parent for key share) is null;
        -- The work grows with the depth of the new parent.
        perform refuse('parent_task_id: a task cannot be below itself', 'parent_task_id') where exists (
            with recursive above (start, id) as (
                select it.id collate "C", it.parent collate "C" from unnest(ids, parents, old_parents) it (id, parent, old_parent)
                where it.parent is distinct from it.old_parent and it.parent is not null
                union
                select above.start, next.parent_task_id from above cross join lateral
                    (select tasks.parent_task_id from tasks where tasks.id = above.id offset 0) next
                where next.parent_task_id is not null
            )
            select 1 from above where start = id
        );
    end if;
    perform refuse('project: a task below another task has the project of that task; move tasks without a parent',
            'project')
        from unnest(projects, parents) it (project, parent)
        where it.parent is not null and (select project from tasks where id = it.parent for key share) <> it.project;
    -- A move to another project changes the bookmarks and the running agents of both projects.
    insert into changes (kind, project, task_id, object_id)
        select 'bookmark.saved', side.project, it.id, bookmarks.id
        from unnest(ids, projects, old_projects) it (id, project, old_project)
        join bookmarks on bookmarks.task_id = it.id
        cross join lateral (values (it.old_project), (it.project)) side (project)
        where it.project <> it.old_project;
    insert into changes (kind, project, object_id)
        select 'agent.changed', found.project, found.source from (
            select distinct it.id, side.project, sessions.source
            from unnest(ids, projects, old_projects) it (id, project, old_project)
            join sessions on sessions.task_id = it.id
            cross join lateral (values (it.old_project), (it.project)) side (project)
            where it.project <> it.old_project and sessions.status = 'running'
                and exists (select 1 from agents where agents.source = sessions.source)
        ) found;
    update bookmarks set project = it.project from unnest(ids, projects) it (id, project)
        where bookmarks.task_id = it.id and bookmarks.project is distinct from it.project;
    update usage set project = it.project from unnest(ids, projects) it (id, project)
        where usage.task_id = it.id and usage.project is distinct from it.project;
    -- The trees follow their roots.
    with recursive below (id, project) as (
        select tasks.id, it.project from unnest(ids, projects, old_projects) it (id, project, old_project)
        join tasks on tasks.parent_task_id = it.id where it.project <> it.old_project
        union
        select next.id, below.project from below cross join lateral
            (select tasks.id from tasks where tasks.parent_task_id = below.id offset 0) next
    )
    select array_agg(below.id), array_agg(below.project) into moved, moved_to
        from below join tasks on tasks.id = below.id where tasks.project <> below.project;
    if moved is null then
        return;
    end if;
    perform refuse('external_id: another task of the project has that of a task below', 'external_id')
        from unnest(moved, moved_to) it (id, project) join tasks on tasks.id = it.id
        join tasks other on other.source = tasks.source and other.external_id = tasks.external_id
            and other.project = it.project and other.id <> tasks.id;
    -- This update fires the trigger again, once for all tasks below.
    update tasks set project = it.project from unnest(moved, moved_to) it (id, project) where tasks.id = it.id;
end
$$;
