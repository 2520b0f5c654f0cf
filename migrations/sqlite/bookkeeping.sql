-- The tables in which this crate keeps the state of the schema. `{now}` stands for the milliseconds since 1970.

-- The migrations of this database.
create table requery_migrations (
    name text primary key not null,
    applied_at integer not null default ({now})
) strict, without rowid;

-- The triggers that requery made, each with a hash of its statement. So a trigger that another program dropped or
-- changed is found, and a newer version knows which triggers to replace.
create table requery_triggers (
    name text primary key not null,
    hash integer not null
) strict, without rowid;
