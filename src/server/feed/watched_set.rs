//! The read models to which one stream is narrowed, as a set: the cost of a notice does not grow with their number.

use std::collections::HashSet;

use crate::protocol::{EveryTask, ReadModel, Watched};

/// The entries of the last `watch` of a stream.
#[derive(Debug, Default)]
pub(super) struct WatchedSet {
    entries: HashSet<Watched>,
    /// Some entry is a task or `task:*`.
    has_tasks: bool,
}

impl WatchedSet {
    pub(super) fn of(entries: &[Watched]) -> Self {
        let is_task = |entry: &Watched| matches!(entry, Watched::Group(EveryTask) | Watched::One(ReadModel::Task(_)));
        Self { has_tasks: entries.iter().any(is_task), entries: entries.iter().cloned().collect() }
    }

    /// Whether some read model is included here and in `stale`.
    pub(super) fn meets(&self, stale: &Watched) -> bool {
        match stale {
            Watched::Group(EveryTask) => self.has_tasks,
            Watched::One(ReadModel::Task(_)) => self.has_every_task() || self.entries.contains(stale),
            Watched::One(ReadModel::Overview | ReadModel::Bookmarks | ReadModel::Agents) => {
                self.entries.contains(stale)
            }
        }
    }

    /// The texts that a notice can name to make an entry stale. None: a notice about any task does.
    pub(super) fn names(&self) -> Option<impl Iterator<Item = &Watched>> {
        const EVERY_TASK: &Watched = &Watched::Group(EveryTask);
        (!self.has_every_task()).then(|| self.entries.iter().chain(self.has_tasks.then_some(EVERY_TASK)))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn has_every_task(&self) -> bool {
        self.has_tasks && self.entries.contains(&Watched::Group(EveryTask))
    }
}

#[cfg(test)]
mod tests {
    use super::WatchedSet;
    use crate::protocol::Watched;

    #[test]
    fn a_set_meets_what_one_of_its_entries_meets() {
        let texts = [
            "overview",
            "bookmarks",
            "task:*",
            "task:00000000-0000-7000-8000-000000000001",
            "task:00000000-0000-7000-8000-000000000002",
        ];
        let all = texts.map(|text| text.parse::<Watched>().expect("a read model"));
        for chosen in 0..1_u32 << all.len() {
            let entries: Vec<Watched> =
                all.iter().enumerate().filter(|(at, _)| chosen & 1 << at != 0).map(|(_, one)| one.clone()).collect();
            let set = WatchedSet::of(&entries);
            for stale in &all {
                let meets = entries.iter().any(|entry| entry.meets(stale));
                assert_eq!(set.meets(stale), meets, "{entries:?} {stale}");
                let named = set.names().map(|mut names| names.any(|name| name == stale));
                assert_eq!(named.unwrap_or(meets), meets, "{entries:?} {stale}");
            }
        }
    }
}
