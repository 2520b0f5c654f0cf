//! Search: the index follows every write through the API or by SQL, and a deleted row is no longer found.

use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use requery::protocol::Cursor;
use requery::server::search::query::Query;
use serde_json::{Value, json};

use crate::app::{App, BACKGROUND_PATIENCE, Engine, PATIENCE, by_engine, engine, on_sqlite_only, sqlite3};
use crate::rest::{Answer, Client};
use crate::store::Store;

mod damage;
mod words;

/// The answer for a query such as `q=word&project=p`.
async fn search(client: &Client, query: &str) -> Answer {
    let answer = client.get(&format!("/api/v1/search?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    answer
}

/// The kinds and titles of the results in their order, once the answer is complete.
pub async fn titles(client: &Client, query: &str) -> Vec<String> {
    let began = Instant::now();
    loop {
        let answer = search(client, query).await.json();
        if answer["complete"] == json!(true) {
            let title =
                |item: &Value| format!("{} {}", item["kind"].as_str().unwrap(), item["title"].as_str().unwrap());
            return answer["items"].as_array().unwrap().iter().map(title).collect();
        }
        assert!(began.elapsed() < BACKGROUND_PATIENCE, "no answer is complete");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The same, sorted by kind and title.
async fn all(client: &Client, query: &str) -> Vec<String> {
    let mut all = titles(client, query).await;
    all.sort();
    all
}

const NONE: [&str; 0] = [];

#[tokio::test]
async fn rows_written_by_the_api_or_by_sql_are_found() {
    let app = App::start().await;
    let client = Client::of(&app);
    let task = client.task("Port the Settings page", json!({"summary": "done with élan", "project": "p"})).await;
    let events = format!("/api/v1/tasks/{task}/events");
    let body = json!({"kind": "tool", "title": "cargo test", "body": "error in src/read_model.rs: élan"});
    let event = client.post(&events, body).await.text_at("/event_id");
    let body = json!({"task_id": task, "event_id": event, "title": "look", "note": "so much Elan"});
    let bookmark = client.put("/api/v1/bookmarks", body).await.text_at("/bookmark_id");
    assert_eq!(all(&client, "q=ELAN").await, ["bookmark look", "event cargo test", "task Port the Settings page"]);
    assert_eq!(titles(&client, "q=settings").await, ["task Port the Settings page"]);
    assert_eq!(titles(&client, "q=read_model").await, ["event cargo test"]);
    assert_eq!(titles(&client, "q=%22test%20cargo%22").await, NONE);
    assert_eq!(titles(&client, "q=car*%20elan").await, ["event cargo test"]);

    let found = search(&client, "q=look").await;
    let expected = json!({
        "kind": "bookmark", "task_id": task, "event_id": event, "bookmark_id": bookmark, "project": "p",
        "title": "look", "title_marks": [[0, 4]], "snippet": {"text": "so much Elan", "marks": []},
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(found.at(&format!("/items/0/{field}")), *value, "{field}");
    }
    let found = search(&client, "q=read_model").await;
    assert_eq!(found.at("/items/0/snippet"), json!({"text": "error in src/read_model.rs: élan", "marks": [[13, 23]]}));

    // Written by another program: a row without a title, and a text that is not UTF-8, which Postgres refuses.
    let body = by_engine("cast(x'68616e6400ff' as text)", "'hand'");
    app.sql(&format!(
        "insert into tasks (title) values ('by hand'); insert into events (task_id, kind, title, body)
            values ('{task}', 'log', 'hand made', {body});
         insert into bookmarks (task_id, note) values ('{task}', 'a hand full');"
    ));
    let began = Instant::now();
    while all(&client, "q=hand").await != ["bookmark ", "event hand made", "task by hand"] {
        assert!(began.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn the_index_follows_updates_moves_and_deletions() {
    let app = App::start().await;
    let client = Client::of(&app);
    let task = client.task("alpha", json!({"project": "p"})).await;
    let other = client.task("beta", json!({"project": "p", "parent_task_id": task})).await;
    let events = format!("/api/v1/tasks/{task}/events");
    let many: Vec<Value> = (0..450).map(|n| json!({"kind": "log", "title": format!("gamma {n}")})).collect();
    let logged = client.post(&events, json!({"events": many})).await;
    let first = logged.text_at("/items/0/event_id");
    client.post(&format!("/api/v1/tasks/{other}/events"), json!({"kind": "log", "title": "delta"})).await;
    client.put("/api/v1/bookmarks", json!({"task_id": task, "title": "mark", "note": "epsilon"})).await;
    assert_eq!(titles(&client, "q=gamma&limit=100").await.len(), 100);
    assert_eq!(all(&client, "q=epsilon").await, ["bookmark mark"]);

    client.patch(&format!("/api/v1/events/{first}"), json!({"title": "zeta"})).await;
    client.patch(&format!("/api/v1/tasks/{task}"), json!({"title": "eta"})).await;
    assert_eq!(titles(&client, "q=zeta").await, ["event zeta"]);
    assert_eq!(titles(&client, "q=alpha").await, NONE);
    assert_eq!(titles(&client, "q=eta").await, ["task eta"]);

    // The events and bookmarks of a tree move to its new project, and none is found in the old one.
    client.patch(&format!("/api/v1/tasks/{task}"), json!({"project": "q"})).await;
    assert_eq!(titles(&client, "q=gamma&project=p").await, NONE);
    assert_eq!(titles(&client, "q=gamma&project=q&limit=100").await.len(), 100);
    assert_eq!(titles(&client, "q=epsilon&project=q").await, ["bookmark mark"]);
    assert_eq!(titles(&client, "q=delta&project=p").await, NONE);
    assert_eq!(titles(&client, "q=delta&project=q").await, ["event delta"]);

    client.delete(&format!("/api/v1/events/{first}")).await;
    assert_eq!(titles(&client, "q=zeta").await, NONE);
    app.sql(&format!("delete from events where task_id = '{task}' and title like 'gamma 1%'; delete from bookmarks"));
    assert_eq!(titles(&client, "q=gamma%2017").await, NONE);
    assert_eq!(titles(&client, "q=gamma%2027").await, ["event gamma 27"]);
    assert_eq!(titles(&client, "q=epsilon").await, NONE);

    // Deleting a task removes its whole tree from the index.
    client.delete(&format!("/api/v1/tasks/{task}")).await;
    assert_eq!(all(&client, "q=gamma").await, NONE);
    assert_eq!(all(&client, "q=delta").await, NONE);
    check_empty(&app);

    let task = client.task("theta", json!({"status": "completed"})).await;
    client.post(&format!("/api/v1/tasks/{task}/events"), json!({"kind": "log", "title": "theta"})).await;
    assert_eq!(all(&client, "q=theta").await, ["event theta", "task theta"]);
    client.post("/api/v1/tasks/purge", json!({})).await;
    assert_eq!(all(&client, "q=theta").await, NONE);
    check_empty(&app);
}

/// Checks that the index has no rows.
fn check_empty(app: &App) {
    if engine() == Engine::Sqlite {
        assert_eq!(index_size(app), "0 0 0");
    }
}

/// The numbers of tasks, documents and full-text rows in the index.
fn index_size(app: &App) -> String {
    app.sql(
        "select (select count(*) from search_tasks) || ' ' || (select count(*) from search_documents) || ' '
            || (select count(*) from search_index_docsize)",
    )
}

#[tokio::test]
async fn replaced_rows_are_found() {
    if on_sqlite_only("Postgres has no REPLACE") {
        return;
    }
    let app = App::start().await;
    let client = Client::of(&app);
    let task = client.task("alpha", json!({})).await;
    client.post(&format!("/api/v1/tasks/{task}/events"), json!({"kind": "log", "title": "beta"})).await;
    assert_eq!(titles(&client, "q=beta").await, ["event beta"]);
    app.sql(&format!("insert or replace into tasks (id, title, project) values ('{task}', 'gamma', 'p')"));
    assert_eq!(all(&client, "q=gamma&project=p").await, ["task gamma"]);
    assert_eq!(titles(&client, "q=beta&project=p").await, ["event beta"]);
    assert_eq!(titles(&client, "q=alpha").await, NONE);
}

#[tokio::test]
async fn project_and_task_filters_match_exactly() {
    let client = Client::of(&App::start().await);
    for project in ["", "a", "a b", "a\"b", "é", "%", "a*"] {
        let task = client.task(&format!("word in {project}"), json!({"project": project})).await;
        client.post(&format!("/api/v1/tasks/{task}/events"), json!({"kind": "log", "title": "word"})).await;
    }
    assert_eq!(titles(&client, "q=word").await.len(), 14);
    for (project, title) in [("", ""), ("a", "a"), ("a%20b", "a b"), ("a%22b", "a\"b"), ("%C3%A9", "é"), ("a*", "a*")]
    {
        let found = all(&client, &format!("q=word&project={project}")).await;
        assert_eq!(found, ["event word".to_owned(), format!("task word in {title}")], "{project}");
    }
    for project in ["b", "A", "e", "a%20"] {
        assert_eq!(titles(&client, &format!("q=word&project={project}")).await, NONE, "{project}");
    }
    let task = search(&client, "q=word&project=a").await.text_at("/items/0/task_id");
    assert_eq!(titles(&client, &format!("q=word&task_id={task}")).await.len(), 2);
    assert_eq!(titles(&client, &format!("q=word&task_id={task}&project=b")).await, NONE);
    assert_eq!(titles(&client, &format!("q=word&limit=1&task_id={task}")).await.len(), 1);
}

#[tokio::test]
async fn title_matches_and_short_texts_rank_first() {
    let client = Client::of(&App::start().await);
    let task = client.task("t", json!({})).await;
    let long = format!("fox {}", "and so on ".repeat(50));
    let texts = [("one", long.as_str()), ("two", "a fox"), ("fox three", "in the title"), ("four", "a fox")];
    let events: Vec<Value> =
        texts.iter().map(|(title, body)| json!({"kind": "log", "title": title, "body": body})).collect();
    client.post(&format!("/api/v1/tasks/{task}/events"), json!({"events": events})).await;
    let found = titles(&client, "q=fox").await;
    assert_eq!(found, ["event fox three", "event four", "event two", "event one"]);
}

/// Events that an import writes with old times rank behind current events, although they are written later.
#[tokio::test]
async fn late_imports_rank_last() {
    let app = App::start().await;
    let client = Client::of(&app);
    let task = client.task("t", json!({})).await;
    let events = format!("/api/v1/tasks/{task}/events");
    client.post(&events, json!({"kind": "log", "title": "fox"})).await;
    assert_eq!(titles(&client, "q=fox").await, ["event fox"]);
    app.sql(&format!(
        "insert into events (task_id, kind, title, created_at) with recursive n (i) as
            (select 1 union all select i + 1 from n where i < 1500) select '{task}', 'log', 'fox of old ' || i, i from n"
    ));
    // Among themselves the imported events rank as others do: the newest first.
    let history = (1402..=1500).rev().map(|n| format!("event fox of old {n}"));
    let first: Vec<String> = std::iter::once("event fox".to_owned()).chain(history).collect();
    assert_eq!(titles(&client, "q=fox&limit=100").await, first);
    if on_sqlite_only("another program damages the index") {
        return;
    }
    // The same order after a rebuild of the index.
    let folder = app.stop().await;
    sqlite3(&folder.path().join("requery.db"), "delete from search_index_config");
    let app = App::start_in(folder, |_| ()).await;
    let client = Client::of(&app);
    let began = Instant::now();
    while index_size(&app) != "1 1502 1502" || client.get("/api/v1/search?q=fox").await.status != 200 {
        assert!(began.elapsed() < PATIENCE, "{}", index_size(&app));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(titles(&client, "q=fox&limit=100").await, first);
    assert_eq!(app.sql("select count(*) from search_documents where id < 0"), "1500");
    // Deleting the task removes the imported events from the index too.
    client.delete(&format!("/api/v1/tasks/{task}")).await;
    assert_eq!(titles(&client, "q=fox").await, NONE);
    check_empty(&app);
}

#[tokio::test]
async fn wrong_search_parameters_are_refused_by_name() {
    let client = Client::of(&App::start().await);
    client.task("x", json!({})).await;
    for (query, problem) in [
        ("", "422 q"),
        ("q=x&limit=0", "422 limit"),
        ("q=x&limit=101", "422 limit"),
        ("q=x&task_id=odd", "422 task_id"),
        (&format!("q={}", "x".repeat(501)), "422 q"),
        (&format!("q={}", "%C3%A9".repeat(501)), "422 q"),
    ] {
        assert_eq!(client.get(&format!("/api/v1/search?{query}")).await.problem(), problem, "{query}");
    }
    assert_eq!(search(&client, &format!("q={}", "%C3%A9".repeat(500))).await.at("/items"), json!([]));
    titles(&client, "q=x").await;
    let answer = search(&client, "q=x").await;
    let tag = answer.header("etag").to_owned();
    let again = client.send("GET", "/api/v1/search?q=x", None::<String>, &[("if-none-match", tag)]).await;
    assert_eq!(again.status, 304);
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A query is plain text: words that are operators in the syntax of the index have no effect.
#[tokio::test]
async fn any_text_is_a_valid_query() {
    let client = Client::of(&App::start().await);
    let task = client.task("NOT foo* OR \"bar\" AND NEAR(x, 5) title:y ^z {a}", json!({})).await;
    assert_eq!(titles(&client, "q=near").await.len(), 1);
    for blank in ["", " ", "\"", "\"\"", "*", "'", "--", ";", "()", "\0", "\u{feff}", "\u{301}\u{301}", "-:^+{}~"] {
        assert_eq!(titles(&client, &format!("q={}", encoded(blank))).await, NONE, "{blank:?}");
    }
    for query in [
        "NOT",
        "foo*",
        "OR",
        "AND",
        "NEAR(x, 5)",
        "title:y",
        "^z",
        "{a}",
        "\"bar",
        "bar\"",
        "near\0x",
        "not'",
        "foo\\",
        "x;drop table tasks",
        "a b c d e f g h i j k l m n o p q r s t u v w x y z 1 2 3 4 5 6 7 8 9",
    ] {
        let found = search(&client, &format!("q={}", encoded(query))).await;
        assert_eq!(found.at("/items").as_array().unwrap().len() == 1, query.len() < 15, "{query}: {}", found.text);
    }
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let any = proptest::collection::vec(
        proptest::prop_oneof![
            proptest::char::any().prop_map(|c| c.to_string()),
            proptest::sample::select(vec![
                "\"", "*", " ", "^", ":", "(", ")", "NEAR", "AND", "OR", "NOT", "{title}", "-", "+", "'", "\0",
                "\u{202e}", "a", "foo", "_", ",", "\\"
            ])
            .prop_map(str::to_owned),
        ],
        0..40,
    );
    for _ in 0..150 {
        let text = any.new_tree(&mut runner).unwrap().current().concat();
        let path = format!("/api/v1/search?q={}", encoded(&text));
        let answer = client.get(&path).await;
        assert!(matches!(answer.status, 200 | 422), "{text:?}: {}", answer.text);
        // A stored text finds its own row, if the text has a word.
        let kept = text.replace('\0', "");
        client.patch(&format!("/api/v1/tasks/{task}"), json!({ "summary": kept })).await;
        let found = titles(&client, &format!("q={}", encoded(&kept))).await;
        assert_eq!(found.len(), usize::from(!Query::parse(&kept).is_empty()), "{kept:?}");
    }
}

#[tokio::test]
async fn a_restart_indexes_the_logged_changes_and_rebuilds_after_a_gap() {
    let app = App::start().await;
    let client = Client::of(&app);
    let task = client.task("alpha", json!({})).await;
    client.post(&format!("/api/v1/tasks/{task}/events"), json!({"kind": "log", "title": "alpha"})).await;
    assert_eq!(all(&client, "q=alpha").await, ["event alpha", "task alpha"]);
    let folder = app.stop().await;
    let store = Store::of(folder.path());

    // Writes without a running server: the log has them.
    store.sql(&format!(
        "update tasks set title = 'beta'; insert into events (task_id, kind, title) values ('{task}', 'log', 'beta')"
    ));
    let app = App::start_in(folder, |_| ()).await;
    let client = Client::of(&app);
    assert_eq!(all(&client, "q=beta").await, ["event beta", "task beta"]);
    assert_eq!(all(&client, "q=alpha").await, ["event alpha"]);
    let folder = app.stop().await;

    if on_sqlite_only("no program but the server prunes the log of Postgres") {
        return;
    }
    // Writes whose changes are deleted from the log.
    store.sql(&format!(
        "delete from events where title = 'alpha'; update tasks set project = 'p', title = 'gamma';
             insert into events (task_id, kind, title) values ('{task}', 'log', 'gamma');
             insert into bookmarks (task_id, note) values ('{task}', 'gamma');
             delete from changes where id < (select max(id) from changes)"
    ));
    let app = App::start_in(folder, |_| ()).await;
    let client = Client::of(&app);
    assert_eq!(all(&client, "q=gamma&project=p").await, ["bookmark ", "event gamma", "task gamma"]);
    assert_eq!(all(&client, "q=beta&project=p").await, ["event beta"]);
    assert_eq!(all(&client, "q=alpha").await, NONE);
    assert_eq!(app.sql("select count(*) from search_documents"), "4");
}

/// The oldest changes that the index lacks are in the log, so its beginning does not show the hole.
#[tokio::test]
async fn a_hole_in_the_log_hides_no_row() {
    if on_sqlite_only("no program but the server prunes the log of Postgres") {
        return;
    }
    let app = App::start().await;
    let client = Client::of(&app);
    client.task("alpha", json!({})).await;
    assert_eq!(all(&client, "q=alpha").await, ["task alpha"]);
    let mut folder = app.stop().await;
    for (number, lost) in (1..).zip(["= (select max(id) - 1 from changes)", "= (select max(id) from changes)"]) {
        sqlite3(
            &folder.path().join("requery.db"),
            &format!(
                "insert into tasks (title) values ('one{number}'), ('two{number}'), ('three{number}');
                 delete from changes where id {lost}"
            ),
        );
        let app = App::start_in(folder, |_| ()).await;
        let client = Client::of(&app);
        for word in ["one", "two", "three"] {
            assert_eq!(all(&client, &format!("q={word}{number}")).await, [format!("task {word}{number}")], "{lost}");
        }
        folder = app.stop().await;
    }
}

/// A database with 2,500 events whose index has to be built from the start.
#[tokio::test]
async fn writes_succeed_while_the_index_is_built() {
    let app = App::start().await;
    let client = Client::of(&app);
    let task = client.task("old", json!({})).await;
    let folder = app.stop().await;
    let begins = by_engine("next = 0, stage = null", "next = ''");
    Store::of(folder.path()).sql(
        &format!(
            "with recursive n (n) as (select 1 union all select n + 1 from n where n < 2500)
             insert into events (task_id, kind, title, body) select '{task}', 'log', 'number ' || n, 'a text of it' from n;
             update searched set {begins}"
        ),
    );
    let app = App::start_in(folder, |_| ()).await;
    let client = Client::of(&app);
    let mut slowest = Duration::ZERO;
    let mut written = 0;
    while search(&client, "q=number").await.at("/complete") == json!(false) {
        let began = Instant::now();
        let body = json!({"kind": "log", "title": format!("written {written}")});
        let answer = client.post(&format!("/api/v1/tasks/{task}/events"), body).await;
        assert_eq!(answer.status, 201);
        slowest = slowest.max(began.elapsed());
        written += 1;
    }
    assert!(slowest < Duration::from_secs(2), "a write waited {slowest:?}");
    assert!(written >= 10, "the index was built beside {written} writes only");
    assert_eq!(titles(&client, "q=%22number%201%22").await, ["event number 1"]);
    // Of more than a thousand equal texts the newest ranks first.
    assert_eq!(titles(&client, "q=text&limit=1").await, ["event number 2500"]);
    if engine() == Engine::Sqlite {
        let fts = app.sql("select count(*) from search_index_docsize");
        assert_eq!(fts, (2_501 + written).to_string());
    }
}

#[tokio::test]
async fn complete_is_true_exactly_when_the_index_covers_the_cursor() {
    let app = App::start().await;
    let client = Client::of(&app);
    let cursor = |answer: &Answer| answer.header("requery-cursor").parse::<Cursor>().unwrap();
    for n in 0..20 {
        let wrote = client.post("/api/v1/tasks", json!({"title": format!("word{n}")})).await;
        let began = Instant::now();
        let found = search(&client, &format!("q=word{n}")).await;
        assert!(began.elapsed() < Duration::from_secs(5));
        let complete = found.at("/complete") == json!(true);
        assert_eq!(complete, cursor(&found).covers(&cursor(&wrote)));
        assert!(!complete || found.at("/items/0/title") == json!(format!("word{n}")));
    }
    while search(&client, "q=word19").await.at("/complete") != json!(true) {}
    if on_sqlite_only("no writer of Postgres holds up the index") {
        return;
    }
    // While another process holds the write lock the index cannot follow. The answer comes with `complete: false`.
    let mut other = std::process::Command::new("sqlite3")
        .args(["-cmd", ".timeout 30000"])
        .arg(app.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::{BufRead, Write};
    let mut lines = std::io::BufReader::new(other.stdout.take().unwrap());
    let stdin = other.stdin.as_mut().unwrap();
    stdin.write_all(b"insert into tasks (title) values ('behind'); begin immediate; select 'locked';\n").unwrap();
    lines.read_line(&mut String::new()).unwrap();
    let began = Instant::now();
    let found = search(&client, "q=behind").await;
    if found.at("/complete") == json!(false) {
        assert_eq!(found.at("/items"), json!([]));
        assert!(began.elapsed() >= Duration::from_millis(100), "the answer did not wait for the index");
    }
    drop(other.stdin.take());
    other.wait().unwrap();
    assert_eq!(titles(&client, "q=behind").await, ["task behind"]);
}

#[tokio::test]
async fn a_prefix_finds_every_word_even_among_hundreds() {
    let client = Client::of(&App::start().await);
    let task = client.task("t", json!({})).await;
    let events = format!("/api/v1/tasks/{task}/events");
    let log = async |from: usize, to: usize| {
        let some: Vec<Value> = (from..to).map(|n| json!({"kind": "log", "title": format!("be{n:03} x")})).collect();
        client.post(&events, json!({"events": some})).await;
    };
    log(0, 3).await;
    client.post(&events, json!({"kind": "log", "title": "be", "body": "BÉtter bé b bf ae"})).await;
    assert_eq!(all(&client, "q=be*").await, ["event be", "event be000 x", "event be001 x", "event be002 x"]);
    assert_eq!(titles(&client, "q=bet*").await, ["event be"]);
    assert_eq!(titles(&client, "q=be001*%20x*").await, ["event be001 x"]);
    assert_eq!(titles(&client, "q=be*%20ae*").await, ["event be"]);
    assert_eq!(titles(&client, "q=beq*").await, NONE);
    log(3, 90).await;
    assert_eq!(titles(&client, "q=be*&limit=100").await.len(), 91);
    log(90, 300).await;
    assert_eq!(titles(&client, "q=be*&limit=100").await.len(), 100);
    assert_eq!(all(&client, "q=be*%20ae").await, ["event be"]);
    assert_eq!(titles(&client, "q=be29*&limit=100").await.len(), 10);
}
