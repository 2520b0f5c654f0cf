//! The family, the title and the facts of a tool call, from its name and its input.

use serde_json::{Map, Value};

use super::patch;
use super::record::HookRecord;
use crate::protocol::model::ToolFamily;

/// The family of a tool. None: the tool is unknown.
pub fn family(name: &str) -> Option<ToolFamily> {
    match name {
        "Bash" | "BashOutput" | "KillShell" | "KillBash" | "TaskOutput" | "TaskStop" | "Monitor" | "PowerShell"
        | "REPL" | "shell" | "local_shell" | "shell_command" | "exec_command" | "write_stdin" | "js_repl" => {
            Some(ToolFamily::Terminal)
        }
        "Edit" | "MultiEdit" | "Write" | "NotebookEdit" | "apply_patch" | "Artifact" | "EnterWorktree"
        | "ExitWorktree" | "image_generation" => Some(ToolFamily::File),
        "Read" | "NotebookRead" | "LS" | "Glob" | "Grep" | "WebFetch" | "WebSearch" | "ToolSearch" | "LSP"
        | "web_search" | "view_image" | "tool_search" => Some(ToolFamily::Explore),
        "Agent" | "Task" | "Skill" | "SlashCommand" | "SendMessage" | "SendUserMessage" | "SendUserFile"
        | "PushNotification" | "TeamCreate" | "TeamDelete" | "Workflow" | "ListAgents" | "CronCreate"
        | "CronDelete" | "CronList" | "ScheduleWakeup" | "Sleep" | "RemoteTrigger" | "spawn_agent" | "send_input"
        | "wait_agent" | "close_agent" | "resume_agent" => Some(ToolFamily::Agent),
        "TodoWrite" | "TodoRead" | "TaskCreate" | "TaskUpdate" | "TaskGet" | "TaskList" | "update_plan"
        | "create_goal" | "update_goal" | "get_goal" => Some(ToolFamily::Todo),
        "AskUserQuestion" | "ExitPlanMode" | "EnterPlanMode" | "request_user_input" | "request_user_input_async" => {
            Some(ToolFamily::Question)
        }
        "ListMcpResourcesTool"
        | "ReadMcpResourceTool"
        | "ReadMcpResourceDirTool"
        | "WaitForMcpServers"
        | "list_mcp_resources"
        | "list_mcp_resource_templates"
        | "read_mcp_resource" => Some(ToolFamily::Mcp),
        // Codex names the tools of its group for other agents without a separator.
        _ if name.starts_with("collaboration") => Some(ToolFamily::Agent),
        _ if name.starts_with("mcp__") => Some(ToolFamily::Mcp),
        _ => None,
    }
}

/// A tool call in one line, such as `Bash: cargo test` or `Edit src/main.rs`.
pub fn title(record: &HookRecord) -> String {
    let name = record.text("tool_name").unwrap_or("Tool");
    let input = |field: &str| record.value("tool_input").and_then(|input| input.get(field)?.as_str());
    let files = patch::files(record);
    if !files.is_empty() {
        let files: Vec<_> = files.into_iter().map(|path| relative(path, record.cwd())).collect();
        return format!("{name} {}", files.join(", "));
    }
    if let Some(called) = name.strip_prefix("mcp__") {
        return called.replacen("__", ": ", 1);
    }
    let about = match family(name) {
        Some(ToolFamily::Terminal) => input("command").or(input("description")),
        Some(ToolFamily::Explore) => input("pattern").or(input("query")).or(input("url")).or(input("path")),
        Some(ToolFamily::Agent) => input("description")
            .or(input("skill"))
            .or(input("command"))
            .or(input("task_name"))
            .or(input("prompt"))
            .or(input("reason")),
        Some(ToolFamily::Todo) => input("subject").or(input("taskId")),
        Some(ToolFamily::Question) => first_question(record).or(input("plan")),
        Some(ToolFamily::File | ToolFamily::Mcp) | None => input("command").or(input("description")).or(input("name")),
    };
    match about.filter(|about| !about.trim().is_empty()) {
        Some(about) => format!("{name}: {about}"),
        None => name.to_owned(),
    }
}

/// The facts of a tool call that a screen can show without parsing its input and response.
pub fn facts(record: &HookRecord) -> Map<String, Value> {
    let mut facts = Map::new();
    let mut fact = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            facts.insert(name.to_owned(), value);
        }
    };
    let input = |field: &str| record.value("tool_input").and_then(|input| input.get(field)?.as_str()).map(Value::from);
    let name = record.text("tool_name").unwrap_or_default();
    fact("tool", record.text("tool_name").map(Value::from));
    fact("tool_use_id", record.id("tool_use_id").map(Value::from));
    let files = patch::files(record);
    fact("file_path", files.first().copied().map(Value::from));
    fact("file_paths", Some(files).filter(|files| files.len() > 1).map(Value::from));
    fact("description", input("description"));
    if family(name) == Some(ToolFamily::Terminal) {
        fact("command", input("command"));
        fact("command_class", input("command").and_then(|command| Some(command_class(command.as_str()?).into())));
    }
    fact("exit_status", record.exit_status().map(Value::from));
    fact("duration_ms", record.value("duration_ms").and_then(Value::as_u64).map(Value::from));
    fact("interrupted", record.value("is_interrupt").and_then(Value::as_bool).filter(|yes| *yes).map(Value::from));
    fact("reason", record.text("reason").map(Value::from));
    facts
}

/// The purpose of a command: `test`, `lint`, `build` or `other`, in this order if its parts have different purposes.
pub fn command_class(command: &str) -> &'static str {
    let commands = || command.split(['&', '|', ';', '\n']).map(words);
    let any = |class: fn(&[&str]) -> bool| commands().any(|words| class(&words));
    if any(is_test) {
        "test"
    } else if any(is_lint) {
        "lint"
    } else if any(is_build) {
        "build"
    } else {
        "other"
    }
}

/// The words of a command, without prefixes that only set how it runs, such as `sudo` or `npx`.
fn words(command: &str) -> Vec<&str> {
    let runner = |word: &&str| {
        word.contains('=')
            || matches!(*word, "sudo" | "time" | "env" | "npx" | "bunx" | "uv" | "poetry" | "pipenv" | "run" | "exec")
    };
    let mut words: Vec<_> = command.split_whitespace().collect();
    let is_package_manager = matches!(words.first(), Some(&("npm" | "pnpm" | "yarn" | "bun")));
    let skipped = words.iter().take_while(|word| runner(word)).count();
    words.drain(..skipped);
    if is_package_manager {
        words.retain(|word| *word != "run");
    }
    if words.len() > 2 && words[0].starts_with("python") && words[1] == "-m" {
        words.drain(..2);
    }
    words
}

fn is_test(words: &[&str]) -> bool {
    match words {
        ["pytest" | "jest" | "vitest" | "mocha" | "ctest" | "rspec" | "phpunit" | "tox" | "nox" | "playwright", ..] => {
            true
        }
        ["cargo", "test" | "nextest" | "t", ..] => true,
        [
            "npm" | "pnpm" | "yarn" | "bun" | "go" | "make" | "just" | "mix" | "dotnet" | "mvn" | "gradle"
            | "./gradlew" | "node" | "deno" | "swift" | "zig" | "bazel" | "rails",
            script,
            ..,
        ] => is_named(script, "test") || is_named(script, "e2e"),
        _ => false,
    }
}

fn is_lint(words: &[&str]) -> bool {
    match words {
        [
            "eslint" | "ruff" | "flake8" | "pylint" | "mypy" | "pyright" | "prettier" | "rustfmt" | "gofmt" | "black"
            | "shellcheck" | "stylelint" | "biome" | "golangci-lint" | "clang-format" | "clang-tidy" | "rubocop"
            | "hadolint" | "typos",
            ..,
        ] => true,
        ["cargo", "clippy" | "fmt" | "deny" | "audit", ..] | ["go", "vet" | "fmt", ..] | ["tsc", "--noEmit", ..] => {
            true
        }
        ["npm" | "pnpm" | "yarn" | "bun" | "make" | "just", script, ..] => {
            ["lint", "format", "fmt", "typecheck"].iter().any(|class| is_named(script, class))
        }
        _ => false,
    }
}

fn is_build(words: &[&str]) -> bool {
    match words {
        ["make" | "cmake" | "ninja" | "tsc" | "webpack" | "gcc" | "g++" | "clang" | "rustc" | "javac"] => true,
        ["cmake" | "ninja" | "tsc" | "webpack" | "gcc" | "g++" | "clang" | "rustc" | "javac", ..] => true,
        ["cargo", "build" | "b" | "check" | "c" | "doc", ..]
        | ["docker", "build" | "buildx", ..]
        | ["vite", "build", ..] => true,
        [
            "npm" | "pnpm" | "yarn" | "bun" | "go" | "make" | "just" | "dotnet" | "swift" | "zig" | "bazel" | "next"
            | "./gradlew" | "gradle" | "mvn",
            script,
            ..,
        ] => ["build", "compile", "package", "all"].iter().any(|class| is_named(script, class)),
        _ => false,
    }
}

/// Whether the name of a script contains a word such as `test`: `test`, `test:unit`, `unit-test`, `--test`.
fn is_named(script: &str, class: &str) -> bool {
    script.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == class)
}

/// The path relative to the folder of the agent. A path outside that folder stays as it is.
fn relative<'a>(path: &'a str, cwd: Option<&str>) -> &'a str {
    let inside = cwd.and_then(|cwd| path.strip_prefix(cwd)?.strip_prefix(['/', '\\']));
    inside.filter(|inside| !inside.is_empty()).unwrap_or(path)
}

/// The questions of a call that asks the person, one a line; of a plan, the plan.
pub fn questions(record: &HookRecord) -> Option<String> {
    let input = record.value("tool_input")?;
    let listed = input.get("questions").and_then(Value::as_array).into_iter().flatten();
    let questions: Vec<_> = listed.filter_map(|one| one.get("question")?.as_str()).collect();
    let plan = || input.get("plan").and_then(Value::as_str).map(str::to_owned);
    (!questions.is_empty()).then(|| questions.join("\n")).or_else(plan).filter(|text| !text.trim().is_empty())
}

fn first_question(record: &HookRecord) -> Option<&str> {
    record.value("tool_input")?.get("questions")?.get(0)?.get("question")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::{command_class, family};
    use crate::protocol::model::ToolFamily;

    #[test]
    fn commands_have_a_class() {
        for (command, class) in [
            ("cargo test -p api", "test"),
            ("cd web && npm run test:unit", "test"),
            ("CI=1 npx vitest run", "test"),
            ("python -m pytest -q | tail -n 20", "test"),
            ("go test ./...", "test"),
            ("npm run e2e -- --headed", "test"),
            ("cargo build --release", "build"),
            ("pnpm build", "build"),
            ("make", "build"),
            ("cargo clippy --all-targets", "lint"),
            ("npx tsc --noEmit", "lint"),
            ("npm run lint -- --fix", "lint"),
            ("git status --short", "other"),
            ("echo test", "other"),
            ("", "other"),
        ] {
            assert_eq!(command_class(command), class, "{command}");
        }
    }

    #[test]
    fn known_tools_have_a_family() {
        assert_eq!(family("mcp__tracker__search"), Some(ToolFamily::Mcp));
        assert_eq!(family("Bash"), Some(ToolFamily::Terminal));
        assert_eq!(family("collaborationspawn_agent"), Some(ToolFamily::Agent));
        for name in ["EnterWorktree", "ExitWorktree", "Artifact"] {
            assert_eq!(family(name), Some(ToolFamily::File), "{name}");
        }
        for name in ["CronCreate", "ScheduleWakeup", "ListAgents", "collaborationwait_agent"] {
            assert_eq!(family(name), Some(ToolFamily::Agent), "{name}");
        }
        assert_eq!(family("request_user_input_async"), Some(ToolFamily::Question));
        assert_eq!(family("SomethingNew"), None);
    }
}
