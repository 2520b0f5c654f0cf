//! The statements of a copy of a whole database.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use super::Sql;
use super::copied_tables::{CopiedColumn, CopiedTable, Holds};

/// How many rows a statement inserts. A few sizes, so that the driver prepares few statements.
const ROWS_OF_INSERTS: [usize; 3] = [256, 16, 1];

/// How many rows a page has. The body of an event has at most 64 KiB, so the memory for a page is bounded.
const PAGE: usize = ROWS_OF_INSERTS[0];

/// The next rows of a table in the order of its key: the first ones, or those behind the row with the key `after`. The
/// texts of SQLite come as bytes, because they may be no UTF-8.
pub async fn page(
    tx: &impl ConnectionTrait,
    table: &'static CopiedTable,
    after: Vec<Value>,
) -> Result<Vec<QueryResult>, DbErr> {
    let backend = tx.get_database_backend();
    let text = page_text(table, backend, !after.is_empty());
    tx.query_all_raw(Statement::from_sql_and_values(backend, text, after)).await
}

fn page_text(table: &CopiedTable, backend: DbBackend, has_key: bool) -> String {
    let column = |column: &CopiedColumn| {
        let own = format!("{}.{}", table.name, column.name);
        let expression = column.expression.map_or(own, |sql| sql.text(backend).to_owned());
        match (backend, column.holds) {
            (DbBackend::Sqlite, Holds::Text(_)) => format!("cast({expression} as blob)"),
            _ => expression,
        }
    };
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    let (rows, condition) = (table.rows.text(backend), table.condition.text(backend));
    let key: Vec<String> = table.key.iter().map(|name| format!("{}.{name}", table.name)).collect();
    let behind = || {
        let values = table.key.iter().enumerate().map(|(at, name)| {
            let holds = table.columns.iter().find(|column| column.name == *name).map(|column| column.holds);
            value_text(backend, at + 1, holds.unwrap_or(Holds::Number))
        });
        format!(" and ({}) > ({})", key.join(", "), values.collect::<Vec<_>>().join(", "))
    };
    let behind = if has_key { behind() } else { String::new() };
    let (columns, key) = (columns.join(", "), key.join(", "));
    format!("select {columns} from {rows} where {condition}{behind} order by {key} limit {PAGE}")
}

/// A value of a statement. A text of SQLite is bound as bytes.
fn value_text(backend: DbBackend, number: usize, holds: Holds) -> String {
    match (backend, holds) {
        (DbBackend::Postgres, _) => format!("${number}"),
        (_, Holds::Number) => format!("?{number}"),
        (_, Holds::Text(_)) => format!("cast(?{number} as text)"),
    }
}

/// Inserts rows. Each has the values of the columns in their order, a text of SQLite as bytes.
pub async fn insert(
    tx: &impl ConnectionTrait,
    table: &'static CopiedTable,
    mut rows: &mut [Vec<Value>],
) -> Result<(), DbErr> {
    let backend = tx.get_database_backend();
    for size in ROWS_OF_INSERTS {
        let text = insert_text(table, backend, size);
        while rows.len() >= size {
            let (now, later) = rows.split_at_mut(size);
            let values: Vec<Value> = now.iter_mut().flat_map(std::mem::take).collect();
            tx.execute_raw(Statement::from_sql_and_values(backend, &text, values)).await?;
            rows = later;
        }
    }
    Ok(())
}

/// The statement that inserts so many rows.
fn insert_text(table: &CopiedTable, backend: DbBackend, rows: usize) -> String {
    let mut names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    let twin = table.twin.and_then(|(_, of)| names.iter().position(|name| *name == of));
    let tuple = |row: usize| {
        let first = row * table.columns.len() + 1;
        let values = table.columns.iter().enumerate().map(|(at, column)| value_text(backend, first + at, column.holds));
        let values: Vec<String> =
            values.chain(twin.map(|at| value_text(backend, first + at, table.columns[at].holds))).collect();
        format!("({})", values.join(", "))
    };
    let tuples: Vec<String> = (0..rows).map(tuple).collect();
    names.extend(table.twin.map(|(name, _)| name));
    format!("insert into {} ({}) values {}", table.name, names.join(", "), tuples.join(", "))
}

/// How many rows a table has, with those that are not copied. For the display of the progress.
pub async fn count(tx: &impl ConnectionTrait, table: &CopiedTable) -> Result<u64, DbErr> {
    let backend = tx.get_database_backend();
    let text = format!("select count(*) from {}", table.name);
    let row = tx.query_one_raw(Statement::from_string(backend, text)).await?;
    let count: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(count.unwrap_or(0).unsigned_abs())
}

/// The settings of a transaction that may take hours. A lock of another program is waited for only shortly.
pub const UNHURRIED: Sql = Sql::both(
    "select 1",
    "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0;
    set local lock_timeout = '10s'",
);

/// Keeps other writers away until the end of the transaction.
pub const LOCK_TARGET: Sql = Sql::both(
    "select 1",
    "lock table tasks, sessions, events, bookmarks, usage, agents, deliveries, changes, figure_deltas, figures, activity
        in share row exclusive mode",
);

/// A table with rows for which a database is not taken as the target of a copy.
pub const FIRST_TABLE_WITH_ROWS: Sql = Sql::both(
    "select case when exists (select 1 from tasks) then 'tasks' when exists (select 1 from sessions) then 'sessions'
        when exists (select 1 from events) then 'events' when exists (select 1 from bookmarks) then 'bookmarks'
        when exists (select 1 from usage) then 'usage' end",
    "select case when exists (select 1 from tasks) then 'tasks' when exists (select 1 from sessions) then 'sessions'
        when exists (select 1 from events) then 'events' when exists (select 1 from bookmarks) then 'bookmarks'
        when exists (select 1 from usage) then 'usage' end",
);

/// Disables the triggers of the schema and notes how they were. The one that checks events has the rules that other tables
/// have as conditions, so it stays.
pub const DISABLE_TRIGGERS: Sql = Sql::postgres(
    "create temp table disabled_triggers on commit drop as
        select c.relname::text as on_table, t.tgname::text as name, t.tgenabled::text as was
        from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = (select oid from pg_namespace where nspname = current_schema()) and not t.tgisinternal;
    do $$
    declare it record;
    begin
        for it in select * from pg_temp.disabled_triggers loop
            execute format('alter table %I disable trigger %I', it.on_table, it.name);
        end loop;
        alter table events enable trigger events_check_applied;
    end
    $$",
);

/// Enables the triggers again as they were.
pub const ENABLE_TRIGGERS: Sql = Sql::postgres(
    "do $$
    declare it record;
    begin
        for it in select * from pg_temp.disabled_triggers where was <> 'D' loop
            execute format('alter table %I enable %s trigger %I', it.on_table,
                case it.was when 'R' then 'replica' when 'A' then 'always' else '' end, it.name);
        end loop;
    end
    $$",
);

/// Deletes what a database without tasks can have: its log, what follows from the log, and the rows that the copy brings.
pub const EMPTY_TARGET: Sql = Sql::both(
    "delete from agents; delete from deliveries; delete from activity; delete from changes; delete from figure_deltas;
    delete from figures; delete from purging; delete from purges; delete from leaving; delete from settling;
    delete from tree_roots; delete from replaced; delete from usage_replaced",
    "delete from agents; delete from deliveries; delete from activity; delete from changes; delete from figure_deltas;
    delete from figures; delete from purging; delete from purges; delete from leaving; delete from folding;
    delete from counts_pending; delete from floor_notes",
);

/// The last place that was given to an event.
pub const LAST_POSITION: Sql = Sql::both(
    "select max(coalesce((select max(cast(seq as integer)) from sqlite_sequence where name = 'events'), 0),
        coalesce((select max(position) from events), 0))",
    "select greatest((select case when is_called then last_value else 0 end from events_position_seq),
        (select coalesce(max(position), 0) from events))",
);

/// Makes the next event get the place behind `?1`.
pub const GO_ON_AFTER: Sql = Sql::both(
    "insert into sqlite_sequence (name, seq) values ('events', max(?1,
        coalesce((select max(cast(seq as integer)) from sqlite_sequence where name = 'events'), 0)))",
    "select setval('events_position_seq', greatest($1::bigint, 1), $1::bigint > 0)",
);

/// What follows from the copied rows. The log is empty, and a later repair of the triggers must not think that it lacks the
/// copied events. The search index walks all rows. No cursor continues.
pub const DERIVE: Sql = Sql::both(
    "update tasks set counted_to = coalesce((select max(position) from events where task_id = tasks.id), 0);
    insert into sqlite_sequence (name, seq) values ('changes', 1 + coalesce(
        (select max(cast(seq as integer)) from sqlite_sequence where name = 'changes'), 0));
    delete from sqlite_sequence where rowid not in (select max(rowid) from sqlite_sequence group by name);
    update folded set deltas = 1, next = 1 + (select max(cast(seq as integer)) from sqlite_sequence where name = 'changes');
    insert into figures (project, figure, value)
        select project, 'tasks.' || status, count(*) from tasks group by project, status
        union all
        select project, 'source.' || source, count(*) from tasks group by project, source
        union all
        select project, 'events', sum(event_count) from tasks group by project
        union all
        select project, 'usage.answers', count(*) from usage group by project
        union all
        select project, 'usage.answers_with_cost', count(cost_usd_micros) from usage group by project
        union all
        select project, 'usage.cost_usd_micros', coalesce(sum(cost_usd_micros), 0) from usage group by project
        union all
        select project, 'usage.input_tokens', sum(input_tokens) from usage group by project
        union all
        select project, 'usage.output_tokens', sum(output_tokens) from usage group by project
        union all
        select project, 'usage.cache_read_tokens', sum(cache_read_tokens) from usage group by project
        union all
        select project, 'usage.cache_write_tokens', sum(cache_write_tokens) from usage group by project;
    update searched set next = 0;
    delete from runs",
    "insert into figures (project, figure, value)
        select project, 'tasks.' || status, count(*) from tasks group by project, status
        union all
        select project, 'source.' || source, count(*) from tasks group by project, source
        union all
        select project, 'events', sum(event_count) from tasks group by project
        union all
        select usage.project, 'usage.' || each.figure, sum(each.value) from usage cross join lateral (values
            ('answers', 1), ('answers_with_cost', (cost_usd_micros is not null)::int),
            ('cost_usd_micros', coalesce(cost_usd_micros, 0)), ('input_tokens', input_tokens),
            ('output_tokens', output_tokens), ('cache_read_tokens', cache_read_tokens),
            ('cache_write_tokens', cache_write_tokens)) each (figure, value)
        group by usage.project, each.figure;
    update floor set snapshot = pg_current_snapshot()::text;
    update searched set next = '', partly = null, step = step + 1;
    delete from epoch;
    analyze tasks, sessions, events, bookmarks, usage, agents, deliveries, activity, figures",
);

#[cfg(test)]
mod tests {
    use sea_orm::DbBackend;

    use super::insert_text;
    use crate::server::database::sql::copied_tables::COPIED_TABLES;

    #[test]
    fn a_statement_takes_fewer_values_than_each_engine_allows() {
        for table in COPIED_TABLES {
            assert!(table.columns.len() * super::ROWS_OF_INSERTS[0] < 32_766, "{}", table.name);
        }
    }

    #[test]
    fn a_statement_inserts_the_rows_one_after_the_other() {
        let table = COPIED_TABLES.iter().find(|table| table.name == "deliveries").expect("the table");
        let sqlite = "insert into deliveries (id, at) values (cast(?1 as text), ?2), (cast(?3 as text), ?4)";
        assert_eq!(insert_text(table, DbBackend::Sqlite, 2), sqlite);
        let postgres = "insert into deliveries (id, at) values ($1, $2), ($3, $4)";
        assert_eq!(insert_text(table, DbBackend::Postgres, 2), postgres);
    }

    #[test]
    fn a_task_is_listed_where_it_changed() {
        let text = insert_text(&COPIED_TABLES[0], DbBackend::Postgres, 1);
        assert!(text.contains("status_certain, listed_at)") && text.ends_with("$28, $16)"), "{text}");
    }
}
