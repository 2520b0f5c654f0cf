//! The usage of models.

use super::Sql;

/// The database stores `cost_usd` in millionths of a dollar.
pub const MICROS_PER_DOLLAR: f64 = 1_000_000.0;

/// The usage of the task `?`, one row for each model, the model with the most answers first.
pub const OF_TASK: Sql = Sql::both(
    "select model, count(*) as answers, sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens,
        sum(cache_read_tokens) as cache_read_tokens, sum(cache_write_tokens) as cache_write_tokens,
        coalesce(sum(cost_usd_micros), 0) as cost_usd_micros, count(cost_usd_micros) as answers_with_cost
    from usage where task_id = ? group by model order by answers desc, model",
    "select model, count(*) as answers, sum(input_tokens)::bigint as input_tokens,
        sum(output_tokens)::bigint as output_tokens, sum(cache_read_tokens)::bigint as cache_read_tokens,
        sum(cache_write_tokens)::bigint as cache_write_tokens,
        coalesce(sum(cost_usd_micros), 0)::bigint as cost_usd_micros, count(cost_usd_micros) as answers_with_cost
    from usage where task_id = $1::text group by model order by answers desc, model nulls first",
);

/// Saves the usage of answers of the task `?1`: a JSON array `?2` of arrays.
pub const SAVE_ANSWERS: Sql = Sql::both(
    "insert into usage (task_id, answer_id, model, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, cost_usd_micros, at)
    select ?1, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
        json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
        json_extract(value, '$[6]'), json_extract(value, '$[7]')
    from json_each(?2) where true
    on conflict (task_id, answer_id) do update set
        model = coalesce(excluded.model, model), input_tokens = excluded.input_tokens,
        output_tokens = excluded.output_tokens, cache_read_tokens = excluded.cache_read_tokens,
        cache_write_tokens = excluded.cache_write_tokens, cost_usd_micros = excluded.cost_usd_micros,
        at = min(at, excluded.at)",
    "insert into usage (task_id, answer_id, model, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, cost_usd_micros, at)
    select $1::text, answer ->> 0, answer ->> 1, (answer ->> 2)::bigint, (answer ->> 3)::bigint,
        (answer ->> 4)::bigint, (answer ->> 5)::bigint, (answer ->> 6)::bigint, (answer ->> 7)::bigint
    from jsonb_array_elements($2::text::jsonb) as answer
    on conflict (task_id, answer_id) do update set
        model = coalesce(excluded.model, usage.model), input_tokens = excluded.input_tokens,
        output_tokens = excluded.output_tokens, cache_read_tokens = excluded.cache_read_tokens,
        cache_write_tokens = excluded.cache_write_tokens, cost_usd_micros = excluded.cost_usd_micros,
        at = least(usage.at, excluded.at)",
);
