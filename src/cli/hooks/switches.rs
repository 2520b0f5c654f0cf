//! The settings that switch the hooks of an agent off, in all files that the agent reads.

use std::fs;
use std::path::{Path, PathBuf};

use requery::agent::runtime::AgentRuntime;

use super::super::agent_folder;
use super::agent::{self, SettingsScope};
use super::json::JsonNode;

/// The folders in which an administrator sets Claude Code up: on Linux, and on macOS.
const MANAGED_FOLDERS: [&str; 2] = ["/etc/claude-code", "/Library/Application Support/ClaudeCode"];

/// Why the agent runs no hooks of a person. None: it runs them.
pub fn switched_off(agent: AgentRuntime) -> anyhow::Result<Option<String>> {
    match agent {
        AgentRuntime::ClaudeCode => switched_off_in_claude_code(),
        AgentRuntime::Codex => {
            let config = agent_folder(agent)?.join("config.toml");
            let text = fs::read_to_string(&config).unwrap_or_default();
            Ok(features_without_hooks(&text).then(|| format!("the feature `hooks` is off in {}", config.display())))
        }
    }
}

fn switched_off_in_claude_code() -> anyhow::Result<Option<String>> {
    let agent = AgentRuntime::ClaudeCode;
    let managed: Vec<PathBuf> = MANAGED_FOLDERS.iter().flat_map(|folder| managed_files(Path::new(folder))).collect();
    let of_project = agent::settings(agent, SettingsScope::Project)?;
    let shared = of_project.with_file_name("settings.json");
    let of_person = agent::settings(agent, SettingsScope::User)?;
    Ok(switched_off_by(managed, [of_project, shared, of_person]))
}

/// Why the settings switch the hooks of a person off: the files of the administrator and the other files, the strongest
/// first.
fn switched_off_by(managed: Vec<PathBuf>, others: [PathBuf; 3]) -> Option<String> {
    if let Some(file) = managed.iter().find(|file| is_set(file, "allowManagedHooksOnly") == Some(true)) {
        return Some(format!("allowManagedHooksOnly is set in {}", file.display()));
    }
    // The first file that has the setting decides.
    let files = managed.into_iter().chain(others);
    let decides = files.map(|file| (is_set(&file, "disableAllHooks"), file)).find(|(set, _)| set.is_some());
    decides
        .filter(|(set, _)| *set == Some(true))
        .map(|(_, file)| format!("disableAllHooks is set in {}", file.display()))
}

fn managed_files(folder: &Path) -> Vec<PathBuf> {
    let more = fs::read_dir(folder.join("managed-settings.d")).into_iter().flatten().flatten();
    let mut more: Vec<PathBuf> = more.map(|entry| entry.path()).collect();
    // A later file wins over an earlier one.
    more.sort_unstable_by(|a, b| b.cmp(a));
    more.push(folder.join("managed-settings.json"));
    more
}

/// The value of a setting that is true or false. None: the file does not have it, or the agent ignores the file.
fn is_set(file: &Path, setting: &str) -> Option<bool> {
    let text = fs::read_to_string(file).ok()?;
    JsonNode::parse(&text).ok()?.get(setting)?.source.parse().ok()
}

/// Whether a `config.toml` of Codex switches the feature off, by its name of today or by its older one.
fn features_without_hooks(config: &str) -> bool {
    let mut is_in_features = false;
    config.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            is_in_features = line.starts_with("[features]");
        }
        let setting: String = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        let names = if is_in_features { ["hooks", "codex_hooks"] } else { ["features.hooks", "features.codex_hooks"] };
        names.iter().any(|name| setting == format!("{name}=false"))
    })
}

#[cfg(test)]
mod tests {
    use super::{features_without_hooks, managed_files, switched_off_by};

    #[test]
    fn the_settings_of_the_administrator_come_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        std::fs::create_dir(file("managed-settings.d")).expect("a folder");
        let others = || ["local.json", "shared.json", "mine.json"].map(file);
        let off = || switched_off_by(managed_files(folder.path()), others());
        assert_eq!(off(), None);
        for (name, text, expected) in [
            ("mine.json", r#"{"disableAllHooks": true}"#, Some("disableAllHooks is set in mine.json")),
            ("shared.json", r#"{"disableAllHooks": "yes"}"#, Some("disableAllHooks is set in mine.json")),
            ("managed-settings.json", r#"{"disableAllHooks": false}"#, None),
            ("managed-settings.d/10.json", r#"{"disableAllHooks": true}"#, Some("disableAllHooks is set in 10.json")),
            ("managed-settings.d/20.json", r#"{"disableAllHooks": false}"#, None),
            (
                "managed-settings.d/05.json",
                r#"{"allowManagedHooksOnly": true}"#,
                Some("allowManagedHooksOnly is set in 05.json"),
            ),
        ] {
            std::fs::write(file(name), text).expect("written");
            let told = off().map(|told| {
                let (setting, path) = told.split_once(" in ").expect("a path");
                format!("{setting} in {}", path.rsplit('/').next().expect("a name"))
            });
            assert_eq!(told.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_feature_of_codex_is_found_by_both_names() {
        for config in
            ["[features]\nhooks = false", "features.codex_hooks=false # why", "a=1\n[features]\n\ncodex_hooks = false"]
        {
            assert!(features_without_hooks(config), "{config}");
        }
        for config in ["", "[features]\nhooks = true", "[features]\nx = 1\n[hooks]\nhooks = false", "hooks = false"] {
            assert!(!features_without_hooks(config), "{config}");
        }
    }
}
