//! The change log, and what it is read with.

crate::migration!(
    "m0001_change_log",
    "
-- One row for each change that someone may have on a screen. AUTOINCREMENT: an id is never given twice, not even after
-- the newest rows were pruned. The floor of the log, from which on it is whole, is its smallest id.
create table changes (
    id integer primary key autoincrement,
    kind text not null,
    project text not null,
    task_id text,
    parent_task_id text,
    -- The session, event or bookmark.
    object_id text,
    -- What a completed task became.
    status text,
    -- How many tasks were purged.
    count integer,
    at integer not null default ({now})
) strict;

-- Each start of a server opens a run; its token is the epoch of the cursors minted in it. `begins` is the smallest
-- change id the run can have given, so a cursor of an earlier run continues if it does not reach beyond it.
create table runs (
    id integer primary key autoincrement,
    token text not null unique,
    begins integer not null,
    started_at integer not null default ({now})
) strict;

-- Counts, so that the overview need not scan. Kept up by the triggers:
--   tasks.<status>, source.<source>: tasks.
-- Folded from the log by the server, up to `folded.next`; a reader adds what the log has from there on:
--   events: events ever logged on the tasks there are; hour.<hours since 1970>: events logged in that hour.
create table figures (
    project text not null,
    figure text not null,
    value integer not null,
    primary key (project, figure)
) strict, without rowid;

-- The first change that is not in the figures yet.
create table folded (next integer not null) strict;
insert into folded (next) values (1);

-- Deliveries of hooks that were taken, so that the same one sent again is not taken twice.
create table deliveries (
    id text primary key not null,
    at integer not null default ({now})
) strict, without rowid;
create index deliveries_at on deliveries (at);

-- Rows to which their own trigger is putting the last touches. Where recursive triggers are on that fires it again, and
-- it is no news of its own.
create table settling (id text primary key not null) strict, without rowid;

-- Tasks that a purge is about to delete: their deletions are silent, the purge itself is told once for each project.
create table purging (task_id text primary key not null) strict, without rowid;

create table purges (
    id integer primary key,
    project text not null,
    count integer not null,
    at integer not null default ({now})
) strict;

create trigger purges_logged after insert on purges when new.count > 0 begin
    insert into changes (kind, project, count) values ('tasks.purged', new.project, new.count);
end;
"
);
