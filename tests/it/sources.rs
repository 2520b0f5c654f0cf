//! The source files of the repository, for the tests that check its rules.

use std::fs;
use std::path::Path;

/// One file: its path from the root of the repository, and its text.
#[derive(Clone, Debug)]
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

/// Every `.rs` file in these folders, sorted by path.
pub fn source_files(folders: &[&str]) -> Vec<SourceFile> {
    let mut found = Vec::new();
    for folder in folders {
        let before = found.len();
        collect(Path::new(folder), &mut found);
        assert!(found.len() > before, "{folder} holds no .rs file: correct the list of folders");
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn collect(folder: &Path, found: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push(SourceFile { path: path.to_str().unwrap().to_owned(), text });
        }
    }
}
