//! The macros of the migrations' SQL.

/// Milliseconds since 1970, in SQL.
const NOW: &str = "cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)";

/// A UUID of version 7 in lower-case hyphenated text, in SQL.
const FRESH_ID: &str = "lower(substr(printf('%012x', cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)), 1, 8) \
    || '-' || substr(printf('%012x', cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)), 9, 4) \
    || '-7' || substr(hex(randomblob(2)), 2) \
    || '-' || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) \
    || '-' || hex(randomblob(6)))";

/// The last millisecond of the year 9999, the last year that RFC 3339 can write.
const LAST_TIME: i64 = 253_402_300_799_999;

/// Puts SQL in the place of `{now}`, `{fresh_id}`, `{is_id:column}`, `{is_time:column}` and `{as_time:column}`.
pub(crate) fn expand(sql: &str) -> String {
    let hex = |count| "[0-9a-f]".repeat(count);
    let is_id = |column: &str| format!("{column} glob '{}-{}-{}-{}-{}'", hex(8), hex(4), hex(4), hex(4), hex(12));
    let is_time = |column: &str| format!("{column} between 0 and {LAST_TIME}");
    let as_time = |column: &str| format!("iif({}, {column}, max(0, min({column}, {NOW})))", is_time(column));
    let sql = sql.replace("{now}", NOW).replace("{fresh_id}", FRESH_ID);
    let sql = put_in_place(sql, "{is_id:", is_id);
    let sql = put_in_place(sql, "{is_time:", is_time);
    put_in_place(sql, "{as_time:", as_time)
}

/// Puts SQL in the place of each `{name:column}`.
pub(crate) fn put_in_place(mut sql: String, begin: &str, condition: impl Fn(&str) -> String) -> String {
    while let Some(start) = sql.find(begin) {
        let Some(end) = sql[start..].find('}').map(|end| start + end) else { break };
        let text = condition(&sql[start + begin.len()..end]);
        sql.replace_range(start..=end, &text);
    }
    sql
}

/// A statement without its comments and line ends, so that two texts with the same words are equal.
pub(crate) fn normalised(sql: &str) -> String {
    let code = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let mut text = code.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    for (loose, tight) in [(" ,", ","), ("( ", "("), (" )", ")")] {
        text = text.replace(loose, tight);
    }
    text
}
