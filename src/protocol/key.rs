//! The names of read models, for any domain.

use std::fmt::Debug;

/// The name of a read model, as an application or a protocol chooses it.
pub trait Key: Clone + Ord + Debug {
    /// A name for many read models at once, such as every task. Two groups have no read model in common.
    type Group: Clone + Ord + Debug;

    /// Whether `group` includes this read model.
    fn is_in(&self, group: &Self::Group) -> bool;

    /// The group that stands for this read model where a list of single ones would be too long. None: there is none.
    fn group(&self) -> Option<Self::Group>;
}
