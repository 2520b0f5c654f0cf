//! Small transcripts from public reports of faults, with their right rows.

use serde_json::{Value, json};

use super::{Importer, line_of};
use crate::home::fixtures;

fn field(file: &str) -> String {
    let path = fixtures("field").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The title of a session's task, and its rows: kind, state and the first line.
async fn rows(importer: &Importer, session: &str) -> (String, String) {
    let detail = importer.task(session).await;
    let rows = detail["timeline"]["items"].as_array().unwrap().iter().rev();
    let rows: Vec<_> = rows.map(|row| line_of(row)[9..].to_owned()).collect();
    (detail["task"]["title"].as_str().unwrap().to_owned(), rows.join("\n"))
}

#[tokio::test]
async fn a_torn_record_costs_no_record_beside_it() {
    let importer = Importer::start().await;
    let imported = importer.import(field("01-torn-and-glued.jsonl")).await;
    assert_eq!(imported["reasons"], json!([{"line": 2, "reason": "the record at byte 1 is torn"}]));
    assert_eq!((&imported["lines"], &imported["skipped"], &imported["events"]), (&json!(4), &json!(1), &json!(5)));
    let (title, rows) = rows(&importer, "g01").await;
    assert_eq!(title, "how many apple trees are there?");
    assert_eq!(
        rows,
        "\
user.message user: how many apple trees are there?
user.message user: and the pear trees?
assistant.response assistant: Twelve.
user.message user: plant one more
assistant.response assistant: Planted."
    );
    assert_eq!(importer.task("g01").await["usage"], super::usage(2, [4, 6, 10, 14], None, 0));
    assert_eq!(importer.app.sql_seen("select group_concat(answer_id) from usage"), "msg_g01b,msg_g01c");
}

/// The same records with NULs, tears and missing line ends between them.
#[tokio::test]
async fn damage_costs_one_record_each() {
    let line = |at: usize| {
        json!({"type": "user", "uuid": format!("n{at}"), "sessionId": "nuls", "cwd": "/srv/orchard",
            "timestamp": format!("2026-08-01T08:00:0{at}.000Z"), "message": {"content": format!("row {at} }}{{")}})
        .to_string()
    };
    let nuls = "\0".repeat(4096);
    let torn = &line(9)[..130];
    for (lines, skipped) in [
        (format!("{}\n{nuls}\n{}\n{}\n", line(1), line(2), line(3)), 1),
        (format!("{}\n{nuls}{}{}\n", line(1), line(2), line(3)), 1),
        (format!("{}{nuls}{}{nuls}\n{}\n", line(1), line(2), line(3)), 2),
        (format!("{}\n{torn}{nuls}{}\n{}\n", line(1), line(2), line(3)), 1),
        (format!("{}{torn}\n{}\n{torn}{}\n", line(1), line(2), line(3)), 2),
        (format!("{} {}\t{}", line(1), line(2), line(3)), 0),
    ] {
        let importer = Importer::start().await;
        let imported = importer.import(lines.clone()).await;
        assert_eq!((&imported["skipped"], &imported["events"]), (&json!(skipped), &json!(3)), "{lines:?}");
        let (_, rows) = rows(&importer, "nuls").await;
        assert_eq!(rows, "user.message user: row 1 }{\nuser.message user: row 2 }{\nuser.message user: row 3 }{");
    }
}

#[tokio::test]
async fn a_slash_command_keeps_its_arguments() {
    let importer = Importer::start().await;
    importer.import(field("02-slash-command-with-arguments.jsonl")).await;
    let (title, rows) = rows(&importer, "g02").await;
    assert_eq!(title, "/plan a cider press for two people");
    assert_eq!(
        rows,
        "user.message user: /plan a cider press for two people\nassistant.response assistant: Here is a plan."
    );
    let deadline = std::time::Instant::now() + crate::app::PATIENCE;
    loop {
        let found = importer.client.get("/api/v1/search?q=cider").await.json();
        if found.to_string().contains("cider press") {
            break;
        }
        // The index follows the rows.
        assert!(std::time::Instant::now() < deadline, "{found}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_prompt_behind_a_banner_is_the_prompt() {
    let importer = Importer::start().await;
    importer.import(field("03-prompt-behind-a-banner.jsonl")).await;
    let (title, rows) = rows(&importer, "g03").await;
    assert_eq!(title, "give the press a handle");
    assert_eq!(rows, "user.message user: give the press a handle\nuser.message user: and paint it green");
    for line in field("03-prompt-behind-a-banner.hooks.jsonl").lines() {
        importer.hook(serde_json::from_str::<Value>(line).unwrap()).await;
    }
    let task = importer.task("g03h").await;
    assert_eq!(task["task"]["title"], "give the press a handle");
    assert_eq!(task["timeline"]["items"][0]["body"], "give the press a handle");
}

/// An editor puts its banner into a part of its own. A command has no words, and a banner alone is no prompt.
#[tokio::test]
async fn banners_in_parts_of_their_own_are_cut_out() {
    let importer = Importer::start().await;
    let part = |text: &str| json!({"type": "text", "text": text});
    let prompts = [
        json!([part("<ide_opened_file>press.ts</ide_opened_file>")]),
        json!([part("<ide_opened_file>press.ts</ide_opened_file>"), part("give the press a handle")]),
        json!([
            part("<system-reminder>Mind.</system-reminder>"),
            part("and a lid"),
            part("<ide_selection>x</ide_selection>")
        ]),
        json!(
            "<command-message>garden:prune</command-message>\n<command-name>/garden:prune</command-name>\n<command-args>the <i>old</i> tree\nand the hedge</command-args>"
        ),
    ];
    let lines = prompts.iter().enumerate().map(|(at, content)| {
        let line = json!({"type": "user", "uuid": format!("s{at}"), "sessionId": "siblings", "cwd": "/srv/orchard",
            "timestamp": format!("2026-08-01T08:00:0{at}.000Z"), "message": {"role": "user", "content": content}});
        format!("{line}\r\n")
    });
    importer.import(lines.collect::<String>()).await;
    let (title, rows) = rows(&importer, "siblings").await;
    assert_eq!(title, "give the press a handle");
    assert_eq!(
        rows,
        "user.message user: give the press a handle\nuser.message user: and a lid\n\
        user.message user: /garden:prune the <i>old</i> tree"
    );
}

/// A record that is torn inside a text which quotes records costs itself alone.
#[tokio::test]
async fn a_tear_inside_a_quoted_record_costs_one_record() {
    let importer = Importer::start().await;
    let line = |at: usize, text: &str| {
        json!({"type": "user", "uuid": format!("q{at}"), "sessionId": "quotes", "cwd": "/srv/orchard",
            "timestamp": format!("2026-08-01T08:00:0{at}.000Z"), "message": {"content": text}})
        .to_string()
    };
    let quoting = line(2, &format!("why is {} torn?", line(7, "a }{ b")));
    let torn = &quoting[..quoting.find("torn").unwrap() - 20];
    assert!(torn.contains("\\\"type\\\""), "{torn}");
    let escaped = &quoting[..=quoting.find('\\').unwrap()];
    let lines = format!("{}{torn}\n{}\n{escaped}{}\n", line(1, "one"), line(3, "three"), line(4, "four"));
    let imported = importer.import(lines).await;
    let (_, rows) = rows(&importer, "quotes").await;
    assert_eq!(rows, "user.message user: one\nuser.message user: three\nuser.message user: four");
    assert_eq!((&imported["skipped"], &imported["events"]), (&json!(2), &json!(3)), "{imported}");
}
