//! `requery hooks`: install and uninstall keep all other settings of the user byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::PATIENCE;
use crate::home::{Home, fixtures, free_port, run_silently};

mod neighbours;

const AGENTS: [&str; 2] = ["claude-code", "codex"];
const SCOPES: [&str; 2] = ["--user", "--project"];

/// The files of the corpus whose names begin with `refused`, or all others.
fn corpus(refused: bool) -> Vec<PathBuf> {
    let files = fs::read_dir(fixtures("settings")).unwrap().map(|file| file.unwrap().path());
    let is_json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let found: Vec<_> = files.filter(is_json).filter(|path| name(path).starts_with("refused") == refused).collect();
    assert!(found.len() > 5);
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn settings(home: &Home, agent: &str, scope: &str) -> PathBuf {
    let (folder, of_user, of_project) = match agent {
        "codex" => (".codex", "hooks.json", "hooks.json"),
        _ => (".claude", "settings.json", "settings.local.json"),
    };
    match scope {
        "--user" => home.path(folder).join(of_user),
        _ => home.project().join(folder).join(of_project),
    }
}

fn write(path: &Path, text: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The value of a settings file; an object without members if the file is blank.
fn value(text: &[u8]) -> Value {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() { json!({}) } else { serde_json::from_str(text).unwrap() }
}

/// Our commands by event.
fn ours(settings: &Value) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (event, groups) in settings["hooks"].as_object().into_iter().flatten() {
        for hook in groups.as_array().unwrap().iter().flat_map(|group| group["hooks"].as_array().unwrap()) {
            if let Some(command) = hook["command"].as_str().filter(|command| command.contains(program())) {
                found.entry(event.clone()).or_default().push(command.to_owned());
            }
        }
    }
    found
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_requery")
}

/// The command of a hook. The shell checks that the program is there, and then becomes the program.
fn command(rest: &str) -> String {
    format!("test ! -x {0} || exec {0} hook {rest}", program())
}

#[test]
fn every_file_has_the_same_bytes_after_install_and_uninstall() {
    for file in corpus(false) {
        for (agent, scope) in AGENTS.iter().flat_map(|agent| SCOPES.map(|scope| (*agent, scope))) {
            let home = Home::new();
            let (path, name) = (settings(&home, agent, scope), name(&file));
            let fill = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace("AGENT", agent).into_bytes();
            let before = fill(fs::read(&file).unwrap());
            let expected = fs::read(file.with_extension("expected")).map(fill).unwrap_or(before.clone());
            write(&path, &before);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();

            let others = value(&before).as_object().unwrap().keys().any(|key| key != "hooks");
            let twice = String::from_utf8_lossy(&before).matches("\"hooks\": {").count() > 1;
            if agent == "codex" && (others || twice || before.starts_with(b"\xef\xbb\xbf")) {
                let text = home.refused(&["hooks", "install", "--agent", agent, scope]);
                assert!(text.contains("Codex ignores") && text.contains("nothing was changed"), "{name}: {text}");
                assert_eq!(fs::read(&path).unwrap(), before, "{name}");
                continue;
            }
            let text = home.run(&["hooks", "install", "--agent", agent, scope]);
            let installed = fs::read(&path).unwrap();
            let found = ours(&value(&installed));
            assert_eq!(found.len(), if agent == "codex" { 14 } else { 26 }, "{name}: {text}");
            for (event, commands) in found {
                assert_eq!(commands, [command(agent)], "{name}: {event}");
            }
            let backup = text.lines().find_map(|line| line.trim().strip_prefix("backup"));
            assert_eq!(fs::read(backup.unwrap().trim()).unwrap(), before, "{name}");

            home.run(&["hooks", "install", "--agent", agent, scope]);
            assert_eq!(fs::read(&path).unwrap(), installed, "{name}: a second install changes nothing");

            home.run(&["hooks", "uninstall", "--agent", agent, scope]);
            let after = fs::read(&path).unwrap();
            assert_eq!(String::from_utf8_lossy(&after), String::from_utf8_lossy(&expected), "{name} {agent} {scope}");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
            let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
            assert_eq!(left, if name.starts_with("older") && scope == "--user" { 2 } else { 1 }, "{name}");
        }
    }
}

/// When the user allows an action, the agent writes its settings file again in its own layout.
#[test]
fn changes_between_install_and_uninstall_stay() {
    for file in corpus(false) {
        let name = name(&file);
        if name == "two-of-a-name.json" {
            continue;
        }
        let home = Home::new();
        let path = settings(&home, "claude-code", "--project");
        let before = String::from_utf8(fs::read(&file).unwrap()).unwrap().replace("AGENT", "claude-code");
        let expected = fs::read(file.with_extension("expected")).unwrap_or(before.clone().into_bytes());
        let allowed = |text: &[u8]| {
            let mut settings = value(text);
            settings["allowed since"] = json!(["Bash(git status)"]);
            serde_json::to_string_pretty(&settings).unwrap() + "\n"
        };
        write(&path, before.as_bytes());
        home.run(&["hooks", "install", "--agent", "claude-code", "--project"]);
        fs::write(&path, allowed(&fs::read(&path).unwrap())).unwrap();
        home.run(&["hooks", "uninstall", "--agent", "claude-code", "--project"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), allowed(&expected), "{name}");
    }
}

/// Neither client reads a settings file with a comment or a trailing comma: Claude Code 2.1.197 and 2.1.332 and Codex
/// 0.169.0, each run with such files on 26 November 2026, ran none of the hooks in them (`src/cli/hooks/json.rs`).
#[test]
fn an_invalid_settings_file_is_refused_with_the_place_of_its_error() {
    for (agent, file) in AGENTS.iter().flat_map(|agent| corpus(true).into_iter().map(move |file| (agent, file))) {
        let home = Home::new();
        let path = settings(&home, agent, "--user");
        let before = fs::read(&file).unwrap();
        write(&path, &before);
        let text = home.refused(&["hooks", "install", "--agent", agent]);
        let expected = fs::read_to_string(file.with_extension("expected")).unwrap();
        let expected = format!("{}, {expected}", path.display());
        assert!(text.contains(&expected), "{}: {text}", name(&file));
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no backup of an unchanged file");
        home.run(&["hooks", "status"]);
    }
}

#[test]
fn a_file_with_two_hooks_members_is_refused_for_codex() {
    let home = Home::new();
    let path = settings(&home, "codex", "--user");
    write(&path, b"{\"hooks\": {}, \"hooks\": {}}\n");
    let text = home.refused(&["hooks", "install", "--agent", "codex"]);
    assert!(text.contains("line 1, column 24: Codex ignores a file with two `hooks`"), "{text}");
}

#[test]
fn uninstall_removes_a_file_that_install_created() {
    for scope in SCOPES {
        let home = Home::new();
        let path = settings(&home, "claude-code", scope);
        let shown = home.run(&["hooks", "install", "--agent", "claude-code", scope, "--dry-run"]);
        assert!(shown.starts_with("--- /dev/null\n+++ ") && shown.contains("\n+    \"Stop\": [{"), "{shown}");
        assert!(!path.exists());
        home.run(&["hooks", "install", "--agent", "claude-code", scope]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let shown = home.run(&["hooks", "uninstall", "--agent", "claude-code", scope, "--dry-run"]);
        assert!(shown.contains("\n+++ /dev/null\n"), "{shown}");
        home.run(&["hooks", "uninstall", "--agent", "claude-code", scope]);
        assert!(!path.exists());
        home.run(&["hooks", "uninstall", "--agent", "claude-code", scope]);
        assert_eq!(fs::read_dir(home.project()).unwrap().count(), 0);
    }
}

#[test]
fn a_symlink_stays_a_symlink() {
    let home = Home::new();
    let (path, file) = (settings(&home, "claude-code", "--user"), home.path("dotfiles/claude.json"));
    write(&file, b"{\n  \"model\": \"opus\"\n}\n");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink("../dotfiles/claude.json", &path).unwrap();
    for _ in 0..2 {
        home.run(&["hooks", "install", "--agent", "claude-code"]);
        assert_eq!(ours(&value(&fs::read(&file).unwrap())).len(), 26);
        home.run(&["hooks", "uninstall", "--agent", "claude-code"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "{\n  \"model\": \"opus\"\n}\n");
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("../dotfiles/claude.json"));
    }
    // A link to a file that does not exist.
    fs::remove_file(&file).unwrap();
    home.run(&["hooks", "install", "--agent", "claude-code"]);
    assert_eq!(ours(&value(&fs::read(&file).unwrap())).len(), 26);
}

#[test]
fn a_read_only_file_is_not_changed() {
    let home = Home::new();
    let path = settings(&home, "claude-code", "--user");
    write(&path, b"{}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let text = home.refused(&["hooks", "install", "--agent", "claude-code"]);
    assert_eq!(text, format!("requery: {} is read-only; nothing was changed\n", path.display()));
    assert_eq!(fs::read(&path).unwrap(), b"{}");
}

#[test]
fn an_old_agent_gets_only_the_hooks_that_it_knows() {
    for (version, hooks) in [
        ("2.1.92 (Claude Code)", 9),
        ("2.1.101 (Claude Code)", 23),
        ("2.1.112 (Claude Code)", 23),
        ("2.1.193 (Claude Code)", 25),
        ("2.1.332 (Claude Code)", 26),
        ("beta", 26),
    ] {
        let home = Home::new();
        home.install_program("claude", &format!("echo '{version}'"));
        let text = home.run(&["hooks", "install", "--agent", "claude-code"]);
        let found = ours(&value(&fs::read(settings(&home, "claude-code", "--user")).unwrap()));
        assert_eq!(found.len(), hooks, "{version}: {text}");
        assert_eq!(text.contains("does not know "), hooks < 26, "{text}");
        // An update of the client brings the missing hooks, and `status` says which.
        home.install_program("claude", "echo '2.1.332 (Claude Code)'");
        let text = home.run(&["hooks", "status", "--agent", "claude-code", "--user"]);
        assert_eq!(text.contains("missing: "), hooks < 26, "{text}");
        assert_eq!(text.contains("UserPromptExpansion (since 2.1.193)"), hooks < 25, "{text}");
        home.run(&["hooks", "install", "--agent", "claude-code"]);
        let text = home.run(&["hooks", "status", "--agent", "claude-code", "--user"]);
        assert!(!text.contains("missing: "), "{text}");
        // An older client does not know all of them.
        home.install_program("claude", "echo '2.1.112 (Claude Code)'");
        let text = home.run(&["hooks", "status", "--agent", "claude-code", "--user"]);
        assert!(
            text.contains("Claude Code 2.1.112 does not know UserPromptExpansion, PostToolBatch, PostModelSwitch, or"),
            "{text}"
        );
    }
}

#[test]
fn the_command_names_another_server_and_refuses_credentials() {
    let home = Home::new();
    let install = ["hooks", "install", "--agent", "codex", "--server"];
    home.run(&[&install[..], &["http://board.example:8080/requery"]].concat());
    let found = ours(&value(&fs::read(settings(&home, "codex", "--user")).unwrap()));
    assert_eq!(found["Stop"], [command("codex --server http://board.example:8080/requery")]);
    for (server, why) in [
        ("http://ada:secret@board.example", "leave the user name and the password out"),
        ("https://board.example", "expected http://host:port"),
        ("board", "not a URL"),
    ] {
        let text = home.refused(&[&install[..], &[server]].concat());
        assert!(text.contains(why), "{text}");
    }
    // A second install with another server replaces the first command.
    home.run(&["hooks", "install", "--agent", "codex"]);
    let found = ours(&value(&fs::read(settings(&home, "codex", "--user")).unwrap()));
    assert_eq!(found["Stop"], [command("codex")]);
}

/// Runs each installed command as the agent does, with the recorded input of its hook.
#[tokio::test]
async fn each_installed_command_delivers_its_record() {
    for (agent, recording) in [("claude-code", "claude-code-busy-day.jsonl"), ("codex", "codex-two-sessions.jsonl")] {
        let home = Home::new();
        let port = free_port();
        let served = home.serve(port, &[]).await;
        let url = format!("http://127.0.0.1:{port}");
        home.run(&["hooks", "install", "--agent", agent, "--project", "--server", &url]);
        let path = settings(&home, agent, "--project");
        let mut commands = ours(&value(&fs::read(&path).unwrap()));
        let recording = fs::read_to_string(fixtures("hooks").join(recording)).unwrap();
        let mut events = 0;
        for line in recording.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let Some(command) = commands.remove(line["body"]["hook_event_name"].as_str().unwrap()) else { continue };
            let before = served.cursor().await;
            let mut shell = std::process::Command::new("sh");
            shell.arg("-c").arg(&command[0]);
            run_silently(home.at_home(shell), line["body"].to_string().as_bytes());
            // A batch reports only calls that no other hook reports. A busy server takes a record from the spool.
            let until = Instant::now() + PATIENCE;
            while served.cursor().await == before && line["body"]["hook_event_name"] != "PostToolBatch" {
                assert!(Instant::now() < until, "{line}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            events += 1;
        }
        assert_eq!((agent, events), (agent, if agent == "codex" { 11 } else { 22 }), "left: {commands:?}");
        let text = home.run(&["hooks", "status", "--agent", agent]);
        assert!(text.contains(&format!("{} hooks in", if agent == "codex" { 14 } else { 26 })), "{text}");
        assert!(text.contains("  answers       yes\n") && text.contains(" ago"), "{text}");
        assert!(text.contains("  spooled       no records wait\n"), "{text}");
        home.run(&["hooks", "uninstall", "--agent", agent, "--project"]);
        assert!(!path.exists());
    }
}

fn status(home: &Home, agent: &str) -> String {
    home.run(&["hooks", "status", "--agent", agent])
}

#[test]
fn status_names_the_file_that_switches_the_hooks_off() {
    let home = Home::new();
    home.run(&["hooks", "install", "--agent", "claude-code"]);
    assert!(!status(&home, "claude-code").contains(", but"));
    let shared = home.project().join(".claude/settings.json");
    let local = settings(&home, "claude-code", "--project");
    for (file, value, off) in [
        (&shared, true, Some(&shared)),
        (&local, false, None),
        (&local, true, Some(&local)),
        (&shared, false, Some(&local)),
    ] {
        write(file, json!({"disableAllHooks": value}).to_string().as_bytes());
        let text = status(&home, "claude-code");
        match off {
            Some(file) => {
                // The current folder is the real path of a folder that may be a link.
                let file = fs::canonicalize(file).unwrap();
                assert!(text.contains(&format!(", but disableAllHooks is set in {}\n", file.display())), "{text}");
            }
            None => assert!(!text.contains(", but"), "{text}"),
        }
    }
    write(&home.path(".codex/config.toml"), b"[features]\nhooks = false\n");
    home.run(&["hooks", "install", "--agent", "codex"]);
    let text = status(&home, "codex");
    assert!(text.contains("14 hooks in ") && text.contains(", but the feature `hooks` is off in "), "{text}");
}

#[test]
fn status_tells_missing_doubled_and_untrusted_hooks_and_a_moved_program() {
    let home = Home::new();
    home.run(&["hooks", "install", "--agent", "codex"]);
    let path = settings(&home, "codex", "--user");
    assert!(status(&home, "codex").contains("not trusted: all of them; Codex runs them after"));
    let trust = |event: &str| format!("[hooks.state.\"{}:{event}:0:0\"]\ntrusted_hash = \"x\"\n", path.display());
    let events = ["session_start", "session_end", "user_prompt_submit", "pre_tool_use", "post_tool_use"];
    let more = ["permission_request", "subagent_start", "subagent_stop", "pre_compact", "post_compact"];
    let newest = ["interrupt", "pre_model_request", "post_model_request"];
    let config: String = events.iter().chain(&more).chain(&newest).map(|event| trust(event)).collect();
    write(&home.path(".codex/config.toml"), config.as_bytes());
    assert!(status(&home, "codex").contains("not trusted: Stop; "), "{}", status(&home, "codex"));
    write(&home.path(".codex/config.toml"), format!("{config}{}", trust("stop")).as_bytes());
    assert!(!status(&home, "codex").contains("not trusted"));
    // The trust in another hook of the event says no word about ours.
    let others = trust("stop").replace(":0:0", ":1:0");
    write(&home.path(".codex/config.toml"), format!("{config}{others}").as_bytes());
    assert!(status(&home, "codex").contains("not trusted: Stop; "), "{}", status(&home, "codex"));

    let mut all = value(&fs::read(&path).unwrap());
    let stop = all["hooks"].as_object_mut().unwrap().remove("Stop").unwrap();
    fs::write(&path, all.to_string()).unwrap();
    assert!(status(&home, "codex").contains("missing: Stop; "), "{}", status(&home, "codex"));
    all["hooks"]["Stop"] = json!([stop[0], stop[0]]);
    fs::write(&path, all.to_string()).unwrap();
    assert!(status(&home, "codex").contains("twice in this file: Stop; "), "{}", status(&home, "codex"));

    let moved = all.to_string().replace(program(), "/gone/requery");
    fs::write(&path, moved).unwrap();
    assert!(status(&home, "codex").contains("/gone/requery does not exist, so no hook runs; "));
    home.run(&["hooks", "install", "--agent", "codex"]);
    let text = status(&home, "codex");
    assert!(!["missing", "twice", "exist"].iter().any(|word| text.contains(word)), "{text}");
}

#[test]
fn two_scopes_that_double_every_row_are_told() {
    let home = Home::new();
    home.run(&["hooks", "install", "--agent", "claude-code"]);
    home.run(&["hooks", "install", "--agent", "claude-code", "--project"]);
    let text = status(&home, "claude-code");
    assert!(!text.contains("twice"), "Claude Code runs the same command once: {text}");
    let spool = home.path("a spool");
    let spool = spool.to_str().unwrap();
    let server = "http://127.0.0.1:7474";
    home.run(&["hooks", "install", "--agent", "claude-code", "--project", "--server", server, "--spool", spool]);
    let text = status(&home, "claude-code");
    assert!(text.contains("  twice         claude-code runs the hooks of both files"), "{text}");
    // Each server is shown with the spool that its hooks use.
    assert!(
        text.contains("server http://127.0.0.1:7373\n") && text.contains("server http://127.0.0.1:7474\n"),
        "{text}"
    );
    let mut hook = std::process::Command::new("sh");
    let command = &ours(&value(&fs::read(settings(&home, "claude-code", "--project")).unwrap()))["Stop"][0];
    hook.arg("-c").arg(command);
    run_silently(home.at_home(hook), br#"{"session_id":"s","hook_event_name":"Stop","cwd":"/"}"#);
    let text = status(&home, "claude-code");
    assert!(text.contains(&format!("1 record waits (1 KiB in {spool}/local-7474)")), "{text}");
}
