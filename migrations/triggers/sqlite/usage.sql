-- The triggers of `usage`: each change is logged for the task, and each change of the `usage.*` figures is inserted.

create trigger usage_fits before insert on usage when new.project is not null begin
    select raise(abort, 'the project of usage is kept by the database');
end;

create trigger usage_has_a_task before insert on usage
when not exists (select 1 from tasks where id = new.task_id) begin
    select raise(abort, 'task_id: there is no such task');
end;

create trigger usage_replacing before insert on usage
when exists (select 1 from usage where task_id = new.task_id and answer_id = new.answer_id) begin
    delete from usage_replaced where task_id = new.task_id and answer_id = new.answer_id;
    insert into usage_replaced
        select task_id, answer_id, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd_micros,
            project
        from usage where task_id = new.task_id and answer_id = new.answer_id;
end;

create trigger usage_logged after insert on usage begin
    insert into changes (kind, project, task_id, parent_task_id, object_id, status_changed)
        select 'task.updated', project, id, parent_task_id, 'usage', 0 from tasks where id = new.task_id;
    insert into figure_deltas (project, answers, answers_with_cost, cost_usd_micros, input_tokens, output_tokens,
            cache_read_tokens, cache_write_tokens)
        select project, -1, -(cost_usd_micros is not null), -cost_usd_micros, -input_tokens, -output_tokens,
            -cache_read_tokens, -cache_write_tokens
        from usage_replaced where task_id = new.task_id and answer_id = new.answer_id and project is not null;
    delete from usage_replaced where task_id = new.task_id and answer_id = new.answer_id;
    -- This update fires usage_counted, which counts the answer.
    update usage set project = (select project from tasks where id = new.task_id)
        where task_id = new.task_id and answer_id = new.answer_id;
end;

create trigger usage_stays before update of task_id, answer_id, project on usage
when new.task_id is not old.task_id or new.answer_id is not old.answer_id
    or new.project is not (select project from tasks where id = new.task_id) begin
    select raise(abort, 'usage keeps its task, its answer and its project');
end;

create trigger usage_counted after update of
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd_micros, project on usage
when (new.input_tokens is not old.input_tokens or new.output_tokens is not old.output_tokens
    or new.cache_read_tokens is not old.cache_read_tokens or new.cache_write_tokens is not old.cache_write_tokens
    or new.cost_usd_micros is not old.cost_usd_micros or new.project is not old.project)
    and not exists (select 1 from leaving where task_id = new.task_id) begin
    insert into figure_deltas (project, answers, answers_with_cost, cost_usd_micros, input_tokens, output_tokens,
            cache_read_tokens, cache_write_tokens)
        select old.project, -1, -(old.cost_usd_micros is not null), -old.cost_usd_micros, -old.input_tokens,
            -old.output_tokens, -old.cache_read_tokens, -old.cache_write_tokens
        where old.project is not null
        union all
        select new.project, 1, new.cost_usd_micros is not null, new.cost_usd_micros, new.input_tokens,
            new.output_tokens, new.cache_read_tokens, new.cache_write_tokens
        where new.project is not null;
end;

create trigger usage_updated after update of
    model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd_micros, at on usage
when new.model is not old.model or new.input_tokens is not old.input_tokens
    or new.output_tokens is not old.output_tokens or new.cache_read_tokens is not old.cache_read_tokens
    or new.cache_write_tokens is not old.cache_write_tokens or new.cost_usd_micros is not old.cost_usd_micros
    or new.at is not old.at begin
    insert into changes (kind, project, task_id, parent_task_id, object_id, status_changed)
        select 'task.updated', project, id, parent_task_id, 'usage', 0 from tasks where id = new.task_id;
end;

create trigger usage_deleted after delete on usage begin
    insert into changes (kind, project, task_id, parent_task_id, object_id, status_changed)
        select 'task.updated', project, id, parent_task_id, 'usage', 0 from tasks where id = old.task_id;
    insert into figure_deltas (project, answers, answers_with_cost, cost_usd_micros, input_tokens, output_tokens,
            cache_read_tokens, cache_write_tokens)
        select old.project, -1, -(old.cost_usd_micros is not null), -old.cost_usd_micros, -old.input_tokens,
            -old.output_tokens, -old.cache_read_tokens, -old.cache_write_tokens
        where old.project is not null and not exists (select 1 from leaving where task_id = old.task_id);
    delete from usage_replaced where task_id = old.task_id and answer_id = old.answer_id;
end;

-- There can be usage already: of a row that this task replaced, or written before its task where foreign keys are off.
create trigger tasks_usage_found after insert on tasks
when exists (select 1 from usage where task_id = new.id) begin
    update usage set project = (select project from tasks where id = new.id)
        where task_id = new.id and project is not (select project from tasks where id = new.id);
end;

create trigger tasks_usage_moved after update of project on tasks when new.project is not old.project begin
    update usage set project = new.project where task_id = new.id;
end;

-- The usage of a task in `leaving` is deleted later, but counts no more.
create trigger tasks_usage_left after delete on tasks
when exists (select 1 from leaving where task_id = old.id) begin
    insert into figure_deltas (project, answers, answers_with_cost, cost_usd_micros, input_tokens, output_tokens,
            cache_read_tokens, cache_write_tokens)
        select project, -count(*), -count(cost_usd_micros), -sum(cost_usd_micros), -sum(input_tokens),
            -sum(output_tokens), -sum(cache_read_tokens), -sum(cache_write_tokens)
        from usage where task_id = old.id and project is not null group by project;
end;
