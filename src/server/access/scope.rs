//! Scopes: the part of the database that a request is about.

use std::fmt;

/// The projects that a request reads or writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every project.
    #[default]
    All,
    /// One project.
    Of(String),
}

impl Scope {
    /// The project that limits the scope; none in [`Scope::All`].
    pub fn project(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Of(project) => Some(project),
        }
    }

    /// Whether the scope contains `project`.
    pub fn contains(&self, project: &str) -> bool {
        self.project().is_none_or(|own| own == project)
    }

    /// The project of a row that is written for the caller: `wanted`, if the scope does not limit it to another one.
    pub fn project_or(&self, wanted: String) -> String {
        self.project().map_or(wanted, str::to_owned)
    }
}

impl From<Option<String>> for Scope {
    fn from(project: Option<String>) -> Self {
        project.map_or(Self::All, Self::Of)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all projects"),
            Self::Of(project) => write!(f, "project {project:?}"),
        }
    }
}
