//! All SQL is in one place: only the files of statements, the parts of one engine and the transactions make a statement
//! from text or run one.

use crate::sources::source_files;

/// The functions that make a statement from text or run one.
const RAW: &[&str] = &[
    "Statement::from_",
    "execute_raw",
    "execute_unprepared",
    "query_one_raw",
    "query_all_raw",
    "find_by_statement",
    "from_raw_sql",
    "sqlx::query",
    "sqlx::raw_sql",
];

#[test]
fn sql_stays_in_the_database_module() {
    let mut wrong = Vec::new();
    for file in source_files(&["src"]) {
        if !is_home(&file.path) {
            wrong.extend(raw_lines(&file.text).into_iter().map(|line| format!("{}:{line}", file.path)));
        }
    }
    assert!(wrong.is_empty(), "SQL belongs in src/server/database/sql: {}", wrong.join(", "));
}

#[test]
fn a_planted_statement_is_found() {
    for raw in RAW {
        let planted = format!("fn a() {{}}\n// {raw}\nlet rows = {raw}(1);\n");
        assert_eq!(raw_lines(&planted), [3], "{raw}");
    }
    assert!(is_home("src/server/database/sql/tasks.rs"));
    assert!(is_home("src/server/database/transaction.rs"));
    assert!(!is_home("src/server/database.rs"));
    assert!(!is_home("src/server/database/read.rs"));
    assert!(!is_home("src/server/read/search.rs"));
}

fn is_home(path: &str) -> bool {
    const FILES: &[&str] = &["src/server/database/sql.rs", "src/server/database/transaction.rs"];
    const FOLDERS: &[&str] = &["src/server/database/sql/", "src/server/database/sqlite/"];
    FILES.contains(&path) || FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// The numbers of the lines whose code names one of [`RAW`].
fn raw_lines(text: &str) -> Vec<usize> {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    let is_raw = |line: &str| RAW.iter().any(|raw| code(line).contains(raw));
    text.lines().enumerate().filter(|(_, line)| is_raw(line)).map(|(at, _)| at + 1).collect()
}
