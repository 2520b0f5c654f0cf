//! The client scripts in `tests/vectors`, against the client rules on the page and the table of scripts in their
//! README.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use requery::protocol::Notice;

use super::{code, read, section, table_in};

/// The numbers after each `Rule` or `Rules` of a text, as in `Rules 2, 3 and 11:`.
fn cited_rules(text: &str) -> Vec<u32> {
    let mut cited = Vec::new();
    for rest in text.split("Rule").skip(1) {
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        let is_of_list = |word: &&str| *word == "and" || word.starts_with(|first: char| first.is_ascii_digit());
        let numbers = rest.split_whitespace().take_while(is_of_list).filter(|word| *word != "and");
        cited.extend(numbers.map(|word| word.trim_end_matches([',', ':', '.']).parse::<u32>().expect("a number")));
    }
    cited
}

/// The rules that each script in `tests/vectors` cites, by the name of the script.
fn rules_of_scripts() -> BTreeMap<String, BTreeSet<u32>> {
    let mut scripts = BTreeMap::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")).expect("vectors") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let script = fs::read_to_string(&path).expect("a script");
        // A citation may break over two lines.
        let comments: Vec<&str> = script.lines().filter_map(|line| line.strip_prefix("# ")).collect();
        scripts.insert(name, cited_rules(&comments.join(" ")).into_iter().collect());
    }
    scripts
}

#[test]
fn cited_rules_are_read_from_singular_and_plural() {
    assert_eq!(cited_rules("# Rule 4: a\n# b Rule 6 on c\n# Rules 2, 3 and 11: d"), [4, 6, 2, 3, 11]);
    assert!(cited_rules("# no citation, 5 notices").is_empty());
}

#[test]
fn each_rule_has_a_vector_and_each_vector_a_rule() {
    let rules = section("## Client rules");
    let number = |line: &str| line.split_once(". ")?.0.parse::<u32>().ok();
    let rules: Vec<u32> = rules.lines().filter_map(number).collect();
    assert_eq!(rules, (1..=rules.len() as u32).collect::<Vec<_>>(), "the rules are numbered without gaps");

    let scripts = rules_of_scripts();
    for (name, cited) in &scripts {
        assert!(!cited.is_empty(), "{name} cites no rule of docs/protocol.md");
        for rule in cited {
            assert!(rules.contains(rule), "{name} cites rule {rule}, which docs/protocol.md does not have");
        }
    }
    let is_cited = |rule: &&u32| scripts.values().any(|cited| cited.contains(rule));
    let missing: Vec<&u32> = rules.iter().filter(|rule| !is_cited(rule)).collect();
    assert!(missing.is_empty(), "no script in tests/vectors cites the rules {missing:?}");
}

/// A rule keeps its other scripts when one is removed, so only the list of all scripts reports the removal.
#[test]
fn the_table_of_scripts_matches_the_folder() {
    let readme = read("tests/vectors/README.md");
    let mut listed = BTreeMap::<String, BTreeSet<u32>>::new();
    for row in table_in(&readme, "| script | rules |") {
        let rules = row[1].split(", ").map(|rule| rule.parse().expect("a number")).collect();
        let name = code(&row[0]).concat();
        assert!(listed.insert(name.clone(), rules).is_none(), "{name} is in the table twice");
    }
    let scripts = rules_of_scripts();
    for name in scripts.keys() {
        assert!(listed.contains_key(name), "tests/vectors/README.md does not list {name}");
    }
    for (name, rules) in &listed {
        let cited = scripts.get(name).unwrap_or_else(|| panic!("{name}.txt is not in tests/vectors"));
        assert_eq!(cited, rules, "the rules of {name}, in the script and in tests/vectors/README.md");
    }
    // The table of defects names scripts too.
    for row in table_in(&readme, "| defect | script |") {
        for name in code(&row[1]) {
            assert!(scripts.contains_key(&name), "{name}.txt is not in tests/vectors");
        }
    }
}

/// `invalidation.txt` holds rule 1, and a kind that it lacks would be held by no script.
#[test]
fn the_script_of_rule_1_has_every_kind_of_notice() {
    let script = read("tests/vectors/invalidation.txt");
    let frames = script.lines().filter_map(|line| line.split_once(" frame ")?.1.split(' ').next());
    let kinds: BTreeSet<&str> = frames.filter(|kind| kind.contains('.')).collect();
    assert_eq!(kinds, Notice::KINDS.iter().copied().collect(), "the notices of tests/vectors/invalidation.txt");
}
