//! What each agent calls its hooks, and where it looks for them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use requery::agent::hook_catalogue::HookName;
use requery::agent::runtime::AgentRuntime;

/// Whose settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The person's, for all projects.
    User,
    /// Those of the project in the current folder.
    Project,
}

/// How long an agent may take to say its version.
const PATIENCE: Duration = Duration::from_secs(5);

/// The hooks to register, and why not all.
pub fn events(agent: AgentRuntime) -> (Vec<HookName>, Option<String>) {
    let older = agent.unknown_hooks_pass_since().and_then(|since| {
        let version = version(agent.process_name())?;
        (version < since).then_some(version)
    });
    let note = older.map(|[major, minor, patch]| {
        format!(
            "{} {major}.{minor}.{patch} ignores settings with hooks it does not know, so only those that every version \
             knows are registered; install again after an update",
            agent.product()
        )
    });
    (HookName::registered(agent, older.is_none()), note)
}

/// The file in which an agent looks for hooks. A project's is the one that is not shared, where there is one.
pub fn settings(agent: AgentRuntime, scope: Scope) -> anyhow::Result<PathBuf> {
    match scope {
        Scope::User => Ok(folder(agent)?.join(agent.user_settings_file())),
        Scope::Project => {
            let here = std::env::current_dir().context("there is no current folder")?;
            Ok(here.join(agent.folder_name()).join(agent.project_settings_file()))
        }
    }
}

/// The folder in which an agent keeps what is the person's.
pub fn folder(agent: AgentRuntime) -> anyhow::Result<PathBuf> {
    match std::env::var_os(agent.folder_variable()).filter(|folder| !folder.is_empty()) {
        Some(named) => Ok(named.into()),
        None => Ok(etcetera::home_dir().context("there is no home folder")?.join(agent.folder_name())),
    }
}

/// What the person should know after the hooks are in a file.
pub fn advice(agent: AgentRuntime, scope: Scope, path: &Path) -> Vec<String> {
    let mut advice = Vec::new();
    match agent {
        AgentRuntime::ClaudeCode => advice.push("sessions that are open already use them after a restart".to_owned()),
        AgentRuntime::Codex => {
            advice.push("Codex runs them after you have trusted them: /hooks".to_owned());
            if scope == Scope::Project {
                advice.push(
                    "Codex has no hooks for a project that are yours alone: if others share this folder, keep the file \
                     out of what you share"
                        .to_owned(),
                );
            }
            let config = std::fs::read_to_string(path.with_file_name("config.toml")).unwrap_or_default();
            if config.lines().any(|line| line.starts_with("[hooks") || line.starts_with("[[hooks")) {
                advice.push("config.toml beside it has hooks too: Codex runs both, and says so".to_owned());
            }
        }
    }
    advice
}

fn version(program: &str) -> Option<[u32; 3]> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let until = Instant::now() + PATIENCE;
    while child.try_wait().ok()?.is_none() {
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Option<Vec<u32>> =
        text.split_whitespace().next()?.split('.').map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok()
}
