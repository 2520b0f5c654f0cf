//! Who may import whom: what ARCHITECTURE.md says, read from the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// Time is an argument.
const CLOCKS: &[&str] = &["Instant::now", "SystemTime", "Utc::now", "tokio::time"];

/// A part of the tree, and the paths none of its lines may name.
const RULES: &[(&str, &[&str])] = &[
    ("src/protocol", &["crate::engine", "crate::client", "crate::server", "sea_orm", "tokio"]),
    ("src/engine", &["crate::client", "crate::server", "sea_orm", "tokio", "serde_json", "Instant::now", "SystemTime"]),
    ("src/client", &["crate::server", "sea_orm", "poem"]),
    ("src/agent", &["crate::server", "crate::client", "crate::protocol", "crate::engine", "tokio", "sea_orm"]),
    ("src/server", &["crate::client"]),
    ("src/server/http", &["requery_entities", "sea_orm"]),
    ("src/server/net/ws", &["requery_entities", "sea_orm", "server::database"]),
    ("src/server/net/sse", &["requery_entities", "sea_orm", "server::database"]),
    ("src/server/hub", &["requery_entities", "sea_orm", "database::", "poem"]),
    ("src/server/read", &["ingest", "crate::engine"]),
    ("src/server/change_log", &["ingest", "search", "read::", "hub", "feed", "poem", "crate::engine"]),
    ("src/server/search", &["ingest", "read::", "change_log", "hub", "feed", "poem", "crate::engine"]),
    ("src/server/ingest", CLOCKS),
    ("src/server/agents/hooks", CLOCKS),
    ("src/server/agents/transcripts", CLOCKS),
    ("src/server/agents/silence/judgement", CLOCKS),
    ("src/server/hub/window", CLOCKS),
    ("src/server/agents", &["ActiveModel", "insert into", "Entity::insert", "Entity::update", "Entity::delete"]),
    ("src/server/read", &["ActiveModel"]),
    ("migrations/src", &["requery_entities"]),
    ("entities/src", &["requery_migrations", "async fn"]),
];

#[test]
fn imports_point_downwards() {
    let mut wrong = Vec::new();
    for (part, forbidden) in RULES {
        let files = sources(Path::new(part));
        assert!(!files.is_empty(), "{part} is gone: mend the rule");
        for file in files {
            for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for path in *forbidden {
                    if code.contains(path) {
                        wrong.push(format!("{}:{}: {part} may not name {path}", file.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn anyhow_stays_in_the_command_line() {
    for file in sources(Path::new("src")) {
        let of_cli = file.starts_with("src/cli") || file == Path::new("src/cli.rs") || file == Path::new("src/main.rs");
        assert!(of_cli || !fs::read_to_string(&file).unwrap().contains("anyhow"), "{}", file.display());
    }
}

#[test]
fn no_file_is_longer_than_500_lines() {
    for folder in ["src", "entities/src", "migrations/src", "tests", "benches"] {
        for file in sources(Path::new(folder)) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= 500, "{} has {lines} lines", file.display());
        }
    }
}

/// `part.rs` and everything under `part/`.
fn sources(part: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let file = part.with_extension("rs");
    if file.is_file() {
        found.push(file);
    }
    let Ok(entries) = fs::read_dir(part) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
