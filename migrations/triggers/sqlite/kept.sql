-- The triggers of the columns that the database keeps, and of the ids of rows: they take back or refuse the changes for
-- which no trigger logs a notice. They run before the triggers of the files above, which then find the kept value.

-- A trigger that changes a kept column notes the row in `settling`.
create trigger tasks_keep_their_counters after update of event_count, changed_at, counted_to on tasks
when (new.event_count is not old.event_count or new.changed_at is not old.changed_at
        or new.counted_to is not old.counted_to)
    and not exists (select 1 from settling where id = new.id) begin
    insert into settling (id) values (new.id);
    update tasks set event_count = old.event_count, changed_at = old.changed_at, counted_to = old.counted_to
        where id = new.id;
    delete from settling where id = new.id;
end;

-- A task that changed has no place in the indexes of the lists until the server gives it one. So the next events of the
-- task write no page of these indexes. A task with events that its row does not contain has none either.
create trigger tasks_leave_the_lists after update of changed_at, listed_at on tasks
when new.listed_at is not null and (new.listed_at <> new.changed_at
    or exists (select 1 from events where task_id = new.id and position > new.counted_to)) begin
    update tasks set listed_at = null where id = new.id;
end;

create trigger tasks_begin_unlisted after insert on tasks when new.listed_at is not null begin
    update tasks set listed_at = null where id = new.id;
end;

-- A change in the future would keep the task at the top of the list until then.
create trigger tasks_change_by_now after insert on tasks
when new.changed_at > cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer) begin
    insert into settling (id) values (new.id);
    update tasks set changed_at = cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)
        where id = new.id;
    delete from settling where id = new.id;
end;

create trigger events_keep_their_update after update of updated_at on events
when new.updated_at is not old.updated_at and not exists (select 1 from settling where id = new.id) begin
    insert into settling (id) values (new.id);
    update events set updated_at = old.updated_at where position = new.position;
    delete from settling where id = new.id;
end;

create trigger bookmarks_keep_their_update after update of updated_at on bookmarks
when new.updated_at is not old.updated_at and not exists (select 1 from settling where id = new.id) begin
    insert into settling (id) values (new.id);
    update bookmarks set updated_at = old.updated_at where id = new.id;
    delete from settling where id = new.id;
end;

create trigger bookmarks_change_by_now after insert on bookmarks
when new.updated_at > cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer) begin
    insert into settling (id) values (new.id);
    update bookmarks set updated_at = cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)
        where id = new.id;
    delete from settling where id = new.id;
end;

-- REPLACE with a rowid would remove another row, and fire no trigger for it. SQLite gives -1 in a trigger before the
-- insert for a row without a rowid of its own, so rows with such numbers are refused. The triggers `sessions_fit` and
-- `bookmarks_keep` do the rest for their tables.

create trigger tasks_leave_other_rows before insert on tasks
when exists (select 1 from tasks where rowid = new.rowid and id is not new.id) begin
    select raise(abort, 'rowid: another task has it');
end;

create trigger tasks_have_a_rowid after insert on tasks when new.rowid < 1 begin
    select raise(abort, 'rowid: it is at least 1');
end;

create trigger sessions_have_a_rowid after insert on sessions when new.rowid < 1 begin
    select raise(abort, 'rowid: it is at least 1');
end;

create trigger bookmarks_have_a_rowid after insert on bookmarks when new.rowid < 1 begin
    select raise(abort, 'rowid: it is at least 1');
end;

-- There can be bookmarks already: of a row that this task replaced.
create trigger tasks_bookmarks_found after insert on tasks
when exists (select 1 from bookmarks where task_id = new.id) begin
    insert into changes (kind, project, task_id, object_id)
        select 'bookmark.saved', tasks.project, new.id, bookmarks.id
        from bookmarks join tasks on tasks.id = bookmarks.task_id where bookmarks.task_id = new.id;
    update bookmarks set project = (select project from tasks where id = new.id) where task_id = new.id;
end;

-- The rows of a deleted task with this id that the server did not delete yet.
create trigger tasks_return before insert on tasks
when exists (select 1 from leaving where task_id = new.id) begin
    delete from bookmarks where task_id = new.id;
    delete from events where task_id = new.id;
    delete from sessions where task_id = new.id;
    delete from usage where task_id = new.id;
    delete from leaving where task_id = new.id;
end;
