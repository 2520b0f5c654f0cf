//! What changes between two texts, as people are used to see it.

/// How many lines are shown around a change.
const AROUND: usize = 3;
/// The longest texts that are compared line by line. Beyond it what differs is shown as one change.
const COMPARED: usize = 4_000_000;

/// The lines that go and come, with some around them.
pub fn unified(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let lines = compare(&old, &new);
    let near = |at: usize| {
        let from = at.saturating_sub(AROUND);
        lines[from..(at + AROUND + 1).min(lines.len())].iter().any(|(mark, _)| *mark != ' ')
    };
    let mut text = String::new();
    let (mut number, mut shown) = (0, false);
    for (at, (mark, line)) in lines.iter().enumerate() {
        if *mark != '+' {
            number += 1;
        }
        if near(at) {
            if !shown {
                text += &format!("@@ line {} @@\n", number.max(1));
            }
            text += &format!("{mark}{line}\n");
        }
        shown = near(at);
    }
    text
}

fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let before = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old_rest, new_rest) = (&old[before..], &new[before..]);
    let after = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old_mid, new_mid) = (&old_rest[..old_rest.len() - after], &new_rest[..new_rest.len() - after]);
    let same = |line: &&'a str| (' ', *line);
    let mut lines: Vec<_> = old[..before].iter().map(same).collect();
    if old_mid.len().saturating_mul(new_mid.len()) > COMPARED {
        lines.extend(old_mid.iter().map(|line| ('-', *line)));
        lines.extend(new_mid.iter().map(|line| ('+', *line)));
    } else {
        lines.extend(longest_common(old_mid, new_mid));
    }
    lines.extend(old[old.len() - after..].iter().map(same));
    lines
}

fn longest_common<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    // `length[i][j]`: how many lines `old[i..]` and `new[j..]` have in common at most.
    let mut length = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for (i, old_line) in old.iter().enumerate().rev() {
        for (j, new_line) in new.iter().enumerate().rev() {
            length[i][j] =
                if old_line == new_line { length[i + 1][j + 1] + 1 } else { length[i + 1][j].max(length[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && length[i + 1][j] >= length[i][j + 1]) {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn what_goes_and_comes_with_some_lines_around() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n";
        let new = "a\nb\nc\nd\nE\nf\ng\nh\ni\nj\nk\nl\nm\n";
        assert_eq!(unified(old, new), "@@ line 2 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n@@ line 10 @@\n j\n k\n l\n+m\n");
        assert_eq!(unified(old, old), "");
        assert_eq!(unified("", "x\n"), "@@ line 1 @@\n+x\n");
    }
}
