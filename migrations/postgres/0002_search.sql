-- The index of the words.

-- The words of tasks, events and bookmarks, folded by the server, with their places in the title and the text. The
-- words that begin with a slash are the project (`/p…`), the task (`/t…`) and the sections of the id (`/0:…` to
-- `/4:…`), so that a search in a rare project, and one for the newest documents, need not collect all documents with a
-- frequent word.
create table search_index (
    id bigint primary key,
    words tsvector not null
);
-- A search looks through the whole list of pending words, so that list stays short.
create index search_index_words on search_index using gin (words) with (gin_pending_list_limit = 512);
-- The queries of the server use the index whatever the frequencies are, and to count them costs a lot.
alter table search_index alter column words set statistics 0;

-- The place in the log of the last change of a transaction that was followed in part, as `<xid>:<id>`. The position
-- `next` does not contain that transaction.
alter table searched add column partly text collate "C"
    constraint partly_is_a_place check (partly ~ '^[0-9]+:[0-9]+$');
