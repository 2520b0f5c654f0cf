-- The version of the rules about words by which the search index was made. The server compares it with its own version,
-- and indexes all rows again where the two differ.
alter table searched add column words integer not null default 1;
