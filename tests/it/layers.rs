//! The modules that each module may use: reads the sources into a graph and checks it against the tables in `rules`.

mod check;
mod folder;
mod graph;
mod planted;
mod reader;
mod rules;
mod tokens;

use std::sync::LazyLock;

use crate::sources::source_files;
use graph::Graph;
use reader::ReadFile;

/// The sources of this repository, read once for all tests.
static FILES: LazyLock<Vec<ReadFile>> = LazyLock::new(|| {
    let files = source_files(&["src", "entities/src", "migrations/src"]);
    files.iter().map(|file| reader::read(&file.path, &file.text)).collect()
});

#[test]
fn modules_keep_to_their_layers() {
    let files: Vec<&ReadFile> = FILES.iter().collect();
    let problems = check::problems(&Graph::of(&files));
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
