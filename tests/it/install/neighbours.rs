//! The programs beside a settings file: the client, the server, the installed program and git.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{settings, value, write};
use crate::home::{Home, free_port};

#[tokio::test]
async fn the_server_learns_of_an_install_and_of_an_uninstall() {
    let home = Home::new();
    home.install_program("claude", "echo '2.1.332 (Claude Code)'");
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let install = ["hooks", "install", "--agent", "claude-code", "--server", &url];
    let untold = format!("  the server at {url} was not told; ");
    let text = home.run(&install);
    assert!(text.contains("installed 26 hooks") && text.contains(&untold), "{text}");

    let served = home.serve(port, &[]).await;
    let agents = async || served.get("/api/v1/agents").await["items"].clone();
    home.run(&[&install[..], &["--dry-run"]].concat());
    assert_eq!(agents().await, json!([]), "a dry run tells no server");
    // The hooks are installed already, but this server does not know them yet.
    let text = home.run(&install);
    assert!(text.contains("already installed") && !text.contains("not told"), "{text}");
    let told = agents().await;
    let expected = |hooks: u32| {
        let host = &told[0]["host"];
        json!([{"source": "claude-code", "host": host, "version": "2.1.332", "hooks": hooks, "heard_at": null, "running": 0}])
    };
    assert!(told[0]["host"].as_str().is_some_and(|host| !host.is_empty()), "{told}");
    assert_eq!(told, expected(26));
    // A hook names the same machine as the install.
    home.hook(
        &["claude-code", "--server", &url],
        br#"{"session_id":"s","hook_event_name":"UserPromptSubmit","cwd":"/home/dev/shop","prompt":"p"}"#,
    );
    // A busy server takes the record from the spool.
    served.wait_for_events(1).await;
    let heard = agents().await;
    assert_eq!((heard.as_array().map(Vec::len), &heard[0]["running"]), (Some(1), &json!(1)), "{heard}");
    // Of two settings files the one with more hooks counts.
    home.install_program("claude", "echo '2.1.92 (Claude Code)'");
    for action in [&install[..], &["hooks", "uninstall", "--agent", "claude-code"]] {
        let text = home.run(&[action, &["--project"]].concat());
        assert!(!text.contains("not told") && !text.contains("26 hooks"), "{text}");
        assert_eq!((&agents().await[0]["hooks"], &agents().await[0]["version"]), (&json!(26), &json!("2.1.92")));
    }
    let text = home.run(&["hooks", "uninstall", "--agent", "claude-code"]);
    assert!(!text.contains("not told"), "{text}");
    assert_eq!((&agents().await[0]["hooks"], &heard[0]["hooks"]), (&json!(0), &json!(26)));
}

/// A client can start a process that goes on and keeps the output open.
#[test]
fn a_process_that_the_client_leaves_behind_holds_up_no_install() {
    let home = Home::new();
    home.install_program("claude", "sleep 20 &\necho '2.1.92 (Claude Code)'");
    let began = Instant::now();
    let text = home.run(&["hooks", "install", "--agent", "claude-code"]);
    assert!(text.contains("installed 9 hooks"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_removed_program_fails_no_hook() {
    let home = Home::new();
    let (program, kept) = (home.path("bin/requery"), home.path("kept"));
    // A process of its own copies: a fork of another test would inherit the open file, and no program runs that is open
    // for writing.
    let mut copy = std::process::Command::new("cp");
    assert!(copy.arg(env!("CARGO_BIN_EXE_requery")).arg(&program).status().unwrap().success());
    let mut install = std::process::Command::new(&program);
    install.args(["hooks", "install", "--agent", "claude-code", "--server", "http://127.0.0.1:9"]);
    assert!(home.at_home(install).output().unwrap().status.success());
    let text = fs::read_to_string(settings(&home, "claude-code", "--user")).unwrap();
    let command = value(text.as_bytes())["hooks"]["Stop"][0]["hooks"][0]["command"].as_str().unwrap().to_owned();
    let run = || {
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(&command);
        let mut child = home.at_home(shell);
        child.stdin(std::process::Stdio::null());
        crate::home::check_silent(&child.output().unwrap());
    };
    run();
    fs::rename(&program, &kept).unwrap();
    run();
}

#[test]
fn the_file_of_a_project_is_kept_out_of_git() {
    for folder in ["", "nested", "a [b] *c? \\d !", "#e"] {
        let home = Home::new();
        let git = |args: &[&str]| {
            let mut git = std::process::Command::new("git");
            git.args(args);
            let output = home.at_home(git).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        git(&["init", "--quiet", "."]);
        let exclude = home.project().join(".git/info/exclude");
        // A last line without an end, and not in UTF-8.
        write(&exclude, b"latin-\xe9");
        let nested = home.project().join(folder);
        fs::create_dir_all(&nested).unwrap();
        let install = || {
            let mut install = home.requery(&["hooks", "install", "--agent", "claude-code", "--project"]);
            let output = install.current_dir(&nested).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let text = install();
        assert!(text.contains("kept out of git       by a line in ") && text.contains("/.git/info/exclude"), "{text}");
        assert_eq!(git(&["status", "--porcelain"]), "");
        let excluded = fs::read(&exclude).unwrap();
        fs::remove_file(nested.join(".claude/settings.local.json")).unwrap();
        assert!(!install().contains("kept out of git"), "git ignores the file already");
        assert_eq!(fs::read(&exclude).unwrap(), excluded);
    }
}
