//! The files that a tool call reads or changes.

use serde_json::Value;

use super::record::HookRecord;
use crate::protocol::limits;

/// How many files of one call are named. A larger patch names its first files.
const MAX_FILES: usize = 100;

/// The files that a call names, each once. A patch can name several.
pub fn files(record: &HookRecord) -> Vec<&str> {
    let Some(input) = record.value("tool_input") else { return Vec::new() };
    let text = |field: &str| input.get(field).and_then(Value::as_str);
    if let Some(path) = text("file_path").or(text("notebook_path")) {
        return vec![path];
    }
    if record.text("tool_name") != Some("apply_patch") {
        return Vec::new();
    }
    let patch = text("command").or(text("input")).or(text("patch")).or(input.as_str()).unwrap_or_default();
    let mut files = Vec::new();
    for path in patch.lines().filter_map(file_of_line) {
        if files.len() < MAX_FILES && path.len() <= limits::WORKSPACE_CHARACTERS && !files.contains(&path) {
            files.push(path);
        }
    }
    files
}

/// The file that a line of a patch names.
fn file_of_line(line: &str) -> Option<&str> {
    const MARKS: [&str; 4] = ["*** Update File: ", "*** Add File: ", "*** Delete File: ", "*** Move to: "];
    MARKS.iter().find_map(|mark| line.strip_prefix(mark)).map(str::trim).filter(|path| !path.is_empty())
}
