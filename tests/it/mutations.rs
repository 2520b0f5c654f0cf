//! The table of `scripts/mutate-rules` fits the code: each old text is found once, and each rule of a client is broken.

use std::collections::BTreeSet;
use std::fs;

#[derive(Debug, Default)]
struct Mutation<'a> {
    title: &'a str,
    file: &'a str,
    old: Vec<&'a str>,
    new: Vec<&'a str>,
    equivalent: Option<&'a str>,
}

#[test]
fn each_mutation_replaces_one_text() {
    let table = fs::read_to_string("scripts/mutations.txt").unwrap();
    let problems: Vec<String> = mutations(&table).iter().filter_map(problem).collect();
    assert!(problems.is_empty(), "correct scripts/mutations.txt:\n{}", problems.join("\n"));
}

#[test]
fn each_rule_of_a_client_has_a_mutation() {
    let table = fs::read_to_string("scripts/mutations.txt").unwrap();
    let page = fs::read_to_string("docs/protocol.md").unwrap();
    let broken: BTreeSet<u32> =
        mutations(&table).iter().filter(|one| one.equivalent.is_none()).flat_map(rules).collect();
    let rules = rules_of_the_page(&page);
    assert!(rules.len() >= 24, "the page has the rules {rules:?}");
    let missing: Vec<_> = rules.difference(&broken).collect();
    assert!(missing.is_empty(), "scripts/mutations.txt breaks none of the rules {missing:?}");
    let unknown: Vec<_> = broken.difference(&rules).collect();
    assert!(unknown.is_empty(), "docs/protocol.md has no rules {unknown:?}");
}

#[test]
fn titles_are_unique() {
    let table = fs::read_to_string("scripts/mutations.txt").unwrap();
    let mut titles = BTreeSet::new();
    let repeated: Vec<_> =
        mutations(&table).iter().map(|one| one.title).filter(|title| !titles.insert(*title)).collect();
    assert!(repeated.is_empty(), "these titles are there twice: {repeated:?}");
}

fn mutations(table: &str) -> Vec<Mutation<'_>> {
    let mut found: Vec<Mutation<'_>> = Vec::new();
    for line in table.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            found.push(Mutation { title, ..Mutation::default() });
        }
        let Some(last) = found.last_mut() else { continue };
        if let Some(file) = line.strip_prefix("in ") {
            last.file = file;
        } else if let Some(old) = line.strip_prefix("- ") {
            last.old.push(old);
        } else if let Some(new) = line.strip_prefix("+") {
            last.new.push(new.trim_start());
        } else if let Some(reason) = line.strip_prefix("equivalent:") {
            last.equivalent = Some(reason.trim());
        }
    }
    found
}

fn problem(mutation: &Mutation<'_>) -> Option<String> {
    let Mutation { title, file, old, new, equivalent } = mutation;
    let ([old], [new]) = (old.as_slice(), new.as_slice()) else {
        return Some(format!("{title}: one line with `-` and one with `+`"));
    };
    if old == new {
        return Some(format!("{title}: the two texts are the same"));
    }
    if *equivalent == Some("") {
        return Some(format!("{title}: an equivalent needs a reason"));
    }
    let Ok(text) = fs::read_to_string(file) else { return Some(format!("{title}: there is no file {file}")) };
    let count = text.matches(old).count();
    (count != 1).then(|| format!("{title}: {file} has the text {count} times: {old}"))
}

/// The rules that a mutation breaks: `rule 3:` or `rules 3 and 5:`.
fn rules(mutation: &Mutation<'_>) -> Vec<u32> {
    let named = mutation.title.split_once(':').map_or("", |(named, _)| named);
    if !named.starts_with("rule") {
        return Vec::new();
    }
    named.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

fn rules_of_the_page(page: &str) -> BTreeSet<u32> {
    let (_, section) = page.split_once("\n## Client rules\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    section.lines().filter_map(|line| line.split_once(". **")?.0.parse().ok()).collect()
}
