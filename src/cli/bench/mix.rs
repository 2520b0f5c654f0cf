//! The mix of the writes.

/// A kind of write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// An event is logged on a task.
    Event,
    /// The status of a task changes.
    Status,
    /// A bookmark of a task is saved.
    Bookmark,
}

impl WriteKind {
    const ALL: [(Self, &str); 3] = [(Self::Event, "events"), (Self::Status, "status"), (Self::Bookmark, "bookmarks")];
}

/// The shares of the kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix(Vec<(WriteKind, u32)>);

impl Mix {
    /// Parses a list such as `events=80,status=15,bookmarks=5`. The shares need not add up to a hundred.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "expected shares such as events=80,status=15,bookmarks=5";
        let mut shares = Vec::new();
        for part in text.split(',') {
            let (name, share) = part.split_once('=').ok_or(form)?;
            let found = WriteKind::ALL.iter().find(|(_, known)| *known == name.trim());
            let (kind, _) = found.ok_or_else(|| format!("{form}: there is no {:?}", name.trim()))?;
            let share = share.trim().parse::<u32>().ok().filter(|share| *share <= 1_000_000).ok_or(form)?;
            if shares.iter().any(|(other, _)| other == kind) {
                return Err(format!("{form}: {} is given twice", name.trim()));
            }
            shares.push((*kind, share));
        }
        if shares.iter().all(|(_, share)| *share == 0) {
            return Err(format!("{form}: every share is 0"));
        }
        Ok(Self(shares))
    }

    /// A random kind, by the shares.
    pub fn draw(&self) -> WriteKind {
        let mut at = fastrand::u32(..self.0.iter().map(|(_, share)| share).sum::<u32>());
        for (kind, share) in &self.0 {
            if at < *share {
                return *kind;
            }
            at -= share;
        }
        WriteKind::Event
    }
}

impl std::fmt::Display for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (kind, share)) in self.0.iter().enumerate() {
            let name = WriteKind::ALL.iter().find(|(known, _)| known == kind).map_or("", |(_, name)| name);
            write!(f, "{}{name}={share}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Mix, WriteKind};

    #[test]
    fn a_mix_is_parsed_and_drawn_by_its_shares() {
        let mix = Mix::parse("events=80, status=20,bookmarks=0").unwrap();
        assert_eq!(mix.to_string(), "events=80,status=20,bookmarks=0");
        fastrand::seed(1);
        let drawn: Vec<_> = (0..1_000).map(|_| mix.draw()).collect();
        let share = |kind| drawn.iter().filter(|drawn| **drawn == kind).count();
        assert!((750..850).contains(&share(WriteKind::Event)), "{}", share(WriteKind::Event));
        assert_eq!(share(WriteKind::Event) + share(WriteKind::Status), 1_000);
        for (text, part) in [
            ("", "expected shares"),
            ("events", "expected shares"),
            ("events=-1", "expected shares"),
            ("tasks=5", "there is no \"tasks\""),
            ("events=1,events=2", "events is given twice"),
            ("events=0,status=0", "every share is 0"),
        ] {
            let error = Mix::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
