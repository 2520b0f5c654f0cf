//! What search is answered from.

crate::migration!(
    "m0006_search",
    "
-- Fed by the server from the change log, never by a trigger: whoever writes does not wait for it, cannot fail for it,
-- and need not know how to tokenize. Everything here can be made again from the other tables.

-- The words of tasks, events and bookmarks, as the server folds them: here they are only split at spaces. It holds no
-- text, so a row's words are not stored twice; what is shown comes from the row itself. `scope` has the project and the
-- task as one word each, so that a rare project is found without looking at what is common everywhere.
create virtual table search_index using fts5 (
    title, text, scope, content = '', contentless_delete = 1, tokenize = 'ascii'
);
-- Merging is asked for in small steps: by itself it would now and then hold the write lock for hundreds of ms.
insert into search_index (search_index, rank) values ('automerge', 0);
insert into search_index (search_index, rank) values ('crisismerge', 1000);
-- Sixteen segments are merged at once, not four: each page is written anew half as often, so that merging keeps up while
-- an index is built and what is asked need not be looked up in hundreds of segments.
insert into search_index (search_index, rank) values ('usermerge', 16);

-- The words of the index, in their order: what begins with `th` is asked for as the few words that do. The index by
-- itself would put together all places of all of them, however few are wanted; with a list of beginnings it would be
-- two and a half times as large and as slow to write.
create virtual table search_words using fts5vocab (search_index, instance);

-- The tasks that have documents; `project` is the one their documents are found under.
create table search_tasks (
    number integer primary key,
    task_id text not null unique,
    project text not null
) strict;

-- What `rowid` of the index stands for; the higher, the newer. An event has a position, a bookmark its id, the task
-- itself has neither.
create table search_documents (
    id integer primary key,
    task integer not null,
    position integer,
    bookmark_id text,
    -- Of what was indexed: a row that changed in no word is left alone.
    fingerprint integer not null
) strict;
create unique index search_documents_task on search_documents (task, position, bookmark_id);
create unique index search_documents_bookmark on search_documents (bookmark_id) where bookmark_id is not null;

create table searched (
    -- The first change that is not in the index yet; 0: it was never built.
    next integer not null,
    -- The id that the next new document gets.
    document integer not null,
    -- While all rows are walked, to build the index or to mend it: which of them now, behind which, and the id that the
    -- next one gets, downwards.
    stage text check (stage in ('tasks', 'bookmarks', 'events', 'gone')),
    stage_at text,
    stage_document integer
) strict;
insert into searched (next, document) values (0, 1);
"
);
