//! A map in one sorted vector, and a set of read models in two: smaller code than a tree, and faster for the numbers of
//! read models that screens show.

use crate::protocol::{Key, Watched};

/// A map whose keys are in order. An entry also has a place, its number in that order.
#[derive(Debug)]
pub(super) struct FlatMap<K, V> {
    entries: Vec<(K, V)>,
    /// How many values were looked at, so that a test can bound the work of a step.
    #[cfg(test)]
    pub(super) visits: std::cell::Cell<usize>,
}

impl<K: Ord, V> FlatMap<K, V> {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            #[cfg(test)]
            visits: std::cell::Cell::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The place of `key`; if the map does not have the key, the place where it belongs.
    fn place(&self, key: &K) -> Result<usize, usize> {
        self.entries.binary_search_by(|(held, _)| held.cmp(key))
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.at(self.place(key).ok()?).map(|(_, value)| value)
    }

    /// The place of `key`, and its value.
    pub(super) fn find(&mut self, key: &K) -> Option<(usize, &mut V)> {
        let at = self.place(key).ok()?;
        self.at_mut(at).map(|(_, value)| (at, value))
    }

    pub(super) fn at(&self, at: usize) -> Option<(&K, &V)> {
        #[cfg(test)]
        self.visits.set(self.visits.get() + 1);
        self.entries.get(at).map(|(key, value)| (key, value))
    }

    pub(super) fn at_mut(&mut self, at: usize) -> Option<(&K, &mut V)> {
        #[cfg(test)]
        self.visits.set(self.visits.get() + 1);
        self.entries.get_mut(at).map(|(key, value)| (&*key, value))
    }

    /// The map must not have the key yet. Keys mostly come in order, and an insert at the end moves no entry.
    pub(super) fn insert(&mut self, key: K, value: V) {
        if let Err(at) = self.place(&key) {
            insert_at(&mut self.entries, at, (key, value));
        }
    }

    pub(super) fn remove(&mut self, key: &K) {
        let Ok(mut before) = self.place(key) else { return };
        self.entries.retain(|_| {
            let stays = before != 0;
            before = before.wrapping_sub(1);
            stays
        });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| {
            #[cfg(test)]
            self.visits.set(self.visits.get() + 1);
            (key, value)
        })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| {
            #[cfg(test)]
            self.visits.set(self.visits.get() + 1);
            (&*key, value)
        })
    }
}

/// As `Vec::insert`, whose panic is a twentieth of the engine's code in a browser. The same holds for an index: the
/// engine has none.
fn insert_at<T>(list: &mut Vec<T>, at: usize, mut value: T) {
    for place in list.iter_mut().skip(at) {
        std::mem::swap(place, &mut value);
    }
    list.push(value);
}

/// A list of read models, in order: two lists with the same entries are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WatchedList<K: Key> {
    ones: Vec<K>,
    groups: Vec<K::Group>,
}

impl<K: Key> WatchedList<K> {
    pub(super) fn new(entries: &[Watched<K>]) -> Self {
        let mut list = Self { ones: Vec::new(), groups: Vec::new() };
        for entry in entries {
            match entry {
                Watched::One(one) => list.ones.push(one.clone()),
                // There are few groups, and a long list repeats them.
                Watched::Group(group) => {
                    if let Err(at) = list.groups.binary_search(group) {
                        insert_at(&mut list.groups, at, group.clone());
                    }
                }
            }
        }
        sort(&mut list.ones);
        list.ones.dedup();
        list
    }

    pub(super) fn includes(&self, model: &K) -> bool {
        self.ones.binary_search(model).is_ok() || self.groups.iter().any(|group| model.is_in(group))
    }

    pub(super) fn entries(&self) -> Vec<Watched<K>> {
        let mut entries = Vec::with_capacity(self.ones.len() + self.groups.len());
        for one in &self.ones {
            entries.push(Watched::One(one.clone()));
        }
        for group in &self.groups {
            entries.push(Watched::Group(group.clone()));
        }
        entries
    }
}

/// Shell's sort: lists mostly come in order, and the sort of the standard library is a tenth of the engine's code.
fn sort<T: Ord>(list: &mut [T]) {
    let mut gap = list.len() / 2;
    while gap > 0 {
        for end in gap..list.len() {
            let mut at = end;
            while let Some(before) = at.checked_sub(gap)
                && list.get(at) < list.get(before)
            {
                swap(list, before, at);
                at = before;
            }
        }
        gap /= 2;
    }
}

fn swap<T>(list: &mut [T], before: usize, after: usize) {
    if let Some((head, tail)) = list.split_at_mut_checked(after)
        && let (Some(one), Some(other)) = (head.get_mut(before), tail.first_mut())
    {
        std::mem::swap(one, other);
    }
}

#[cfg(test)]
mod tests {
    use super::WatchedList;
    use crate::protocol::Watched;

    #[test]
    fn lists_with_the_same_entries_are_equal() {
        let list = |numbers: &mut dyn Iterator<Item = u32>| {
            WatchedList::<u32>::new(&numbers.map(Watched::One).collect::<Vec<_>>())
        };
        let sorted = list(&mut (0..1_000));
        assert_eq!(list(&mut (0..3_000).map(|number| number * 7_919 % 1_000)), sorted);
        assert_eq!(list(&mut (0..1_000).rev()), sorted);
        assert!(sorted.includes(&999) && !sorted.includes(&1_000));
        assert_eq!(sorted.entries().len(), 1_000);
        let groups = [Watched::Group(()), Watched::One(1), Watched::Group(())];
        let groups = WatchedList::<u32>::new(&groups);
        assert_eq!(groups.entries(), [Watched::One(1), Watched::Group(())]);
    }
}
