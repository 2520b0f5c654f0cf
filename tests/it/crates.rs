//! The number of crates that a build compiles. A new crate is a decision, so it must show as a change of these figures.

use std::collections::BTreeSet;
use std::process::Command;

/// The figures include the crates of this workspace. Other systems compile a few other crates, so they skip this test.
#[test]
#[cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), ignore = "the figures are those of Linux on x86-64")]
fn a_build_compiles_no_more_crates_than_it_did() {
    assert_at_most(8, &["--no-default-features"]);
    assert_at_most(110, &["--no-default-features", "--features", "client"]);
    assert_at_most(290, &[]);
}

fn assert_at_most(bound: usize, features: &[&str]) {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(features)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let crates: BTreeSet<&str> = printed.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let count = crates.len();
    assert!(count <= bound, "{features:?}: {count} crates, more than {bound}:\n{printed}");
}
