//! Sets of read models, for any kind of key: single read models, and groups that stand for many.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::read_model::{EVERY_TASK, as_text};
use super::{EveryTask, Key, ReadModel, ReadModelError};

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

impl FromStr for Watched {
    type Err = ReadModelError;

    fn from_str(text: &str) -> Result<Self, ReadModelError> {
        if text == EVERY_TASK { Ok(Watched::Group(EveryTask)) } else { text.parse().map(Watched::One) }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Watched::One(model) => model.fmt(f),
            Watched::Group(EveryTask) => f.write_str(EVERY_TASK),
        }
    }
}

as_text!(Watched);
