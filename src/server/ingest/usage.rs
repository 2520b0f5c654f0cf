//! Counting the usage of answers.

use sea_orm::{ConnectionTrait, DbErr, Statement};
use serde_json::{Value, json};

/// The usage of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageToSave {
    /// The maker's id of the answer.
    pub answer_id: String,
    /// The model. None: it stays as it is.
    pub model: Option<String>,
    /// Input, output, read from the cache, written to it.
    pub tokens: [i64; 4],
    /// In millionths of a dollar, where it is known.
    pub cost_usd_micros: Option<i64>,
    /// The time of the answer. Of two the earlier one stays.
    pub at_ms: i64,
}

/// Writes the usage of answers of a task, in one statement. That of an answer that was counted before is replaced.
pub async fn save(tx: &impl ConnectionTrait, task_id: &str, answers: Vec<UsageToSave>) -> Result<(), DbErr> {
    const SAVE: &str = "
        insert into usage (task_id, answer_id, model, input_tokens, output_tokens, cache_read_tokens,
            cache_write_tokens, cost_usd_micros, at)
        select ?1, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
            json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
            json_extract(value, '$[6]'), json_extract(value, '$[7]')
        from json_each(?2) where true
        on conflict (task_id, answer_id) do update set
            model = coalesce(excluded.model, model), input_tokens = excluded.input_tokens,
            output_tokens = excluded.output_tokens, cache_read_tokens = excluded.cache_read_tokens,
            cache_write_tokens = excluded.cache_write_tokens, cost_usd_micros = excluded.cost_usd_micros,
            at = min(at, excluded.at)";
    if answers.is_empty() {
        return Ok(());
    }
    let rows = answers.into_iter().map(|answer| {
        let UsageToSave { answer_id, model, tokens: [input, output, read, written], cost_usd_micros, at_ms } = answer;
        json!([answer_id, model, input, output, read, written, cost_usd_micros, at_ms])
    });
    let values = [task_id.into(), Value::Array(rows.collect()).to_string().into()];
    tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), SAVE, values)).await.map(drop)
}
