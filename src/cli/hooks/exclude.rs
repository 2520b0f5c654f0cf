//! Keeps the settings file of a project out of git, by the file `info/exclude` of the repository.
//!
//! That file belongs to one clone and is never shared, unlike `.gitignore`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Adds the file to `info/exclude`, unless git ignores it already or has it. Returns the path of the changed file.
/// None: the folder is in no repository, git is not installed, git keeps the file out already, or no line can name it.
pub fn keep_out_of_git(file: &Path) -> anyhow::Result<Option<String>> {
    let Some(folder) = file.parent() else { return Ok(None) };
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder).args(args).stdin(Stdio::null()).stderr(Stdio::null());
        git.output().ok().filter(|output| output.status.success()).map(|output| output.stdout)
    };
    let line = |args: &[&str]| git(args).and_then(|text| Some(String::from_utf8(text).ok()?.trim_end().to_owned()));
    let Some(name) = file.to_str() else { return Ok(None) };
    if git(&["check-ignore", "--quiet", name]).is_some() || git(&["ls-files", "--error-unmatch", name]).is_some() {
        return Ok(None);
    }
    let exclude = line(&["rev-parse", "--path-format=absolute", "--git-path", "info/exclude"]);
    let (Some(exclude), Some(prefix)) = (exclude, line(&["rev-parse", "--show-prefix"])) else { return Ok(None) };
    // No pattern can have the end of a line in it.
    if prefix.contains('\n') {
        return Ok(None);
    }
    // The file need not be UTF-8.
    let before = fs::read(&exclude).unwrap_or_default();
    let end = if before.last().is_none_or(|byte| *byte == b'\n') { "" } else { "\n" };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if let Some(folder) = Path::new(&exclude).parent() {
        fs::create_dir_all(folder)?;
    }
    let mut text = OpenOptions::new().append(true).create(true).open(&exclude)?;
    text.write_all(format!("{end}/{}\n", pattern(&format!("{prefix}{name}"))).as_bytes())?;
    Ok(Some(exclude))
}

/// The pattern that means this path alone.
fn pattern(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '\\' | '*' | '?' | '[') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
