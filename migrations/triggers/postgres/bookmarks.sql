-- The triggers of `bookmarks`: each change is logged. A bookmark keeps the row that it marks.

create function begin_bookmark() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if new.event_id is not null
        and not exists (select 1 from events where id = new.event_id and task_id = new.task_id)
    then
        perform refuse('a bookmark of an event names the task of that event', 'event_id');
    end if;
    if exists (select 1 from bookmarks where id = new.id
        and (task_id, event_id) is distinct from (new.task_id, new.event_id))
    then
        perform refuse('a bookmark keeps its id, its rowid and what it marks', 'id');
    end if;
    -- The project that the writer brings is ignored.
    new.project := (select project from tasks where id = new.task_id for key share);
    if new.project is null then
        perform refuse('task_id: there is no such task', 'task_id');
    end if;
    new.updated_at := least(new.updated_at, now_ms());
    return new;
end
$$;
create trigger bookmarks_begin before insert on bookmarks for each row execute function begin_bookmark();

create function keep_bookmark() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if (new.id, new.task_id, new.event_id) is distinct from (old.id, old.task_id, old.event_id) then
        perform refuse('a bookmark keeps its id, its rowid and what it marks', 'id');
    end if;
    if new.project is distinct from old.project
        and new.project is distinct from (select project from tasks where id = new.task_id)
    then
        perform refuse('the project of a bookmark is kept by the database', 'project');
    end if;
    if (new.title, new.note, new.created_at) is distinct from (old.title, old.note, old.created_at) then
        new.updated_at := greatest(now_ms(), old.updated_at + 1);
    else
        new.updated_at := old.updated_at;
    end if;
    return new;
end
$$;
create trigger bookmarks_keep before update on bookmarks for each row execute function keep_bookmark();

create function log_new_bookmarks() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, task_id, object_id)
        select 'bookmark.saved', project, task_id, id from new_rows;
    return null;
end
$$;
create trigger bookmarks_saved after insert on bookmarks referencing new table as new_rows
    for each statement execute function log_new_bookmarks();

create function log_changed_bookmarks() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    -- A full join is never a loop in a loop, see `log_changed_tasks`.
    with it as materialized (
        select n.id, n.task_id from old_rows o full join new_rows n on n.id = o.id
        where (n.title, n.note, n.created_at) is distinct from (o.title, o.note, o.created_at)
    )
    insert into changes (kind, project, task_id, object_id)
        select 'bookmark.saved', tasks.project, tasks.id, it.id
        from it join tasks on tasks.id = it.task_id for key share of tasks;
    return null;
end
$$;
create trigger bookmarks_updated after update on bookmarks
    referencing old table as old_rows new table as new_rows
    for each statement execute function log_changed_bookmarks();

-- Of a bookmark that goes with its task no change is logged. A bookmark of a deleted event goes with the event.
create function log_deleted_bookmarks() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, task_id, object_id)
        select 'bookmark.deleted', tasks.project, tasks.id, o.id
        from old_rows o join tasks on tasks.id = o.task_id for key share of tasks;
    return null;
end
$$;
create trigger bookmarks_deleted after delete on bookmarks referencing old table as old_rows
    for each statement execute function log_deleted_bookmarks();
