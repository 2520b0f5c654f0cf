-- The triggers of the columns that the database keeps in the rows of `tasks`.

create function begin_task() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    -- A count that the writer brings is ignored. A change in the future would keep the task at the top of the list until
    -- then.
    new.event_count := 0;
    new.changed_at := least(new.changed_at, now_ms());
    new.listed_at := new.changed_at;
    new.given := 0;
    -- An insert that names no project cannot be told from one that names the empty project. The trigger after the statement
    -- refuses what does not fit.
    if new.parent_task_id is not null and new.project = '' then
        new.project :=
            coalesce((select project from tasks where id = new.parent_task_id for key share), new.project);
    end if;
    return new;
end
$$;
create trigger tasks_begin before insert on tasks for each row execute function begin_task();

-- The columns that a change of the status or of its reason clears stay if the statement names them, also with their old
-- value. Postgres fires a trigger with a list of columns if the statement names one. `tasks_keep`, which runs after these
-- triggers because of its name, reads the note and removes it.

create function note_given() returns trigger language plpgsql as $$
begin
    new.given := new.given | tg_argv[0]::bigint;
    return new;
end
$$;
create trigger tasks_given_certain before update of status_certain on tasks for each row
when (new.status_certain is not distinct from old.status_certain and (new.status is distinct from old.status
    or new.status_reason is distinct from old.status_reason)) execute function note_given(4);
create trigger tasks_given_detail before update of status_detail on tasks for each row
when (new.status_detail is not distinct from old.status_detail and (new.status is distinct from old.status
    or new.status_reason is distinct from old.status_reason)) execute function note_given(2);
create trigger tasks_given_reason before update of status_reason on tasks for each row
when (new.status_reason is not distinct from old.status_reason and new.status is distinct from old.status)
execute function note_given(1);

create function keep_task() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
declare
    has_status boolean := new.status is distinct from old.status;
    has_reason boolean := new.status_reason is distinct from old.status_reason;
begin
    if new.id is distinct from old.id then
        perform refuse('a task keeps its id and its rowid', 'id');
    end if;
    if (new.event_count, new.changed_at) is distinct from (old.event_count, old.changed_at)
        and not exists (select 1 from folding where xid = pg_current_xact_id())
    then
        new.event_count := old.event_count;
        new.changed_at := old.changed_at;
    end if;
    -- The columns of the trigger `tasks_updated`.
    if (new.title, new.project, new.status, new.mode, new.parent_task_id, new.parent_session_id, new.workspace,
            new.source, new.external_id, new.status_reason, new.status_detail, new.status_since, new.status_certain,
            new.summary, new.stale_since, new.stale_reason, new.created_at, new.todos, new.model, new.branch,
            new.last_commit, new.pull_request)
        is distinct from (old.title, old.project, old.status, old.mode, old.parent_task_id, old.parent_session_id,
            old.workspace, old.source, old.external_id, old.status_reason, old.status_detail, old.status_since,
            old.status_certain, old.summary, old.stale_since, old.stale_reason, old.created_at, old.todos, old.model,
            old.branch, old.last_commit, old.pull_request)
        or new.status = 'errored' and (new.heard_at is null and new.ingest_state is not null)
            is distinct from (old.heard_at is null and old.ingest_state is not null)
    then
        -- No event that the row does not contain has a later time than now.
        new.changed_at := greatest(now_ms(), least(old.changed_at + 1, 253402300799999));
        if has_status then
            if new.status_since is not distinct from old.status_since then
                new.status_since := now_ms();
            end if;
            if not has_reason and new.given & 1 = 0 then
                new.status_reason := null;
            end if;
            if new.stale_since is not distinct from old.stale_since then
                new.stale_since := null;
                new.stale_reason := null;
            end if;
        end if;
        if has_status or has_reason then
            if new.status_detail is not distinct from old.status_detail and new.given & 2 = 0 then
                new.status_detail := null;
            end if;
            if new.status_certain is not distinct from old.status_certain and new.given & 4 = 0 then
                new.status_certain := 1;
            end if;
        end if;
    end if;
    -- Waits for the transactions that log a change of the task in its old project: they hold a key share of the row, which
    -- a plain update does not wait for.
    if new.project is distinct from old.project then
        perform 1 from tasks where id = old.id for update;
    end if;
    new.listed_at := new.changed_at;
    new.given := 0;
    return new;
end
$$;
create trigger tasks_keep before update on tasks for each row execute function keep_task();
