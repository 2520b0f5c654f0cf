-- The triggers of `events`: each change is logged, and the task keeps a count of the events ever logged on it.
--
-- An event is counted into the row of its task later, and readers add it until then, as the view `task_counts` does. So
-- a transaction of one event does not write the page of the task.

-- One trigger for all of this, because each one costs the writer of an event some 2 % more.
create trigger events_fit before insert on events
when new.position not between -1 and 1000000000000 or new.position = 0
    or exists (select 1 from events where id = new.id)
    or new.position > 0 and exists (select 1 from events where position = new.position
        and (id is not new.id or task_id is not new.task_id))
    or new.external_id is not null and exists (select 1 from events
        where task_id = new.task_id and external_id = new.external_id and id is not new.id) begin
    -- The next event gets the place after the greatest one, so a writer must not use up the places. SQLite gives -1 here
    -- for a place that the writer leaves to the database.
    select raise(abort, 'position: it is 1 to 1000000000000')
        where new.position not between -1 and 1000000000000 or new.position = 0;
    select raise(abort, 'an event keeps its id, its task and its position')
        where exists (select 1 from events where id = new.id and task_id is not new.task_id)
            or new.position > 0 and exists (select 1 from events where position = new.position
                and (id is not new.id or task_id is not new.task_id));
    update tasks set counted_to = counted_to where id = new.task_id
        and exists (select 1 from events where task_id = new.task_id and position > tasks.counted_to);
    -- REPLACE removes the row with this id, and `events_logged` tells only of the new one. A reader has to learn that an
    -- event of the old kind and family is gone. REPLACE fires no delete trigger for a row with this external id either,
    -- so that row is deleted before. A statement within a trigger has the conflict clause of the statement that fired the
    -- trigger: so REPLACE, and no other clause, changes the note with the id `clause`.
    delete from replaced where task_id = 'clause';
    insert into replaced (task_id, project, status, source, event_count) values ('clause', '', 'other', '', 0);
    insert or ignore into replaced (task_id, project, status, source, event_count)
        values ('clause', '', 'replace', '', 0);
    insert into changes (kind, project, task_id, object_id, event_class)
        select 'event.updated', tasks.project, tasks.id, events.id,
            events.kind || '/' || ifnull(events.family, '') || '/' || ifnull(events.lane, '')
        from events join tasks on tasks.id = events.task_id
        where events.id = new.id and exists (select 1 from replaced where task_id = 'clause' and status = 'replace');
    delete from events where task_id = new.task_id and external_id = new.external_id and id is not new.id
        and exists (select 1 from replaced where task_id = 'clause' and status = 'replace');
    delete from replaced where task_id = 'clause';
end;

create trigger events_logged after insert on events begin
    -- Not a check of the table, because a program that trusts no schema cannot read a table with `json_type` in it.
    select raise(abort, 'metadata_is_a_json_object')
        where new.metadata is not null and (select type from json_tree(new.metadata) limit 1) <> 'object';
    insert into changes (kind, project, task_id, object_id, happened_at, event_class) values ('event.logged',
        coalesce((select project from tasks where id = new.task_id), raise(abort, 'task_id: there is no such task')),
        new.task_id, new.id, new.created_at,
        new.kind || '/' || ifnull(new.family, '') || '/' || ifnull(new.lane, ''));
    -- The server adds the events to the figures later, from the log: to do it here would cost each writer more than the
    -- event itself.
end;

-- The events of the task are counted now: for a task with a place in the lists, which may not keep that place, and for
-- every 32nd event, so that a reader adds few. By chance, because tasks that take turns would meet each fixed rhythm. An
-- event in the future would move with the clock, and one that is not behind the counted ones would not be added.
create trigger events_counted after insert on events
when random() & 31 = 0
    or (select listed_at is not null or counted_to >= new.position from tasks where id = new.task_id)
    or new.created_at > cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer) begin
    insert into settling (id) values (new.task_id);
    update tasks set
        event_count = event_count + (counted_to >= new.position)
            + (select count(*) from events where task_id = new.task_id and position > counted_to),
        changed_at = max(changed_at,
            min(new.created_at, cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)),
            coalesce((select max(created_at) from events
                where task_id = new.task_id and position > counted_to and position <> new.position), 0)),
        counted_to = (select max(position) from events where task_id = new.task_id)
        where id = new.task_id;
    delete from settling where id = new.task_id;
end;

-- An event that goes, or gets another time, is counted before. See `tasks_are_counted`.

create trigger events_go_counted before delete on events
when (select counted_to < old.position from tasks where id = old.task_id) begin
    update tasks set counted_to = counted_to where id = old.task_id;
end;

create trigger events_move_counted before update of created_at on events
when new.created_at is not old.created_at
    and (select counted_to < old.position from tasks where id = old.task_id) begin
    update tasks set counted_to = counted_to where id = old.task_id;
end;

-- As the second part of `events_fit`, for an event that takes the external id of another one.
create trigger events_taking before update of external_id on events
when new.external_id is not null and new.external_id is not old.external_id and exists (select 1 from events
    where task_id = old.task_id and external_id = new.external_id) begin
    delete from replaced where task_id = 'clause';
    insert into replaced (task_id, project, status, source, event_count) values ('clause', '', 'other', '', 0);
    insert or ignore into replaced (task_id, project, status, source, event_count)
        values ('clause', '', 'replace', '', 0);
    delete from events where task_id = old.task_id and external_id = new.external_id
        and exists (select 1 from replaced where task_id = 'clause' and status = 'replace');
    delete from replaced where task_id = 'clause';
end;

create trigger events_metadata_changed before update of metadata on events when new.metadata is not old.metadata begin
    select raise(abort, 'metadata_is_a_json_object')
        where new.metadata is not null and (select type from json_tree(new.metadata) limit 1) <> 'object';
end;

create trigger events_stay before update of id, task_id, position, rowid, _rowid_, oid on events
when new.id is not old.id or new.task_id is not old.task_id or new.position is not old.position begin
    select raise(abort, 'an event keeps its id, its task and its position');
end;

create trigger events_updated after update of
    session_id, kind, family, lane, state, title, body, metadata, truncated, external_id, created_at on events
when new.session_id is not old.session_id or new.kind is not old.kind or new.family is not old.family
    or new.lane is not old.lane or new.state is not old.state or new.title is not old.title
    or new.body is not old.body or new.metadata is not old.metadata or new.truncated is not old.truncated
    or new.external_id is not old.external_id or new.created_at is not old.created_at begin
    insert into changes (kind, project, task_id, object_id, event_class)
        select 'event.updated', project, id, new.id,
            new.kind || '/' || ifnull(new.family, '') || '/' || ifnull(new.lane, '')
            || iif(new.kind is old.kind and new.family is old.family and new.lane is old.lane, '',
                ' ' || old.kind || '/' || ifnull(old.family, '') || '/' || ifnull(old.lane, ''))
        from tasks where id = new.task_id;
    insert into settling (id) values (new.id);
    update events set updated_at = cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)
        where position = new.position;
    delete from settling where id = new.id;
end;

-- The bookmarks of a deleted task go with their task.
create trigger events_deleted after delete on events when exists (select 1 from tasks where id = old.task_id) begin
    delete from bookmarks where event_id = old.id;
    insert into changes (kind, project, task_id, object_id, event_class)
        select 'event.updated', project, id, old.id,
            old.kind || '/' || ifnull(old.family, '') || '/' || ifnull(old.lane, '')
        from tasks where id = old.task_id;
end;
