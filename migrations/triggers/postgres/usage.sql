-- The triggers of `usage`: each change is logged for the task, and each change of the `usage.*` figures is inserted.

create function begin_usage() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if new.project is not null then
        perform refuse('the project of usage is kept by the database', 'project');
    end if;
    new.project := (select project from tasks where id = new.task_id for key share);
    if new.project is null then
        perform refuse('task_id: there is no such task', 'task_id');
    end if;
    return new;
end
$$;
create trigger usage_begins before insert on usage for each row execute function begin_usage();

create function keep_usage() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if (new.task_id, new.answer_id) is distinct from (old.task_id, old.answer_id)
        or new.project is distinct from old.project
            and new.project is distinct from (select project from tasks where id = new.task_id)
    then
        perform refuse('usage keeps its task, its answer and its project', 'task_id');
    end if;
    return new;
end
$$;
create trigger usage_stays before update on usage for each row execute function keep_usage();

create function log_new_usage() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, task_id, parent_task_id, object_id, status_changed)
        select 'task.updated', tasks.project, tasks.id, tasks.parent_task_id, 'usage', 0
        from new_rows n join tasks on tasks.id = n.task_id;
    insert into figure_deltas (project, answers, answers_with_cost, cost_usd_micros, input_tokens, output_tokens,
            cache_read_tokens, cache_write_tokens)
        select project, count(*), count(cost_usd_micros), sum(cost_usd_micros), sum(input_tokens), sum(output_tokens),
            sum(cache_read_tokens), sum(cache_write_tokens)
        from new_rows group by project;
    return null;
end
$$;
create trigger usage_logged after insert on usage referencing new table as new_rows
    for each statement execute function log_new_usage();

create function log_changed_usage() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    -- A full join is never a loop in a loop, see `log_changed_tasks`.
    with pairs as materialized (
        select o.project as old_project, o.cost_usd_micros as old_cost, o.input_tokens as old_input,
            o.output_tokens as old_output, o.cache_read_tokens as old_read, o.cache_write_tokens as old_write, n.*
        from old_rows o full join new_rows n on n.task_id = o.task_id and n.answer_id = o.answer_id
        where (n.project, n.cost_usd_micros, n.input_tokens, n.output_tokens, n.cache_read_tokens, n.cache_write_tokens)
            is distinct from (o.project, o.cost_usd_micros, o.input_tokens, o.output_tokens, o.cache_read_tokens,
                o.cache_write_tokens)
    )
    insert into figure_deltas (project, answers, answers_with_cost, cost_usd_micros, input_tokens, output_tokens,
            cache_read_tokens, cache_write_tokens)
        select side.project, sum(side.sign), sum(side.sign * (side.cost is not null)::int), sum(side.sign * side.cost),
            sum(side.sign * side.input), sum(side.sign * side.output), sum(side.sign * side.read),
            sum(side.sign * side.write)
        from pairs cross join lateral (values
            (old_project, -1, old_cost, old_input, old_output, old_read, old_write),
            (project, 1, cost_usd_micros, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens))
            side (project, sign, cost, input, output, read, write)
        where side.project is not null group by side.project;
    with it as materialized (
        select n.task_id from old_rows o full join new_rows n on n.task_id = o.task_id and n.answer_id = o.answer_id
        where (n.model, n.input_tokens, n.output_tokens, n.cache_read_tokens, n.cache_write_tokens, n.cost_usd_micros, n.at)
            is distinct from (o.model, o.input_tokens, o.output_tokens, o.cache_read_tokens, o.cache_write_tokens,
                o.cost_usd_micros, o.at)
    )
    insert into changes (kind, project, task_id, parent_task_id, object_id, status_changed)
        select 'task.updated', tasks.project, tasks.id, tasks.parent_task_id, 'usage', 0
        from it join tasks on tasks.id = it.task_id for key share of tasks;
    return null;
end
$$;
create trigger usage_updated after update on usage referencing old table as old_rows new table as new_rows
    for each statement execute function log_changed_usage();

-- Of usage that goes with its task no change is logged, but the figures change.
create function log_deleted_usage() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into figure_deltas (project, answers, answers_with_cost, cost_usd_micros, input_tokens, output_tokens,
            cache_read_tokens, cache_write_tokens)
        select project, -count(*), -count(cost_usd_micros), -sum(cost_usd_micros), -sum(input_tokens),
            -sum(output_tokens), -sum(cache_read_tokens), -sum(cache_write_tokens)
        from old_rows where project is not null group by project;
    insert into changes (kind, project, task_id, parent_task_id, object_id, status_changed)
        select 'task.updated', tasks.project, tasks.id, tasks.parent_task_id, 'usage', 0
        from old_rows o join tasks on tasks.id = o.task_id for key share of tasks;
    return null;
end
$$;
create trigger usage_deleted after delete on usage referencing old table as old_rows
    for each statement execute function log_deleted_usage();
