//! The import of transcripts: the rows that are there already.

use super::Sql;
use super::postgres::is_among;

/// The events of the task `?1` with the external ids in the JSON array `?2`.
pub const KNOWN_EVENTS: Sql = Sql::both(
    "select external_id, id, state, metadata from events
    where task_id = ? and external_id in (select value from json_each(?))",
    concat!(
        "select external_id, id, state, metadata from events where task_id = $1::text and external_id ",
        is_among!("$2")
    ),
);

/// The usage of the answers in the JSON array `?2` that the task `?1` or a task of the source `?3` has, in the scope of
/// the project `?4`. A null value sets no scope.
pub const KNOWN_ANSWERS: Sql = Sql::both(
    "select answer_id, usage.task_id, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
        cost_usd_micros
    from usage left join tasks on tasks.id = usage.task_id
    where answer_id in (select value from json_each(?2))
        and (usage.task_id = ?1 or tasks.source = ?3 and (?4 is null or tasks.project = ?4))",
    concat!(
        "select answer_id, usage.task_id, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
            cost_usd_micros
        from usage left join tasks on tasks.id = usage.task_id
        where answer_id ",
        is_among!("$2"),
        " and (usage.task_id = $1::text
            or tasks.source = $3::text and ($4::text is null or tasks.project = $4::text))"
    ),
);
