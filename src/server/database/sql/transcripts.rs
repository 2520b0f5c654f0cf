//! The import of transcripts: the rows that are there already, and the usage that is written.

use super::Sql;

/// The events of the task `?1` with the external ids in the JSON array `?2`.
pub const KNOWN_EVENTS: Sql = Sql::new(
    "select external_id, id, state, metadata from events
    where task_id = ? and external_id in (select value from json_each(?))",
);

/// The usage of the answers in the JSON array `?2` that the task `?1` or a task of the source `?3` has.
pub const KNOWN_ANSWERS: Sql = Sql::new(
    "select answer_id, usage.task_id, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
        cost_usd_micros
    from usage left join tasks on tasks.id = usage.task_id
    where answer_id in (select value from json_each(?2)) and (usage.task_id = ?1 or tasks.source = ?3)",
);

/// Saves the usage of answers of the task `?1`: a JSON array `?2` of arrays.
pub const SAVE_ANSWERS: Sql = Sql::new(
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
);
