-- The figures change by rows that are only inserted. A counter that each writer updates would be a row lock between
-- writers on any other database, and an update of an index page here.

-- The changes of figures. The triggers insert them; the server folds them into `figures` up to `folded.deltas` and
-- deletes the folded ones; a reader adds the rest. The newest row always stays, so that no id is given twice.
create table figure_deltas (
    id integer primary key,
    project text not null,
    -- The figures `tasks.<status>` and `source.<source>` change by `tasks`.
    status text,
    source text,
    tasks integer,
    events integer,
    -- The figures `usage.<column>` change by these columns.
    answers integer,
    answers_with_cost integer,
    cost_usd_micros integer,
    input_tokens integer,
    output_tokens integer,
    cache_read_tokens integer,
    cache_write_tokens integer
) strict;

-- The first delta that is not in the figures yet.
alter table folded add column deltas integer not null default 1;

-- The server deletes figures that fell to zero: of a project or a source without tasks.
create index figures_zero on figures (project) where value = 0;

-- When the logged event happened. No other kind of change has it.
alter table changes add column happened_at integer;

-- The events of each hour, folded from the log up to `folded.next`; a reader adds the rest of the log. `hour` counts
-- from 1970. A project keeps the 24 hours up to its newest one: no reader shows an earlier hour.
create table activity (
    project text not null,
    hour integer not null,
    events integer not null,
    primary key (project, hour)
) strict, without rowid;
insert into activity (project, hour, events)
    select project, cast(substr(figure, 6) as integer), value from figures
    where figure glob 'hour.*' and value > 0 and cast(substr(figure, 6) as integer) >
        (select max(cast(substr(newest.figure, 6) as integer)) - 24 from figures newest
         where newest.project = figures.project and newest.figure glob 'hour.*' and newest.value > 0);
delete from figures where figure glob 'hour.*' or value = 0;
