//! The hooks to register for each agent, and the files in which it looks for them.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context;
use requery::agent::hook_catalogue::{ClientVersion, HookName};
use requery::agent::runtime::AgentRuntime;

use super::super::agent_folder;

/// The reach of a settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsScope {
    /// The user's settings, for all projects.
    User,
    /// The settings of the project in the current folder.
    Project,
}

/// How long an agent may take to print its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of the output of an agent is read. The version is in its first line.
const MAX_VERSION_BYTES: u64 = 1024;

/// The version of the installed client. None: there is no such program, or it does not say.
pub fn version(agent: AgentRuntime) -> Option<ClientVersion> {
    version_of(agent.program())
}

/// The hooks to register for a version, and the reason if some are left out.
pub fn events(agent: AgentRuntime, version: Option<ClientVersion>) -> (Vec<HookName>, Option<String>) {
    let (hooks, newest) = (HookName::registered(agent, version), HookName::registered(agent, None));
    let left_out: Vec<&str> = newest.iter().filter(|hook| !hooks.contains(hook)).map(|hook| hook.as_str()).collect();
    let note = version.filter(|_| !left_out.is_empty()).map(|[major, minor, patch]| {
        format!(
            "{} {major}.{minor}.{patch} does not know {}, so they are not registered; install again after an update",
            agent.product(),
            left_out.join(", ")
        )
    });
    (hooks, note)
}

/// The file in which an agent looks for hooks. Of a project's files it is the one that is not shared, if there is one.
pub fn settings(agent: AgentRuntime, scope: SettingsScope) -> anyhow::Result<PathBuf> {
    match scope {
        SettingsScope::User => Ok(agent_folder(agent)?.join(agent.user_settings_file())),
        SettingsScope::Project => {
            let here = std::env::current_dir().context("there is no current folder")?;
            Ok(here.join(agent.folder_name()).join(agent.project_settings_file()))
        }
    }
}

/// Advice for the user after an install.
pub fn advice(agent: AgentRuntime, scope: SettingsScope, path: &Path) -> Vec<String> {
    let mut advice = Vec::new();
    match agent {
        AgentRuntime::ClaudeCode => advice.push("sessions that are open now run the hooks after a restart".to_owned()),
        AgentRuntime::Codex => {
            advice.push("Codex runs the hooks after you trust them: enter /hooks in Codex".to_owned());
            if scope == SettingsScope::Project {
                advice.push(
                    "Codex has no personal hooks for a project: if you share this folder with others, do not share the \
                     file"
                        .to_owned(),
                );
            }
            let config = std::fs::read_to_string(path.with_file_name("config.toml")).unwrap_or_default();
            if config.lines().any(|line| line.starts_with("[hooks") || line.starts_with("[[hooks")) {
                advice.push("the file config.toml beside it has hooks, too: Codex runs both, and says so".to_owned());
            }
        }
    }
    advice
}

fn version_of(program: &str) -> Option<ClientVersion> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let until = Instant::now() + VERSION_TIMEOUT;
    let (line, is_read) = mpsc::channel();
    let output = child.stdout.take()?.take(MAX_VERSION_BYTES);
    // A process that the agent leaves behind can hold the output open, so a thread reads, which can be abandoned.
    std::thread::spawn(move || {
        let mut first = Vec::new();
        let _ = BufReader::new(output).read_until(b'\n', &mut first);
        let _ = line.send(first);
    });
    while child.try_wait().ok()?.is_none() {
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let first = is_read.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?;
    let text = String::from_utf8_lossy(&first).into_owned();
    // Claude Code writes the version first, Codex writes its name before it.
    text.split_whitespace().take(2).find_map(|word| {
        let numbers: Option<Vec<u32>> = word.split('.').map(|number| number.parse().ok()).collect();
        numbers?.try_into().ok()
    })
}
