-- The state of an agent's work on a task, as a person asks for it: the agent's own list, its model, and the outcome in
-- version control. The length of a text ends at a NUL, so each text has a bound in bytes.

-- A JSON array of objects with the texts `id`, `title` and `state`. No function of JSON checks it: a program that trusts no
-- schema could not read the table. A text of another form counts as an empty list.
alter table tasks add column todos text
    constraint todos_are_at_most_64_kib check (length(cast(todos as blob)) <= 65536);
alter table tasks add column model text
    constraint model_is_at_most_256_bytes check (length(cast(model as blob)) <= 256);
alter table tasks add column branch text
    constraint branch_is_at_most_512_bytes check (length(cast(branch as blob)) <= 512);
alter table tasks add column last_commit text
    constraint last_commit_is_at_most_64_bytes check (length(cast(last_commit as blob)) <= 64);
alter table tasks add column pull_request text
    constraint pull_request_is_at_most_1000_bytes check (length(cast(pull_request as blob)) <= 1000);

-- Whether the status is known to be true: 0 for a permission that may be given already, because an approval runs no hook.
alter table tasks add column status_certain integer not null default 1
    constraint status_certain_is_0_or_1 check (status_certain in (0, 1));

alter table sessions add column model text
    constraint model_is_at_most_256_bytes check (length(cast(model as blob)) <= 256);
alter table sessions add column host text
    constraint host_is_at_most_256_bytes check (length(cast(host as blob)) <= 256);

-- The calls that run now, and the files that calls changed.
create index events_running on events (task_id, position) where state = 'running';
create index events_files on events (task_id, position) where family = 'file';
create index tasks_process on tasks (process) where process is not null;
create index sessions_running on sessions (source, host) where status = 'running';

-- The coding agents: one row for each runtime, machine and project. A stream of one project learns of the rows of that
-- project. The project of an agent that was registered and not heard yet is empty.
create table agents (
    source text not null constraint source_is_1_to_64_characters check (length(source) between 1 and 64),
    -- Empty: the machine is not known.
    host text not null default ''
        constraint host_is_at_most_256_bytes check (length(cast(host as blob)) <= 256),
    project text not null default ''
        constraint project_is_at_most_512_bytes check (length(cast(project as blob)) <= 512),
    version text constraint version_is_at_most_256_bytes check (length(cast(version as blob)) <= 256),
    -- How many hooks are installed. Null: not known.
    hooks integer constraint hooks_are_no_negative_number check (hooks >= 0),
    -- The minute of the last hook.
    heard_at integer constraint heard_at_is_in_the_years_1970_to_9999 check ({is_time:heard_at}),
    primary key (source, host, project)
) strict, without rowid;

-- The machines of earlier hooks are not known.
insert or ignore into agents (source, host, project, heard_at)
    select source, '', project, max(heard_at) / 60000 * 60000 from tasks
    where heard_at is not null group by source, project;
