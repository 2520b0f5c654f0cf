//! The client's own word: the file in which each running session of Claude Code keeps its status.
//!
//! The file is `sessions/<pid>.json` in the configuration folder of the agent. Its format is not documented, so the
//! file is only a hint: a file that is absent, old or odd says no word, and the hooks alone tell the status. The file
//! is read and never written. The folder also holds keys, which are deliberately never opened: only a file whose name
//! is a process id and `.json` is read.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::process::{Process, ProcessSpace};

/// How many sessions of a folder are told. A person runs a few at a time.
const MAX_SESSIONS: usize = 256;
/// How many entries of a folder are looked at. A client that was killed leaves its file behind.
const MAX_ENTRIES: usize = 4_096;
/// The longest file that is read. The client writes less than a kilobyte.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// The first version whose words are believed. An older client says less: it never says `waiting`.
const SPEAKS_SINCE: [u32; 3] = [2, 1, 193];

/// The status that the client itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientStatus {
    /// The client works.
    Busy,
    /// The client waits for the next prompt. A command of the person, or one in the background, may run.
    Idle,
    /// The client asks for a permission.
    Permission,
    /// The client asks for an answer.
    Question,
    /// Another dialog is open.
    Dialog,
}

/// The status that the client says, and the time since when the client says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientWord {
    /// The status.
    pub says: ClientStatus,
    /// The beginning of the status, in milliseconds since 1970.
    pub at: i64,
}

/// A running session that says its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeakingSession {
    /// The id of the session.
    pub session_id: String,
    /// The process of the session.
    pub process: Process,
    /// The word of the session.
    pub word: ClientWord,
}

/// The fields of a file that are used here. A field with an unexpected type makes the file odd.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionFile {
    pid: u32,
    session_id: String,
    status: String,
    status_updated_at: i64,
    #[serde(default)]
    waiting_for: Option<String>,
    /// The start time of the process: ticks since the boot on Linux.
    #[serde(default)]
    proc_start: Option<String>,
    /// The time at which the session began, in milliseconds since 1970.
    #[serde(default)]
    started_at: Option<i64>,
    #[serde(default)]
    version: Option<String>,
    /// Whether the process waits for a session to begin.
    #[serde(default)]
    spare: Option<bool>,
}

/// The sessions that say their status in the files of this folder, each with a process that still runs. Of two sessions
/// with one id the later word counts. An empty list: there is no folder, or this program cannot look at processes.
pub fn speaking_sessions(folder: &Path) -> io::Result<Vec<SpeakingSession>> {
    let Some(here) = ProcessSpace::here() else { return Ok(Vec::new()) };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut sessions: Vec<SpeakingSession> = Vec::new();
    for entry in entries.take(MAX_ENTRIES).flatten() {
        if sessions.len() >= MAX_SESSIONS {
            break;
        }
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(process_id) else {
            continue;
        };
        // The process is looked for first: a folder can hold many files of clients that were killed.
        let Some(process) = here.running(pid) else { continue };
        let Some(file) = read(&entry.path()).and_then(|text| SessionFile::parse(&text)) else { continue };
        if file.pid != pid || !file.is_of(&process) {
            continue;
        }
        let Some(word) = file.word() else { continue };
        let session = SpeakingSession { session_id: file.session_id, process, word };
        match sessions.iter_mut().find(|known| known.session_id == session.session_id) {
            Some(known) if known.word.at >= session.word.at => {}
            Some(known) => *known = session,
            None => sessions.push(session),
        }
    }
    Ok(sessions)
}

/// A process id, as the name of a file has it.
fn process_id(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

/// Reads a file. None: it is no plain file, it is too long, or it is gone.
fn read(path: &Path) -> Option<Vec<u8>> {
    // A pipe or a link in the folder is not of the client. The opened file is checked, because another program can
    // replace a file between a check and the opening, and the opening of a pipe would block.
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).ok()?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).ok()?;
    (text.len() as u64 <= MAX_FILE_BYTES).then_some(text)
}

impl SessionFile {
    fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// Whether the process wrote the file, and not an earlier process with its id.
    fn is_of(&self, process: &Process) -> bool {
        match self.proc_start.as_deref().and_then(|text| text.parse::<u64>().ok()) {
            Some(began) => began == process.began(),
            // Only Linux writes the start as a number. Elsewhere the process began before its session did.
            None if cfg!(target_os = "linux") => false,
            None => {
                self.started_at.and_then(|at| u64::try_from(at / 1_000).ok()).is_some_and(|at| at >= process.began())
            }
        }
    }

    /// The word of the session. None: the client says no word, or one that this program does not know.
    fn word(&self) -> Option<ClientWord> {
        let is_old = self.version.as_deref().is_some_and(|version| parts(version).is_none_or(|is| is < SPEAKS_SINCE));
        if is_old || self.spare == Some(true) || self.session_id.is_empty() {
            return None;
        }
        let says = match (self.status.as_str(), self.waiting_for.as_deref()) {
            ("busy", _) => ClientStatus::Busy,
            ("idle" | "shell", _) => ClientStatus::Idle,
            ("waiting", Some("permission prompt")) => ClientStatus::Permission,
            ("waiting", Some("input needed")) => ClientStatus::Question,
            ("waiting", _) => ClientStatus::Dialog,
            (_, _) => return None,
        };
        Some(ClientWord { says, at: self.status_updated_at })
    }
}

/// The three numbers of a version.
fn parts(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::{ClientStatus, ClientWord, Process, speaking_sessions};

    fn own() -> (u32, Value) {
        let process = Process::running(std::process::id()).expect("this process");
        let file = json!({
            "pid": process.id(), "sessionId": "s", "cwd": "/home/dev/shop", "startedAt": 5, "version": "2.1.332",
            "procStart": process.began().to_string(), "kind": "interactive", "entrypoint": "cli", "name": "shop-1",
            "status": "busy", "statusUpdatedAt": 7, "updatedAt": 9,
        });
        (process.id(), file)
    }

    /// What a folder says that holds one file with these fields changed.
    fn said(changes: &Value) -> Option<ClientWord> {
        let (pid, mut file) = own();
        let fields = file.as_object_mut().expect("an object");
        fields.extend(changes.as_object().cloned().unwrap_or_default());
        fields.retain(|_, value| !value.is_null());
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(format!("{pid}.json")), file.to_string()).expect("written");
        let sessions = speaking_sessions(folder.path()).expect("readable");
        sessions.first().map(|session| session.word)
    }

    #[test]
    fn a_session_says_its_status() {
        for (changes, says) in [
            (json!({}), ClientStatus::Busy),
            (json!({"status": "idle"}), ClientStatus::Idle),
            (json!({"status": "shell"}), ClientStatus::Idle),
            (json!({"status": "waiting", "waitingFor": "permission prompt"}), ClientStatus::Permission),
            (json!({"status": "waiting", "waitingFor": "input needed"}), ClientStatus::Question),
            (json!({"status": "waiting", "waitingFor": "dialog open"}), ClientStatus::Dialog),
            (json!({"status": "waiting", "waitingFor": "the moon"}), ClientStatus::Dialog),
            (json!({"kind": "bg", "version": null}), ClientStatus::Busy),
        ] {
            assert_eq!(said(&changes), Some(ClientWord { says, at: 7 }), "{changes}");
        }
    }

    #[test]
    fn an_odd_or_old_file_says_no_word() {
        for changes in [
            json!({"status": "asleep"}),
            json!({"status": 5}),
            json!({"status": null}),
            json!({"statusUpdatedAt": null}),
            json!({"statusUpdatedAt": "now"}),
            json!({"sessionId": ""}),
            json!({"sessionId": null, "session_id": "s"}),
            json!({"procStart": "1"}),
            json!({"procStart": null}),
            json!({"pid": 1}),
            json!({"version": "2.1.192"}),
            json!({"version": "next"}),
            json!({"spare": true}),
        ] {
            assert_eq!(said(&changes), None, "{changes}");
        }
    }

    #[test]
    fn other_files_of_the_folder_are_not_opened() {
        let (pid, file) = own();
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        assert_eq!(speaking_sessions(&path("none")).expect("readable"), []);
        for name in [format!("pid-{pid}.json"), format!("{pid}.key"), format!("0{pid}.json"), format!("+{pid}.json")] {
            fs::write(path(&name), file.to_string()).expect("written");
        }
        std::os::unix::fs::symlink(path(&format!("{pid}.key")), path(&format!("{pid}.json"))).expect("a link");
        assert_eq!(speaking_sessions(folder.path()).expect("readable"), []);
        fs::remove_file(path(&format!("{pid}.json"))).expect("removed");
        let made = std::process::Command::new("mkfifo").arg(path(&format!("{pid}.json"))).status().expect("mkfifo");
        assert!(made.success());
        assert_eq!(speaking_sessions(folder.path()).expect("readable"), []);
        fs::remove_file(path(&format!("{pid}.json"))).expect("removed");
        for text in ["", "{", "[]", "\u{0}\u{0}"].map(str::to_owned).into_iter().chain([" ".repeat(70_000)]) {
            fs::write(path(&format!("{pid}.json")), text).expect("written");
            assert_eq!(speaking_sessions(folder.path()).expect("readable"), []);
        }
        fs::write(path(&format!("{pid}.json")), file.to_string()).expect("written");
        assert_eq!(speaking_sessions(folder.path()).expect("readable").len(), 1);
    }
}
