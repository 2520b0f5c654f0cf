//! A map in one sorted vector, and a set of read models in two: smaller code than a tree, and faster for the numbers of
//! read models that screens show.

use crate::protocol::{Key, Watched};

/// A map whose keys are in order.
#[derive(Debug)]
pub(super) struct FlatMap<K, V> {
    entries: Vec<(K, V)>,
}

impl<K: Ord, V: Default> FlatMap<K, V> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.place(key).ok().map(|at| &self.entries[at].1)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.place(key).ok().map(|at| &mut self.entries[at].1)
    }

    /// The value of `key`, which is the default value if the map did not have the key.
    pub(super) fn or_default(&mut self, key: K) -> &mut V {
        // Keys mostly come in order, and an insert at the end moves no entry.
        let at = match self.place(&key) {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, (key, V::default()));
                at
            }
        };
        &mut self.entries[at].1
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Ok(at) = self.place(key) {
            self.entries.remove(at);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    fn place(&self, key: &K) -> Result<usize, usize> {
        self.entries.binary_search_by(|(held, _)| held.cmp(key))
    }
}

/// A list of read models, in order: two lists with the same entries are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WatchedList<K: Key> {
    ones: Vec<K>,
    groups: Vec<K::Group>,
}

impl<K: Key> WatchedList<K> {
    pub(super) fn new(entries: impl IntoIterator<Item = Watched<K>>) -> Self {
        let mut list = Self { ones: Vec::new(), groups: Vec::new() };
        for entry in entries {
            match entry {
                Watched::One(one) => insert(&mut list.ones, one),
                Watched::Group(group) => insert(&mut list.groups, group),
            }
        }
        list
    }

    pub(super) fn includes(&self, model: &K) -> bool {
        self.ones.binary_search(model).is_ok() || self.groups.iter().any(|group| model.is_in(group))
    }

    pub(super) fn entries(&self) -> Vec<Watched<K>> {
        let ones = self.ones.iter().cloned().map(Watched::One);
        ones.chain(self.groups.iter().cloned().map(Watched::Group)).collect()
    }
}

fn insert<T: Ord>(list: &mut Vec<T>, value: T) {
    if let Err(at) = list.binary_search(&value) {
        list.insert(at, value);
    }
}
