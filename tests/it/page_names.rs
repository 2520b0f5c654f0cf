//! The pages name files, headings and functions that exist.
//!
//! Links are checked on every page. On the pages that follow the code, paths and names in backticks are checked too: a
//! renamed function leaves no stale name behind. The sentences are not checked.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sources::{SourceFile, source_files};

/// The pages that follow the code. A path on them is relative to the repository or to `src/server`, or a file name
/// alone.
const PAGES_ABOUT_CODE: &[&str] = &["CONTRIBUTING.md"];
const FOLDERS: &[&str] = &["src", "entities/src", "migrations/src", "tests", "benches", "examples"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages of a folder and of the folders below it.
fn pages_in(folder: &Path, is_deep: bool) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && is_deep {
            pages.extend(pages_in(&path, is_deep));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages
}

/// The text outside of code blocks.
fn prose(page: &Path) -> String {
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let mut is_code = false;
    let is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    };
    text.lines().filter(is_prose).collect::<Vec<_>>().join("\n")
}

/// The headings of a page, as a link names them.
fn anchors(page: &Path) -> Vec<String> {
    let kept = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    let anchor = |title: &str| title.trim().to_lowercase().chars().filter(|c| kept(*c)).collect::<String>();
    let headings = prose(page);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#')).replace(' ', "-")).collect()
}

/// The links of a page that lead to no file or to no heading.
fn broken_links(page: &Path) -> Vec<String> {
    let text = prose(page);
    let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    let is_broken = |link: &&str| {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
        !target.exists() || (!anchor.is_empty() && !anchors(&target).iter().any(|heading| heading == anchor))
    };
    links.filter(|link| !link.starts_with("http")).filter(is_broken).map(str::to_owned).collect()
}

/// The paths and names in backticks that are neither in the repository nor in the sources.
fn unknown_names(text: &str, sources: &[SourceFile]) -> Vec<String> {
    let exists = |path: &str| {
        let folder = path.split('*').next().unwrap_or_default();
        let folder = if path.contains('*') { folder.rsplit_once('/').map_or("", |(folder, _)| folder) } else { folder };
        let is_file_name = || sources.iter().any(|file| file.path.rsplit('/').next() == Some(path));
        root().join(folder).exists() || root().join("src/server").join(folder).exists() || is_file_name()
    };
    let is_known = |name: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.chars().all(|c| plain(c) || "/.:*-".contains(c)) || name.starts_with(['-', '/', '.']) {
            return true;
        }
        let is_file = [".rs", ".md", ".sh", ".sql", ".toml"].iter().any(|end| name.ends_with(end));
        if is_file || name.contains('/') {
            return exists(name);
        }
        let last = name.rsplit("::").next().unwrap_or_default();
        !last.chars().all(plain) || sources.iter().any(|file| file.text.contains(last)) || exists(name)
    };
    text.split('`').skip(1).step_by(2).filter(|name| !is_known(name)).map(str::to_owned).collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut pages = pages_in(root(), false);
    pages.extend(pages_in(&root().join("docs"), true));
    pages.extend(["migrations/README.md", "tests/vectors/README.md"].map(|page| root().join(page)));
    for page in pages {
        let broken = broken_links(&page);
        assert!(broken.is_empty(), "{}: {broken:?}", page.display());
    }
}

#[test]
fn pages_about_code_name_existing_code() {
    let mut sources = source_files(FOLDERS);
    for file in fs::read_dir(root().join("migrations/triggers/sqlite")).unwrap() {
        let path = file.unwrap().path();
        sources.push(SourceFile { path: path.display().to_string(), text: fs::read_to_string(&path).unwrap() });
    }
    for page in PAGES_ABOUT_CODE {
        let unknown = unknown_names(&prose(&root().join(page)), &sources);
        assert!(unknown.is_empty(), "{page} names {unknown:?}, which the code does not have");
    }
}

#[test]
fn unknown_names_and_broken_links_are_found() {
    let text =
        "`src/lib.rs`, `feed.rs`, `src/gone.rs`, `Feed::open`, `Feed::gone`, `a b`, `--option`, `tests/vectors/a-*`";
    let source = SourceFile { path: "src/server/feed.rs".to_owned(), text: "fn open".to_owned() };
    assert_eq!(unknown_names(text, &[source]), ["src/gone.rs", "Feed::gone"]);

    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    fs::write(
        &page,
        "# A title\n[a](#a-title) [b](page.md#a-title) [c](#no-title) [d](gone.md)\n```\n[e](gone.md)\n```\n",
    )
    .unwrap();
    assert_eq!(broken_links(&page), ["#no-title", "gone.md"]);
}
