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
    insert into figure_deltas (project, answers, answers_with_cost, cost_usd_micros, input_tokens, output_tokens,
            cache_read_tokens, cache_write_tokens)
        select side.project, sum(side.sign), sum(side.sign * (side.cost_usd_micros is not null)::int),
            sum(side.sign * side.cost_usd_micros), sum(side.sign * side.input_tokens), sum(side.sign * side.output_tokens),
            sum(side.sign * side.cache_read_tokens), sum(side.sign * side.cache_write_tokens)
        from old_rows o join new_rows n on n.task_id = o.task_id and n.answer_id = o.answer_id
        cross join lateral (values
            (o.project, -1, o.cost_usd_micros, o.input_tokens, o.output_tokens, o.cache_read_tokens, o.cache_write_tokens),
            (n.project, 1, n.cost_usd_micros, n.input_tokens, n.output_tokens, n.cache_read_tokens, n.cache_write_tokens))
            side (project, sign, cost_usd_micros, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens)
        where side.project is not null and (n.project, n.cost_usd_micros, n.input_tokens, n.output_tokens,
                n.cache_read_tokens, n.cache_write_tokens)
            is distinct from (o.project, o.cost_usd_micros, o.input_tokens, o.output_tokens, o.cache_read_tokens,
                o.cache_write_tokens)
        group by side.project;
    insert into changes (kind, project, task_id, parent_task_id, object_id, status_changed)
        select 'task.updated', tasks.project, tasks.id, tasks.parent_task_id, 'usage', 0
        from old_rows o join new_rows n on n.task_id = o.task_id and n.answer_id = o.answer_id
        join tasks on tasks.id = n.task_id
        where (n.model, n.input_tokens, n.output_tokens, n.cache_read_tokens, n.cache_write_tokens, n.cost_usd_micros, n.at)
            is distinct from (o.model, o.input_tokens, o.output_tokens, o.cache_read_tokens, o.cache_write_tokens,
                o.cost_usd_micros, o.at)
        for key share of tasks;
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
