//! The lines that differ between two texts, in the form of a unified diff.

use similar::{Algorithm, ChangeTag, capture_diff_slices, group_diff_ops};

/// How many equal lines are shown around a change.
const CONTEXT_LINES: usize = 3;

/// The removed and the added lines, with some equal lines around each change.
pub fn unified(old: &str, new: &str) -> String {
    // The line ends are left out: for a reader, a text with other line ends is the same text.
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut text = String::new();
    for group in group_diff_ops(capture_diff_slices(Algorithm::Myers, &old, &new), CONTEXT_LINES) {
        let first_line = group.first().map_or(0, |op| op.old_range().start) + 1;
        text += &format!("@@ line {first_line} @@\n");
        for change in group.iter().flat_map(|op| op.iter_changes(&old, &new)) {
            let mark = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            text += &format!("{mark}{}\n", change.value());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn changed_lines_have_equal_lines_around_them() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n";
        let new = "a\nb\nc\nd\nE\nf\ng\nh\ni\nj\nk\nl\nm\n";
        assert_eq!(unified(old, new), "@@ line 2 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n@@ line 10 @@\n j\n k\n l\n+m\n");
        assert_eq!(unified(old, old), "");
        assert_eq!(unified("", "x\n"), "@@ line 1 @@\n+x\n");
    }
}
