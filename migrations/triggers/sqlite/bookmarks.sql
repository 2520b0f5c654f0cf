-- The triggers of `bookmarks`: each change is logged. A bookmark keeps the row that it marks.

create trigger bookmarks_fit before insert on bookmarks
when new.event_id is not null and not exists
    (select 1 from events where id = new.event_id and task_id = new.task_id) begin
    select raise(abort, 'a bookmark of an event names the task of that event');
end;

create trigger bookmarks_keep before insert on bookmarks
when exists (select 1 from bookmarks where (id = new.id or rowid = new.rowid)
    and (id is not new.id or task_id is not new.task_id or event_id is not new.event_id)) begin
    select raise(abort, 'a bookmark keeps its id, its rowid and what it marks');
end;

-- The bookmark of the same task or event, which REPLACE would remove without a notice. See `events_fit`.
create trigger bookmarks_replacing before insert on bookmarks
when exists (select 1 from bookmarks where event_id = new.event_id and id is not new.id)
    or new.event_id is null and exists
        (select 1 from bookmarks where task_id = new.task_id and event_id is null and id is not new.id) begin
    delete from replaced where task_id = 'clause';
    insert into replaced (task_id, project, status, source, event_count) values ('clause', '', 'other', '', 0);
    insert or ignore into replaced (task_id, project, status, source, event_count)
        values ('clause', '', 'replace', '', 0);
    delete from bookmarks where task_id = new.task_id and event_id is new.event_id and id is not new.id
        and exists (select 1 from replaced where task_id = 'clause' and status = 'replace');
    delete from replaced where task_id = 'clause';
end;

create trigger bookmarks_saved after insert on bookmarks begin
    insert into changes (kind, project, task_id, object_id) values ('bookmark.saved',
        coalesce((select project from tasks where id = new.task_id), raise(abort, 'task_id: there is no such task')),
        new.task_id, new.id);
    -- The project that the writer brings is ignored.
    update bookmarks set project = (select project from tasks where id = new.task_id) where id = new.id;
end;

create trigger bookmarks_stay_in_the_project before update of project on bookmarks
when new.project is not (select project from tasks where id = new.task_id) begin
    select raise(abort, 'the project of a bookmark is kept by the database');
end;

create trigger bookmarks_move after update of project on tasks
when new.project is not old.project and exists (select 1 from bookmarks where task_id = new.id) begin
    update bookmarks set project = new.project where task_id = new.id;
end;

create trigger bookmarks_stay before update of id, task_id, event_id, rowid, _rowid_, oid on bookmarks
when new.id is not old.id or new.task_id is not old.task_id or new.event_id is not old.event_id
    or new.rowid is not old.rowid begin
    select raise(abort, 'a bookmark keeps its id, its rowid and what it marks');
end;

create trigger bookmarks_updated after update of title, note, created_at on bookmarks
when new.title is not old.title or new.note is not old.note or new.created_at is not old.created_at begin
    insert into changes (kind, project, task_id, object_id)
        select 'bookmark.saved', project, id, new.id from tasks where id = new.task_id;
    insert into settling (id) values (new.id);
    update bookmarks set updated_at =
        max(cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer), updated_at + 1) where id = new.id;
    delete from settling where id = new.id;
end;

create trigger bookmarks_deleted after delete on bookmarks begin
    insert into changes (kind, project, task_id, object_id)
        select 'bookmark.deleted', project, id, old.id from tasks where id = old.task_id;
end;
