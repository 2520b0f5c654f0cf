//! Sets of read models, for any kind of key: single read models, and groups that stand for many.

use std::fmt::Debug;

use super::ReadModel;

/// The name of a read model, as an application or a protocol chooses it.
pub trait Key: Clone + Ord + Debug {
    /// A name for many read models at once, such as every task. Two groups have no read model in common.
    type Group: Clone + Ord + Debug;

    /// Whether `group` includes this read model.
    fn is_in(&self, group: &Self::Group) -> bool;

    /// The group that stands for this read model where a list of single ones would be too long. None: there is none.
    fn group(&self) -> Option<Self::Group>;
}

/// One entry of a list of read models.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Watched<K: Key = ReadModel> {
    /// One read model.
    One(K),
    /// Every read model of a group.
    Group(K::Group),
}

impl<K: Key> Watched<K> {
    /// Whether this entry includes `model`.
    pub fn includes(&self, model: &K) -> bool {
        match self {
            Watched::One(one) => one == model,
            Watched::Group(group) => model.is_in(group),
        }
    }

    /// Whether some read model is included here and in `other`.
    pub fn meets(&self, other: &Watched<K>) -> bool {
        match (self, other) {
            (any, Watched::One(model)) => any.includes(model),
            (Watched::One(model), any) => any.includes(model),
            (Watched::Group(group), Watched::Group(other)) => group == other,
        }
    }
}

impl<K: Key> From<K> for Watched<K> {
    fn from(model: K) -> Self {
        Watched::One(model)
    }
}
