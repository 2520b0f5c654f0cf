//! The macros of the migrations' SQL.

/// Milliseconds since 1970, in SQL.
const NOW: &str = "cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)";

/// A UUID of version 7 in lower-case hyphenated text, in SQL.
const FRESH_ID: &str = "lower(substr(printf('%012x', cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)), 1, 8) \
    || '-' || substr(printf('%012x', cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)), 9, 4) \
    || '-7' || substr(hex(randomblob(2)), 2) \
    || '-' || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) \
    || '-' || hex(randomblob(6)))";

/// Puts SQL in the place of `{now}`, `{fresh_id}` and `{is_id:column}`.
pub(crate) fn expand(sql: &str) -> String {
    let mut sql = sql.replace("{now}", NOW).replace("{fresh_id}", FRESH_ID);
    while let Some(start) = sql.find("{is_id:") {
        let Some(end) = sql[start..].find('}').map(|end| start + end) else { break };
        let column = sql[start + "{is_id:".len()..end].to_owned();
        let hex = |count| "[0-9a-f]".repeat(count);
        let shape = format!("{column} glob '{}-{}-{}-{}-{}'", hex(8), hex(4), hex(4), hex(4), hex(12));
        sql.replace_range(start..=end, &shape);
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
