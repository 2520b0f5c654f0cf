//! Bookmarks: marked tasks and events.

crate::migration!(
    "m0005_bookmarks",
    "
create table bookmarks (
    id text primary key not null default ({fresh_id}) constraint id_is_a_uuid check ({is_id:id}),
    task_id text not null references tasks (id) on delete cascade,
    -- None: the task itself is marked.
    event_id text references events (id) on delete cascade,
    title text not null default '' constraint title_is_at_most_500_characters check (length(title) <= 500),
    note text constraint note_is_at_most_64_kib check (length(cast(note as blob)) <= 65536),
    created_at integer not null default ({now}),
    updated_at integer not null default ({now})
) strict;
create unique index bookmarks_task on bookmarks (task_id) where event_id is null;
create unique index bookmarks_event on bookmarks (event_id) where event_id is not null;
create index bookmarks_of_task on bookmarks (task_id, updated_at, id);
create index bookmarks_updated on bookmarks (updated_at, id);

create trigger bookmarks_fit before insert on bookmarks
when new.event_id is not null and not exists
    (select 1 from events where id = new.event_id and task_id = new.task_id) begin
    select raise(abort, 'a bookmark of an event names the task of that event');
end;

create trigger bookmarks_keep before insert on bookmarks
when exists (select 1 from bookmarks where id = new.id
    and (task_id is not new.task_id or event_id is not new.event_id)) begin
    select raise(abort, 'a bookmark keeps its id and what it marks');
end;

create trigger bookmarks_saved after insert on bookmarks begin
    insert into changes (kind, project, task_id, object_id)
        select 'bookmark.saved', project, id, new.id from tasks where id = new.task_id;
end;

create trigger bookmarks_stay before update of id, task_id, event_id on bookmarks
when new.id is not old.id or new.task_id is not old.task_id or new.event_id is not old.event_id begin
    select raise(abort, 'a bookmark keeps its id and what it marks');
end;

create trigger bookmarks_updated after update of title, note, created_at on bookmarks
when new.title is not old.title or new.note is not old.note or new.created_at is not old.created_at begin
    insert into changes (kind, project, task_id, object_id)
        select 'bookmark.saved', project, id, new.id from tasks where id = new.task_id;
    update bookmarks set updated_at = max({now}, updated_at + 1) where id = new.id;
end;

create trigger bookmarks_deleted after delete on bookmarks begin
    insert into changes (kind, project, task_id, object_id)
        select 'bookmark.deleted', project, id, old.id from tasks where id = old.task_id;
end;
"
);
