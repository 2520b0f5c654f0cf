//! The command `requery import`, run in a process as a person runs it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime};

use crate::app::App;
use crate::home::{Home, fixtures, free_port};

/// Copies the transcripts to the folder where Claude Code keeps its own.
fn with_transcripts(to: &Path) {
    let mut folders = vec![(fixtures("transcripts"), to.to_owned())];
    while let Some((from, to)) = folders.pop() {
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push((entry.path(), to));
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    // The resumed session has the newer file.
    for (name, age) in [("notes/old.jsonl", 100), ("notes/resumed.jsonl", 1)] {
        let file = fs::File::options().append(true).open(to.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age * 24 * 3600)).unwrap();
    }
}

async fn import(home: &Home, args: &[&str]) -> Output {
    let command = home.requery(&[&["import"], args].concat());
    tokio::process::Command::from(command).output().await.unwrap()
}

fn code_and_output(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap())
}

#[tokio::test]
async fn each_transcript_is_imported_once() {
    let (home, app) = (Home::new(), App::start().await);
    let projects = home.path(".claude/projects");
    with_transcripts(&projects);
    // The import follows no links, not even a circle of them, and reads no other files.
    symlink(&projects, projects.join("loop")).unwrap();
    symlink("/dev/zero", projects.join("zero.jsonl")).unwrap();
    fs::write(projects.join("notes.txt"), "not a transcript").unwrap();

    let url = app.url("");
    let first = code_and_output(&import(&home, &["--server", &url]).await);
    let expected = "\
6 files of 37.72 KiB, 83 lines: 4 new tasks, 27 new events
12 new answers: 33,816 tokens sent (24,401 of them from the cache), 688 answered; 2 of them state what they cost, together $0.51
skipped 30 lines:
  PATH/hostile.jsonl:2: not JSON: expected ident at byte 2
";
    let shown = first.1.replace(&projects.display().to_string(), "PATH");
    assert_eq!((first.0, &shown[..expected.len().min(shown.len())]), (Some(0), expected), "{shown}");
    assert_eq!(app.sql_seen("select count(*) from tasks"), "4");
    let again = code_and_output(&import(&home, &["--server", &url]).await).1;
    assert!(again.contains(" 83 lines: 0 new tasks, 0 new events\nskipped 30 lines:\n"), "{again}");

    // One file by its path, and only the files since a time.
    let file = projects.join("notes/old.jsonl").display().to_string();
    let one = code_and_output(&import(&home, &[&file, "--server", &url]).await);
    assert_eq!(one, (Some(0), "1 file of 2.61 KiB, 5 lines: 0 new tasks, 0 new events\n".to_owned()));
    let since = code_and_output(&import(&home, &["--since", "30d", "--server", &url]).await).1;
    assert!(since.starts_with("5 files of "), "{since}");
}

#[tokio::test]
async fn a_dry_run_needs_no_server() {
    let home = Home::new();
    with_transcripts(&home.path("elsewhere/projects"));
    let mut command = home.requery(&["import", "--dry-run", "--server", "nowhere"]);
    command.env("CLAUDE_CONFIG_DIR", home.path("elsewhere"));
    let (code, text) = code_and_output(&tokio::process::Command::from(command).output().await.unwrap());
    assert!(text.starts_with("6 files of 37.72 KiB, 83 lines: 4 sessions, 27 events\nskipped 29 lines:\n"), "{text}");
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn long_files_are_sent_in_batches_and_overlong_lines_are_skipped() {
    let (home, app) = (Home::new(), App::start().await);
    let prompt = |at: usize, text: &str| {
        let time = format!("2026-01-12T{:02}:{:02}:{:02}.000Z", at / 3600, at / 60 % 60, at % 60);
        format!(
            r#"{{"type":"user","uuid":"u{at}","sessionId":"long","timestamp":"{time}","message":{{"content":"{text}"}}}}"#
        )
    };
    let mut lines: Vec<String> = (0..2500).map(|at| prompt(at, &format!("line {at}"))).collect();
    lines[1200] = "x".repeat(8 * 1024 * 1024 + 1);
    lines[1300] = prompt(1300, &"yes.".repeat(7 * 256 * 1024));
    lines[1400] = "broken".to_owned();
    lines[1500] = String::new();
    let file = home.path("odd\x1b[2J name.jsonl");
    fs::write(&file, lines.join("\n")).unwrap();
    let url = app.url("");
    let (code, text) = code_and_output(&import(&home, &[&file.display().to_string(), "--server", &url]).await);
    let expected = "1 file of 15.29 MiB, 2,499 lines: 1 new task, 2,497 new events\nskipped 2 lines:\n";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains(r"odd\u{1b}[2J name.jsonl:1201: longer than 8 MiB"), "{text}");
    assert!(text.contains(r"odd\u{1b}[2J name.jsonl:1401: not JSON: expected value at byte 1"), "{text}");
    assert_eq!(code, Some(0));
    assert_eq!(app.sql_seen("select count(*), max(truncated) from events"), format!("2497|{}", 7 * 1024 * 1024));
    let times = app.sql_seen("select created_at from events order by position");
    assert!(times.lines().is_sorted());
}

/// The rest of the last line is being written, or was never written. The whole records before it are taken.
#[tokio::test]
async fn a_last_line_without_an_end_gives_its_whole_records() {
    let (home, app) = (Home::new(), App::start().await);
    let file = home.path("glued.jsonl");
    let prompt = |at: usize| {
        format!(
            r#"{{"type":"user","uuid":"u{at}","sessionId":"glued","timestamp":"2026-01-12T00:00:0{at}.000Z","message":{{"content":"row {at}"}}}}"#
        )
    };
    fs::write(&file, format!("{}\n{}{}{}", prompt(1), prompt(2), prompt(3), &prompt(4)[..90])).unwrap();
    let (url, name) = (app.url(""), file.display().to_string());
    let (code, text) = code_and_output(&import(&home, &[&name, "--server", &url]).await);
    assert_eq!((code, text.ends_with("2 lines: 1 new task, 3 new events\n")), (Some(0), true), "{text}");
    fs::write(&file, format!("{}\n{}{}{}\n", prompt(1), prompt(2), prompt(3), prompt(4))).unwrap();
    let (_, text) = code_and_output(&import(&home, &[&name, "--server", &url]).await);
    assert!(text.ends_with("2 lines: 0 new tasks, 1 new event\n"), "{text}");
}

#[tokio::test]
async fn a_path_without_a_transcript_is_named_and_fails() {
    let (home, app) = (Home::new(), App::start().await);
    let url = app.url("");
    fs::create_dir_all(home.path("empty")).unwrap();
    fs::write(home.path("notes.txt"), "buy apples\n{\"type\":\"response_item\",\"payload\":{}}\n").unwrap();
    fs::write(home.path("blank.jsonl"), "").unwrap();
    let transcript = fixtures("transcripts").join("notes/old.jsonl").display().to_string();
    for name in ["empty", "notes.txt", "blank.jsonl"] {
        let path = home.path(name).display().to_string();
        for more in [&[][..], &["--dry-run"], &[transcript.as_str()]] {
            let args = [&[path.as_str(), "--server", url.as_str()][..], more].concat();
            let (code, text) = code_and_output(&import(&home, &args).await);
            assert_eq!(code, Some(1), "{args:?}: {text}");
            assert!(text.contains(&format!("in {path}")), "{args:?}: {text}");
        }
    }
    // A folder may hold other files beside its transcripts.
    let folder = home.path("mixed");
    with_transcripts(&folder);
    fs::write(folder.join("other.jsonl"), "{\"kind\":1}\n").unwrap();
    let folder = folder.display().to_string();
    let (code, text) = code_and_output(&import(&home, &[&folder, "--server", &url]).await);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("no transcript of Claude Code in {folder}/other.jsonl\n")), "{text}");
    assert!(text.contains("passed over "), "{text}");
}

#[tokio::test]
async fn an_unreachable_server_and_unreadable_paths_are_reported() {
    let home = Home::new();
    with_transcripts(&home.path(".claude/projects"));
    let unreachable = format!("http://127.0.0.1:{}", free_port());
    let away = import(&home, &["--server", &unreachable, "--give-up-after", "10ms"]).await;
    let errors = String::from_utf8(away.stderr).unwrap();
    assert_eq!(away.status.code(), Some(1));
    assert!(errors.contains("waiting for the server: ") && errors.contains("gave up: "), "{errors}");

    let missing = import(&home, &["/no/such/folder", "--server", &unreachable]).await;
    let errors = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        errors.contains("could not read /no/such/folder: ") && errors.contains("nothing could be read"),
        "{errors}"
    );
    // With at least one readable path the command succeeds and reports the unreadable one.
    let app = App::start().await;
    let file = fixtures("transcripts").join("notes/old.jsonl").display().to_string();
    let (code, text) = code_and_output(&import(&home, &["/no/such/folder", &file, "--server", &app.url("")]).await);
    assert_eq!(code, Some(0));
    assert!(text.ends_with("together $0.51\ncould not read 1 path\n"), "{text}");
}
