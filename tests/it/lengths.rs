//! The bounds on the lengths of source files.

use crate::sources::{SourceFile, source_files};

const FOLDERS: &[&str] = &["src", "entities/src", "migrations/src", "tests", "benches", "examples"];
const LONGEST: usize = 500;
/// At least half of all lines are in files of at most this many lines.
const USUAL: usize = 220;

#[test]
fn files_are_short() {
    let folders: Vec<&str> = FOLDERS.iter().copied().filter(|folder| std::path::Path::new(folder).is_dir()).collect();
    let problems = problems(&source_files(&folders));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn problems(files: &[SourceFile]) -> Vec<String> {
    let lines: Vec<usize> = files.iter().map(|file| file.text.lines().count()).collect();
    let too_long = files.iter().zip(&lines).filter(|(_, lines)| **lines > LONGEST);
    let mut problems: Vec<String> = too_long
        .map(|(file, lines)| format!("{} has {lines} lines: split it at {LONGEST} at the latest", file.path))
        .collect();
    let all: usize = lines.iter().sum();
    let usual: usize = lines.iter().filter(|lines| **lines <= USUAL).sum();
    if usual * 2 < all {
        problems.push(format!("only {usual} of {all} lines are in files of at most {USUAL} lines: split long files"));
    }
    problems
}

#[test]
fn long_files_are_found() {
    let file = |lines: usize| SourceFile { path: format!("{lines}.rs"), text: "\n".repeat(lines) };
    assert_eq!(problems(&[file(500), file(220), file(220), file(60)]), [""; 0]);
    assert_eq!(
        problems(&[file(501), file(220), file(220), file(61)]),
        ["501.rs has 501 lines: split it at 500 at the latest"]
    );
    assert_eq!(
        problems(&[file(500), file(221), file(220)]),
        ["only 220 of 941 lines are in files of at most 220 lines: split long files"]
    );
}
