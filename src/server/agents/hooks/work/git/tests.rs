use serde_json::{Map, Value, json};

use super::{GitOutcome, HookName, HookRecord};
use crate::agent::runtime::AgentRuntime;

fn outcome(hook: HookName, command: &str, response: Value) -> GitOutcome {
    let fields = json!({"tool_name": "Bash", "tool_input": {"command": command}, "tool_response": response});
    let fields: Map<String, Value> = fields.as_object().cloned().unwrap_or_default();
    GitOutcome::of(&HookRecord::of(AgentRuntime::ClaudeCode, "s".into(), hook, fields))
}

fn told(outcome: &GitOutcome) -> String {
    let rows = outcome.rows.iter().map(|row| {
        let facts = row.metadata.iter().map(|(name, value)| format!(" {name}={}", value.as_str().unwrap_or_default()));
        let mut facts: Vec<String> = facts.collect();
        facts.sort();
        format!("{}: {}{}", row.kind, row.title, facts.concat())
    });
    rows.collect::<Vec<_>>().join("; ")
}

#[test]
fn commands_that_ended_well_make_rows() {
    let pushed = "To github.com:acme/web.git\n   1a2b3c4..5d6e7f8  main -> main\n";
    let created = "remote: Create a pull request by visiting:\nremote:  https://github.com/acme/web/pull/new/x\n\
        To github.com:acme/web.git\n * [new branch]      fix/x -> fix/x\nbranch 'fix/x' set up to track 'origin/fix/x'.\n";
    for (command, output, rows) in [
        ("git commit -m x", "[main 3f9d2c1] x\n 1 file changed", "git.commit: 3f9d2c1 x branch=main commit=3f9d2c1"),
        ("git commit -qam 'Pin two prices'", "", "git.commit: Pin two prices"),
        (
            "git commit --message=first",
            "[main (root-commit) 0a1b2c3] first",
            "git.commit: 0a1b2c3 first branch=main commit=0a1b2c3",
        ),
        ("git commit -m x", "[detached HEAD 0a1b2c3] x", "git.commit: 0a1b2c3 x commit=0a1b2c3"),
        ("git -C web -c a=b commit -m x", "[dev abcdef0] x", "git.commit: abcdef0 x branch=dev commit=abcdef0"),
        ("git commit -m \"$(cat <<'EOF'\nx\nEOF\n)\"", "", "git.commit: Commit"),
        ("git commit -m x; true", "nothing to commit, working tree clean", ""),
        ("git commit -m x; true", "[main 3f9d2c1] x", "git.commit: 3f9d2c1 x branch=main commit=3f9d2c1"),
        ("git commit --dry-run", "", ""),
        ("echo 'git commit -m x'", "git commit -m x", ""),
        ("git push", "", "git.push: Push"),
        ("git push origin HEAD", "", "git.push: origin remote=origin"),
        (
            "git push origin main 2>&1 | tail -n 2",
            pushed,
            "git.push: origin main branch=main commit=5d6e7f8 remote=origin",
        ),
        ("git push -u origin HEAD", created, "git.push: origin fix/x branch=fix/x remote=origin"),
        ("git push https://me:secret@example.com/x.git main", "", "git.push: main branch=main"),
        ("git push --tags", "To x\n * [new tag]  v1 -> v1\n", "git.push: Push"),
        ("git push", "Everything up-to-date", ""),
        ("git push | cat", " ! [rejected]  main -> main (fetch first)", ""),
        ("git push -n", pushed, ""),
        (
            "gh pr create --title 'Round' --body x",
            "Creating pull request\n\nhttps://github.com/acme/web/pull/12\n",
            "pull_request: #12 Round number=12 url=https://github.com/acme/web/pull/12",
        ),
        ("gh pr create --fill", "", "pull_request: Pull request"),
        ("gh pr view 3", "https://github.com/acme/web/pull/3", ""),
        (
            "git commit -am x && git push && gh pr create -t T -f",
            "[a 3f9d2c1] x\nTo g\n   1a2b3c4..3f9d2c1  a -> a\nhttps://github.com/a/b/pull/7",
            "git.commit: 3f9d2c1 x branch=a commit=3f9d2c1; git.push: a branch=a commit=3f9d2c1; \
             pull_request: #7 T number=7 url=https://github.com/a/b/pull/7",
        ),
        ("git log --oneline", "[main 3f9d2c1] x", ""),
    ] {
        let of_claude = outcome(HookName::PostToolUse, command, json!({"stdout": output, "stderr": ""}));
        assert_eq!(told(&of_claude), rows, "{command}");
        assert_eq!(told(&outcome(HookName::PostToolUse, command, json!(output))), rows, "{command}");
    }
}

#[test]
fn a_call_that_runs_or_failed_makes_no_row() {
    let done = json!({"stdout": "[main 3f9d2c1] x"});
    for (hook, response) in [
        (HookName::PreToolUse, done.clone()),
        (HookName::PostToolUseFailure, done.clone()),
        (HookName::PermissionDenied, done),
        (HookName::PostToolUse, json!({"stdout": "[main 3f9d2c1] x", "interrupted": true})),
        (HookName::PostToolUse, json!({"stdout": "", "backgroundTaskId": "b1"})),
        (HookName::PostToolUse, json!({"output": "[main 3f9d2c1] x", "metadata": {"exit_code": 1}})),
    ] {
        assert_eq!(told(&outcome(hook, "git commit -m x", response.clone())), "", "{hook:?} {response}");
    }
}

#[test]
fn the_branch_is_read_from_the_output() {
    for (command, output, branch) in [
        ("git switch -c fix/x", "Switched to a new branch 'fix/x'", Some("fix/x")),
        ("git checkout main", "Switched to branch 'main'\nYour branch is up to date", Some("main")),
        ("git status", "On branch dev\nnothing to commit", Some("dev")),
        ("git switch -c a && git commit -m x", "Switched to a new branch 'a'\n[a 3f9d2c1] x", Some("a")),
        ("git checkout -- a.rs", "", None),
        ("cat notes", "On branch dev", None),
    ] {
        let found = outcome(HookName::PostToolUse, command, json!({"stdout": output}));
        assert_eq!(found.branch.as_deref(), branch, "{command}");
    }
}
