//! Usage: what the answers of models cost, in tokens and where it is said in money.

crate::migration!(
    "m0007_usage",
    "
-- One row for each answer of a model. Counters are in `figures`, kept by the triggers with the row:
--   usage.answers, usage.answers_with_cost, usage.cost_usd_micros, usage.<input|output|cache_read|cache_write>_tokens.
create table usage (
    task_id text not null references tasks (id) on delete cascade,
    -- What the model's maker calls the answer.
    answer_id text not null constraint answer_id_is_1_to_256_characters check (length(answer_id) between 1 and 256),
    model text constraint model_is_at_most_128_characters check (length(model) <= 128),
    -- At most so many that sums of them stay whole numbers.
    input_tokens integer not null default 0
        constraint input_tokens_are_0_to_a_trillion check (input_tokens between 0 and 1000000000000),
    output_tokens integer not null default 0
        constraint output_tokens_are_0_to_a_trillion check (output_tokens between 0 and 1000000000000),
    cache_read_tokens integer not null default 0
        constraint cache_read_tokens_are_0_to_a_trillion check (cache_read_tokens between 0 and 1000000000000),
    cache_write_tokens integer not null default 0
        constraint cache_write_tokens_are_0_to_a_trillion check (cache_write_tokens between 0 and 1000000000000),
    -- In millionths of a dollar, where its runtime said so. Never worked out from a list of prices.
    cost_usd_micros integer
        constraint cost_usd_micros_are_0_to_a_trillion check (cost_usd_micros between 0 and 1000000000000),
    at integer not null default ({now}),
    -- That of the task, kept by the triggers: the counters of a task are found by it when the task is gone already.
    project text,
    primary key (task_id, answer_id)
) strict, without rowid;
create index usage_answer on usage (answer_id);

-- What INSERT OR REPLACE is about to remove, as `replaced` is for tasks: a note that an insert leaves because it is
-- ignored or becomes an update is overwritten by the next one, and a deletion clears it.
create table usage_replaced (
    task_id text not null,
    answer_id text not null,
    input_tokens integer not null,
    output_tokens integer not null,
    cache_read_tokens integer not null,
    cache_write_tokens integer not null,
    cost_usd_micros integer,
    project text,
    primary key (task_id, answer_id)
) strict, without rowid;

create trigger usage_fits before insert on usage when new.project is not null begin
    select raise(abort, 'the project of usage is kept by the database');
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
    insert into changes (kind, project, task_id, parent_task_id)
        select 'task.updated', project, id, parent_task_id from tasks where id = new.task_id;
    update figures set value = value - (select case figures.figure
            when 'usage.answers' then 1
            when 'usage.input_tokens' then input_tokens
            when 'usage.output_tokens' then output_tokens
            when 'usage.cache_read_tokens' then cache_read_tokens
            when 'usage.cache_write_tokens' then cache_write_tokens
            when 'usage.answers_with_cost' then cost_usd_micros is not null
            when 'usage.cost_usd_micros' then coalesce(cost_usd_micros, 0)
            else 0 end
        from usage_replaced where task_id = new.task_id and answer_id = new.answer_id)
        where figure >= 'usage.' and figure < 'usage/'
            and project = (select project from usage_replaced where task_id = new.task_id and answer_id = new.answer_id);
    delete from usage_replaced where task_id = new.task_id and answer_id = new.answer_id;
    -- Which counts it.
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
when new.input_tokens is not old.input_tokens or new.output_tokens is not old.output_tokens
    or new.cache_read_tokens is not old.cache_read_tokens or new.cache_write_tokens is not old.cache_write_tokens
    or new.cost_usd_micros is not old.cost_usd_micros or new.project is not old.project begin
    update figures set value = value - case figure
            when 'usage.answers' then 1
            when 'usage.input_tokens' then old.input_tokens
            when 'usage.output_tokens' then old.output_tokens
            when 'usage.cache_read_tokens' then old.cache_read_tokens
            when 'usage.cache_write_tokens' then old.cache_write_tokens
            when 'usage.answers_with_cost' then old.cost_usd_micros is not null
            when 'usage.cost_usd_micros' then coalesce(old.cost_usd_micros, 0)
            else 0 end
        where project = old.project and figure >= 'usage.' and figure < 'usage/';
    insert into figures (project, figure, value)
        select new.project, column1, 0 from (values ('usage.answers'), ('usage.input_tokens'), ('usage.output_tokens'),
            ('usage.cache_read_tokens'), ('usage.cache_write_tokens'), ('usage.answers_with_cost'),
            ('usage.cost_usd_micros'))
        where new.project is not null
            and not exists (select 1 from figures where project = new.project and figure = column1);
    update figures set value = value + case figure
            when 'usage.answers' then 1
            when 'usage.input_tokens' then new.input_tokens
            when 'usage.output_tokens' then new.output_tokens
            when 'usage.cache_read_tokens' then new.cache_read_tokens
            when 'usage.cache_write_tokens' then new.cache_write_tokens
            when 'usage.answers_with_cost' then new.cost_usd_micros is not null
            when 'usage.cost_usd_micros' then coalesce(new.cost_usd_micros, 0)
            else 0 end
        where project = new.project and figure >= 'usage.' and figure < 'usage/';
end;

create trigger usage_updated after update of
    model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd_micros, at on usage
when new.model is not old.model or new.input_tokens is not old.input_tokens
    or new.output_tokens is not old.output_tokens or new.cache_read_tokens is not old.cache_read_tokens
    or new.cache_write_tokens is not old.cache_write_tokens or new.cost_usd_micros is not old.cost_usd_micros
    or new.at is not old.at begin
    insert into changes (kind, project, task_id, parent_task_id)
        select 'task.updated', project, id, parent_task_id from tasks where id = new.task_id;
end;

create trigger usage_deleted after delete on usage begin
    insert into changes (kind, project, task_id, parent_task_id)
        select 'task.updated', project, id, parent_task_id from tasks where id = old.task_id;
    update figures set value = value - case figure
            when 'usage.answers' then 1
            when 'usage.input_tokens' then old.input_tokens
            when 'usage.output_tokens' then old.output_tokens
            when 'usage.cache_read_tokens' then old.cache_read_tokens
            when 'usage.cache_write_tokens' then old.cache_write_tokens
            when 'usage.answers_with_cost' then old.cost_usd_micros is not null
            when 'usage.cost_usd_micros' then coalesce(old.cost_usd_micros, 0)
            else 0 end
        where project = old.project and figure >= 'usage.' and figure < 'usage/';
    delete from usage_replaced where task_id = old.task_id and answer_id = old.answer_id;
end;

-- Of a task that this one replaced, or that came before their task where foreign keys are off.
create trigger tasks_usage_found after insert on tasks
when exists (select 1 from usage where task_id = new.id) begin
    update usage set project = new.project where task_id = new.id and project is not new.project;
end;

create trigger tasks_usage_moved after update of project on tasks when new.project is not old.project begin
    update usage set project = new.project where task_id = new.id;
end;

-- The task is gone, so the trigger of these tells nobody.
create trigger tasks_usage_deleted after delete on tasks begin
    delete from usage where task_id = old.id;
end;
"
);
