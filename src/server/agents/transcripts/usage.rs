//! The usage of the answers of a session: compares it with the stored rows, and writes the larger figures.

use std::collections::HashMap;

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde_json::json;

use super::RUNTIME;
use super::session::TranscriptSession;
use crate::protocol::model::Imported;
use crate::server::access::scope::Scope;
use crate::server::database::sql::{self, transcripts};
use crate::server::ingest;
use crate::server::ingest::usage::UsageToSave;

/// Writes the usage that is not counted yet, and adds the difference to the result of the import.
pub async fn save(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    task_id: &str,
    session: &TranscriptSession,
    imported: &mut Imported,
) -> Result<(), DbErr> {
    #[derive(FromQueryResult)]
    struct CountedAnswer {
        answer_id: StoredText,
        task_id: StoredText,
        input_tokens: i64,
        output_tokens: i64,
        cache_read_tokens: i64,
        cache_write_tokens: i64,
        cost_usd_micros: Option<i64>,
    }
    if session.answers.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = session.answers.keys().collect();
    let values =
        [task_id.into(), sql::json_text(tx, &json!(ids)).into(), RUNTIME.as_str().into(), scope.project().into()];
    let counted: Vec<CountedAnswer> = transcripts::KNOWN_ANSWERS.all(tx, values).await?;
    let counted: HashMap<&str, &CountedAnswer> = counted.iter().map(|row| (row.answer_id.as_str(), row)).collect();

    let mut rows = Vec::new();
    let mut micros = 0;
    for answer in session.answers.values() {
        let known = counted.contains_key(answer.id.as_str());
        let (before, cost) = match counted.get(answer.id.as_str()) {
            // The session that this one continues has the answer already.
            Some(row) if row.task_id != task_id => continue,
            Some(row) => {
                let tokens = [row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens];
                (tokens, row.cost_usd_micros)
            }
            None => {
                imported.usage.answers += 1;
                ([0; 4], None)
            }
        };
        let after: [i64; 4] = std::array::from_fn(|at| answer.tokens[at].max(before[at]));
        let added = |at: usize| (after[at] - before[at]).unsigned_abs();
        imported.usage.input_tokens += added(0);
        imported.usage.output_tokens += added(1);
        imported.usage.cache_read_tokens += added(2);
        imported.usage.cache_write_tokens += added(3);
        let costs = answer.cost_usd_micros.max(cost);
        imported.usage.answers_with_cost += u64::from(costs.is_some() && cost.is_none());
        micros += costs.unwrap_or(0) - cost.unwrap_or(0);
        if known && after == before && costs == cost {
            continue;
        }
        rows.push(UsageToSave {
            answer_id: answer.id.clone(),
            model: answer.model.clone(),
            tokens: after,
            cost_usd_micros: costs,
            at_ms: answer.at_ms,
        });
    }
    if imported.usage.answers_with_cost > 0 || micros > 0 {
        *imported.usage.cost_usd.get_or_insert_default() += micros as f64 / sql::usage::MICROS_PER_DOLLAR;
    }
    ingest::usage::save(tx, task_id, rows).await
}
