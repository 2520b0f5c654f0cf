//! Which words search knows, and how its index is merged.

crate::migration!(
    "m0009_search_words",
    "
-- The words of the index, in their order: what begins with `th` is asked for as the few words that do. The index by
-- itself would put together all places of all of them, however few are wanted; with a list of beginnings it would be
-- two and a half times as large and as slow to write.
create virtual table search_words using fts5vocab (search_index, instance);

-- Sixteen segments are merged at once, not four: each page is written anew half as often, so that merging keeps up while
-- an index is built and what is asked need not be looked up in hundreds of segments.
insert into search_index (search_index, rank) values ('usermerge', 16);
"
);
