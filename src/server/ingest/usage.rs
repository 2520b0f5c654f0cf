//! Counting the usage of answers.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Value, json};

use crate::server::database::sql;

/// The usage of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageToSave {
    /// The maker's id of the answer.
    pub answer_id: String,
    /// The model. None keeps the model that was saved before.
    pub model: Option<String>,
    /// The tokens of the input, of the output, read from the cache and written to the cache.
    pub tokens: [i64; 4],
    /// The cost in millionths of a dollar, if it is known.
    pub cost_usd_micros: Option<i64>,
    /// The time of the answer. If the answer was saved before with an earlier time, that time stays.
    pub at_ms: i64,
}

/// Writes the usage of answers of a task, in one statement. Replaces the usage of an answer that was saved before.
pub async fn save(tx: &impl ConnectionTrait, task_id: &str, answers: Vec<UsageToSave>) -> Result<(), DbErr> {
    if answers.is_empty() {
        return Ok(());
    }
    let rows = answers.into_iter().map(|answer| {
        let UsageToSave { answer_id, model, tokens: [input, output, read, written], cost_usd_micros, at_ms } = answer;
        json!([answer_id, model, input, output, read, written, cost_usd_micros, at_ms])
    });
    let values = [task_id.into(), sql::json_text(tx, &Value::Array(rows.collect())).into()];
    sql::usage::SAVE_ANSWERS.execute(tx, values).await.map(drop)
}
