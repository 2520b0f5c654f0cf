//! Usage: of a task by model, and of a project from the stored figures.

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::count;
use crate::protocol::TaskId;
use crate::protocol::limits;
use crate::protocol::model::{ModelUsage, Usage};
use crate::server::database::sql;

/// The usage of a task, in total and by model. The model with the most answers comes first.
pub async fn of_task(tx: &impl ConnectionTrait, task_id: &TaskId) -> Result<(Usage, Vec<ModelUsage>), DbErr> {
    let rows: Vec<ModelUsageRow> = sql::usage::OF_TASK.all(tx, [task_id.as_str().into()]).await?;
    let mut total = UsageSums::default();
    rows.iter().for_each(|row| total.add(&row.sums));
    let models = rows
        .into_iter()
        .take(limits::DETAIL_MODELS)
        .map(|row| ModelUsage { model: row.model.map(String::from), usage: row.sums.usage() });
    Ok((total.usage(), models.collect()))
}

/// The sums of usage as the database stores them.
#[derive(Default, FromQueryResult)]
pub(super) struct UsageSums {
    answers: i64,
    answers_with_cost: i64,
    cost_usd_micros: i64,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: i64,
    cache_write_tokens: i64,
}

impl UsageSums {
    /// Sets the sum that `figure` names. Other figures are ignored.
    pub(super) fn take(&mut self, figure: &str, value: i64) {
        match figure {
            "usage.answers" => self.answers = value,
            "usage.answers_with_cost" => self.answers_with_cost = value,
            "usage.cost_usd_micros" => self.cost_usd_micros = value,
            "usage.input_tokens" => self.input_tokens = value,
            "usage.output_tokens" => self.output_tokens = value,
            "usage.cache_read_tokens" => self.cache_read_tokens = value,
            "usage.cache_write_tokens" => self.cache_write_tokens = value,
            _ => {}
        }
    }

    fn add(&mut self, more: &Self) {
        self.answers += more.answers;
        self.answers_with_cost += more.answers_with_cost;
        self.cost_usd_micros += more.cost_usd_micros;
        self.input_tokens += more.input_tokens;
        self.output_tokens += more.output_tokens;
        self.cache_read_tokens += more.cache_read_tokens;
        self.cache_write_tokens += more.cache_write_tokens;
    }

    /// The usage as the protocol has it.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            answers: count(self.answers),
            input_tokens: count(self.input_tokens),
            output_tokens: count(self.output_tokens),
            cache_read_tokens: count(self.cache_read_tokens),
            cache_write_tokens: count(self.cache_write_tokens),
            cost_usd: (self.answers_with_cost > 0)
                .then(|| count(self.cost_usd_micros) as f64 / sql::usage::MICROS_PER_DOLLAR),
            answers_with_cost: count(self.answers_with_cost),
        }
    }
}

#[derive(FromQueryResult)]
struct ModelUsageRow {
    model: Option<StoredText>,
    #[sea_orm(nested)]
    sums: UsageSums,
}
