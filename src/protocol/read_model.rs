//! Read models: the named views that a screen watches and fetches again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::TaskId;

/// A named view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReadModel {
    /// The figures and the first page of tasks: `overview`.
    Overview,
    /// A task with its sessions, children and timeline: `task:<id>`.
    Task(TaskId),
    /// The bookmarks: `bookmarks`.
    Bookmarks,
}

/// One entry of the set to which a stream is narrowed: one read model, or every task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Watched {
    /// One read model.
    One(ReadModel),
    /// Every task: `task:*`.
    EveryTask,
}

/// A text does not name a read model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadModelError;

const OVERVIEW: &str = "overview";
const BOOKMARKS: &str = "bookmarks";
const TASK: &str = "task:";
const EVERY_TASK: &str = "task:*";

impl Watched {
    /// Whether this entry includes `model`.
    pub fn includes(&self, model: &ReadModel) -> bool {
        match self {
            Watched::One(one) => one == model,
            Watched::EveryTask => matches!(model, ReadModel::Task(_)),
        }
    }

    /// Whether some read model is included here and in `other`.
    pub fn meets(&self, other: &Watched) -> bool {
        match other {
            Watched::One(model) => self.includes(model),
            Watched::EveryTask => !matches!(self, Watched::One(ReadModel::Overview | ReadModel::Bookmarks)),
        }
    }
}

impl From<ReadModel> for Watched {
    fn from(model: ReadModel) -> Self {
        Watched::One(model)
    }
}

impl FromStr for ReadModel {
    type Err = ReadModelError;

    fn from_str(text: &str) -> Result<Self, ReadModelError> {
        match text {
            OVERVIEW => Ok(ReadModel::Overview),
            BOOKMARKS => Ok(ReadModel::Bookmarks),
            _ => text.strip_prefix(TASK).and_then(|id| id.parse().ok()).map(ReadModel::Task).ok_or(ReadModelError),
        }
    }
}

impl FromStr for Watched {
    type Err = ReadModelError;

    fn from_str(text: &str) -> Result<Self, ReadModelError> {
        if text == EVERY_TASK { Ok(Watched::EveryTask) } else { text.parse().map(Watched::One) }
    }
}

impl fmt::Display for ReadModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadModel::Overview => f.write_str(OVERVIEW),
            ReadModel::Task(id) => write!(f, "{TASK}{id}"),
            ReadModel::Bookmarks => f.write_str(BOOKMARKS),
        }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Watched::One(model) => model.fmt(f),
            Watched::EveryTask => f.write_str(EVERY_TASK),
        }
    }
}

impl fmt::Display for ReadModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a read model (expected `overview`, `bookmarks` or `task:<id>`)")
    }
}

impl std::error::Error for ReadModelError {}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "server")]
        super::openapi_text!($name, "read-model");
    };
}

as_text!(ReadModel);
as_text!(Watched);
