//! Tests the layer check: code that breaks a rule is planted into the sources in memory, and the check must report its
//! line.

use super::FILES;
use super::check::problems;
use super::graph::Graph;
use super::reader::{ReadFile, read};

/// Adds code at the end of these files. In the problems that the check reports then, the lines of the planted code
/// count from 1, with a `+`.
fn problems_with(planted: &[(&str, &str)]) -> Vec<String> {
    let changed: Vec<(ReadFile, usize)> = planted.iter().map(|(path, code)| plant(path, code)).collect();
    let unchanged = FILES.iter().filter(|file| changed.iter().all(|(changed, _)| changed.path != file.path));
    let files: Vec<&ReadFile> = unchanged.chain(changed.iter().map(|(file, _)| file)).collect();
    let of_planted = |problem: String| {
        let mut parts = problem.splitn(3, ':');
        let (Some(path), Some(Ok(line)), Some(rest)) =
            (parts.next(), parts.next().map(str::parse::<usize>), parts.next())
        else {
            return problem;
        };
        let before = changed.iter().find(|(file, before)| file.path == path && line > *before);
        before.map_or_else(|| problem.clone(), |(_, before)| format!("{path}:+{}:{rest}", line - before))
    };
    problems(&Graph::of(&files)).into_iter().map(of_planted).collect()
}

/// The file with this code at its end, and how many lines are before it.
fn plant(path: &str, code: &str) -> (ReadFile, usize) {
    let text = std::fs::read_to_string(path).unwrap();
    (read(path, &format!("{text}{code}")), text.lines().count())
}

/// Plants code in files, each in a different one, and expects a problem in each that begins with the given text.
fn assert_found(expected: &[(&str, &str, &str)]) {
    let planted: Vec<(&str, &str)> = expected.iter().map(|(path, code, _)| (*path, *code)).collect();
    let problems = problems_with(&planted);
    for (at, (path, code, problem)) in expected.iter().enumerate() {
        assert!(expected[..at].iter().all(|(before, ..)| before != path), "{path} is planted twice");
        let found = problems.iter().any(|found| found.starts_with(&format!("{path}:{problem}")));
        assert!(found, "planted {code:?} in {path}, expected {problem:?}, found\n{}", problems.join("\n"));
    }
}

#[test]
fn allowed_lines_are_no_problem() {
    let planted = [
        ("src/server/hub/window.rs", "use crate::protocol::{self, Cursor as Other};\n"),
        ("src/server/net/ws.rs", "use super::super::feed as other;\nfn planted() -> other::Feed { panic!() }\n"),
        ("src/client/driver.rs", "fn planted() -> std::time::Instant { std::time::Instant::now() }\n"),
        ("src/server/http/task.rs", "/// Not `crate::client::start()`.\nconst PLANTED: &str = \"crate::client\";\n"),
        ("src/cli/watch.rs", "use requery::client::{Client as Other};\n"),
    ];
    assert_eq!(problems_with(&planted), Vec::<String>::new());
}

#[test]
fn imports_are_found_in_every_spelling() {
    let client = "+1: `server` may not name `client`";
    assert_found(&[
        ("src/server/hub.rs", "use super::super::client;\n", client),
        ("src/server/feed.rs", "use crate::{protocol, client};\n", client),
        ("src/server/read.rs", "use super::super::{client::{self as other}};\n", client),
        ("src/server/ingest.rs", "use crate::client::*;\n", client),
        ("src/server/http.rs", "fn planted() {\n    use crate::client;\n}\n", "+2: `server` may not name `client`"),
        (
            "src/server/error.rs",
            "mod planted {\n    use super::super::super::client;\n}\n",
            "+2: `server` may not name",
        ),
        ("src/server/net/ws.rs", "use super::super::database;\n", "+1: `server::net` may not name `server::database`"),
        ("src/cli/forward.rs", "use requery::server;\n", "+1: `cli::forward` may not name `server`"),
        (
            "src/server/http/task.rs",
            "extern crate sea_orm;\n",
            "+1: `server::http::task` may not name the crate `sea_orm`",
        ),
        ("src/engine.rs", "use tokio;\n", "+1: `engine` may not name `tokio`"),
    ]);
}

#[test]
fn paths_are_found_without_an_import() {
    let client = "+1: `server` may not name `client::start`";
    assert_found(&[
        ("src/server/search.rs", "fn planted() { crate::client::start() }\n", client),
        ("src/server/read.rs", "fn planted() -> crate::client::start { panic!() }\n", client),
        ("src/server/feed.rs", "fn planted() { assert!(crate::client::start()); }\n", client),
        ("src/server/hub.rs", "macro_rules! planted { () => { $crate::client::start() } }\n", client),
        ("src/server/ingest.rs", "planted! { use crate::client::{other, start}; }\n", client),
        ("src/server/http.rs", "#[serde(with = \"crate::client::start\")]\nstruct Planted;\n", client),
        ("src/server/error.rs", "#[derive(crate::client::start)]\nstruct Planted;\n", client),
        ("src/protocol.rs", "fn planted() { ::reqwest::get() }\n", "+1: `protocol` may not name `reqwest::get`"),
        (
            "src/protocol/id.rs",
            "use crate::server as house;\nfn planted() { house::database::open() }\n",
            "+2: `protocol` may not name `server::database::open`",
        ),
    ]);
}

#[test]
fn uses_through_reexports_are_found() {
    let problems = problems_with(&[
        ("src/server/read.rs", "pub use requery_entities::task as rows;\npub use sea_orm::*;\n"),
        ("src/server/http/task.rs", "use super::super::read::rows::Column;\n"),
        ("src/server/net/ws.rs", "use super::super::read::DbErr;\n"),
    ]);
    let expected = [
        "src/server/http/task.rs:+1: `server::http` may not name `requery_entities::task::Column` (through server::read)",
        "src/server/net/ws.rs:+1: `server::net` may not name `server::read`",
        "src/server/net/ws.rs:+1: `server::net::ws` may not name the crate `sea_orm` (through server::read)",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn a_transitive_use_is_reported_with_its_chain_of_modules() {
    let problems = problems_with(&[("src/protocol/frame.rs", "use crate::server::database::Database;\n")]);
    let hub = problems.iter().find(|problem| problem.contains("`server::hub` reaches `server::database`")).unwrap();
    assert!(hub.starts_with("src/server/hub"), "{hub}");
    assert!(hub.ends_with("names `server::database::Database`"), "{hub}");
}

#[test]
fn every_layer_of_the_server_has_paths_that_it_never_reaches() {
    let problems = problems_with(&[
        ("src/protocol/cursor.rs", "use poem::Route;\nuse crate::agent::process;\nuse crate::client::Client;\n"),
        ("src/server/access/scope.rs", "use crate::server::hub::Hub;\n"),
        ("src/server/database/error.rs", "use poem::Route;\n"),
    ]);
    for expected in [
        "`server::database` reaches `poem`",
        "`server::jobs` reaches `poem`",
        "`server::agents` reaches `poem`",
        "`server::feed` reaches `poem`",
        "`server::net` reaches `agent`",
        "`server::http` reaches `client`",
        "`server::access` reaches `server::hub`",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}\n{}", problems.join("\n"));
    }
}

#[test]
fn circles_are_found() {
    let circle = "+1: `id` and `notice` in `protocol` use each other";
    assert_found(&[("src/protocol/id.rs", "use super::notice::NoticeKind;\n", circle)]);
}

#[test]
fn clocks_are_found_outside_of_the_drivers() {
    assert_found(&[
        (
            "src/server/hub/window.rs",
            "fn planted() { std::time::Instant::now(); }\n",
            "+1: `server::hub::window` is no driver and may not read the clock (`std::time::Instant::now`)",
        ),
        (
            "src/server/read.rs",
            "use std::time as t;\nfn planted() { t::Instant::now(); }\n",
            "+2: `server::read` is no",
        ),
        (
            "src/server/error.rs",
            "use std::time::Instant as T;\nconst F: fn() -> T = T::now;\n",
            "+2: `server::error` is no",
        ),
        ("src/server/ingest.rs", "fn planted(at: T) { at.elapsed(); }\n", "+1: `server::ingest` is no driver"),
        (
            "src/engine/random.rs",
            "fn planted(at: T) { assert!(at.elapsed() > T); }\n",
            "+1: `engine::random` is no driver",
        ),
        (
            "src/engine.rs",
            "use uuid::Uuid;\nfn planted() { Uuid::now_v7(); }\n",
            "+2: `engine` is no driver and may not read the clock (`uuid::Uuid::now_v7`)",
        ),
        (
            "src/protocol/id.rs",
            "fn planted() { uuid::Timestamp::now(uuid::NoContext); }\n",
            "+1: `protocol::id` is no driver and may not read the clock (`uuid::Timestamp::now`)",
        ),
        (
            "src/agent/process.rs",
            "const PLANTED: fn() = std::time::SystemTime::elapsed;\n",
            "+1: `agent::process` is no driver and may not read the clock (`std::time::SystemTime::elapsed`)",
        ),
        (
            "src/server/agents/hooks/status/memory.rs",
            "use uuid::Uuid as U;\nfn planted() { U::now_v6(); }\n",
            "+2: `server::agents::hooks::status::memory` is no driver",
        ),
    ]);
}

#[test]
fn async_crates_missing_files_and_syntax_errors_are_found() {
    let entities = "+1: `requery_migrations` may not name `requery_entities::task`";
    assert_found(&[
        ("src/engine.rs", "async fn planted() {}\n", "+1: `engine` may not name `async`"),
        ("src/engine/random.rs", "fn planted() { spawn!(async move {}) }\n", "+1: `engine` may not name `async`"),
        ("entities/src/task.rs", "async fn planted() {}\n", "+1: `requery_entities` may not name `async`"),
        ("migrations/src/lib.rs", "use requery_entities::task;\n", entities),
        (
            "src/server/error.rs",
            "fn planted() -> anyhow::Error { panic!() }\n",
            "+1: `server::error` may not name the crate",
        ),
        ("src/agent.rs", "use crate::protocol;\n", "+1: `agent` may not name `protocol`"),
        ("src/agent/spool.rs", "use std::net::TcpStream;\n", "+1: `agent` may not name `std::net::TcpStream`"),
        ("src/client.rs", "mod planted;\n", "+1: there is no src/client/planted.rs"),
        ("src/server/net/ws.rs", "fn {\n", "+1: cannot parse"),
    ]);
}

#[test]
fn files_that_no_module_declares_are_found() {
    let planted = read("src/engine/planted.rs", "");
    let files: Vec<&ReadFile> = FILES.iter().chain([&planted]).collect();
    assert_eq!(problems(&Graph::of(&files)), ["src/engine/planted.rs:1: no module declares this file"]);
}
