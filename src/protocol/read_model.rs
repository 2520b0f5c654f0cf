//! Read models: the named views that a screen watches and fetches again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Key, TaskId};

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
    /// The coding agents: `agents`.
    Agents,
}

/// Every task, as one name: `task:*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EveryTask;

impl Key for ReadModel {
    type Group = EveryTask;

    fn is_in(&self, _: &EveryTask) -> bool {
        matches!(self, ReadModel::Task(_))
    }

    fn group(&self) -> Option<EveryTask> {
        matches!(self, ReadModel::Task(_)).then_some(EveryTask)
    }
}

/// A text does not name a read model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadModelError;

const OVERVIEW: &str = "overview";
const BOOKMARKS: &str = "bookmarks";
const AGENTS: &str = "agents";
const TASK: &str = "task:";
pub(super) const EVERY_TASK: &str = "task:*";

impl FromStr for ReadModel {
    type Err = ReadModelError;

    fn from_str(text: &str) -> Result<Self, ReadModelError> {
        match text {
            OVERVIEW => Ok(ReadModel::Overview),
            BOOKMARKS => Ok(ReadModel::Bookmarks),
            AGENTS => Ok(ReadModel::Agents),
            _ => text.strip_prefix(TASK).and_then(|id| id.parse().ok()).map(ReadModel::Task).ok_or(ReadModelError),
        }
    }
}

impl fmt::Display for ReadModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadModel::Overview => f.write_str(OVERVIEW),
            ReadModel::Task(id) => write!(f, "{TASK}{id}"),
            ReadModel::Bookmarks => f.write_str(BOOKMARKS),
            ReadModel::Agents => f.write_str(AGENTS),
        }
    }
}

impl fmt::Display for ReadModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a read model (expected `overview`, `bookmarks`, `agents` or `task:<id>`)")
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
        crate::protocol::openapi_text!($name, "read-model");
    };
}

as_text!(ReadModel);
pub(super) use as_text;
