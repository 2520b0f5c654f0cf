//! The usage of models.

use super::Sql;

/// The usage of the task `?`, one row for each model, the model with the most answers first.
pub const OF_TASK: Sql = Sql::new(
    "select model, count(*) as answers, sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens,
        sum(cache_read_tokens) as cache_read_tokens, sum(cache_write_tokens) as cache_write_tokens,
        coalesce(sum(cost_usd_micros), 0) as cost_usd_micros, count(cost_usd_micros) as answers_with_cost
    from usage where task_id = ? group by model order by answers desc, model",
);
