//! The pace of the index: how much one step does. It follows the time for which the steps hold the write lock.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sea_orm::DbBackend;

use crate::server::database::StepSize;

/// How many changes or rows one step looks at.
const ROWS_PER_STEP: u32 = 200;
/// The same on Postgres, where no writer waits for a step and each statement is a round trip.
const ROWS_PER_STEP_ON_POSTGRES: u32 = 500;

/// The size of the steps, in KiB of text: at least, at first and at most.
const KIB_PER_STEP: StepSize = StepSize::new(4, 16, 64);
/// The same on Postgres, where no writer waits for a step: each step takes all rows that it has looked at.
const KIB_PER_STEP_ON_POSTGRES: StepSize = StepSize::new(256, 256, 256);
/// How many rows one transaction indexes for each KiB.
const ROWS_PER_KIB: u32 = 4;
/// How many documents one transaction deletes for each KiB.
const REMOVALS_PER_KIB: u32 = 8;

/// The size of the next step.
pub(super) struct Pace {
    size: Mutex<StepSize>,
    looks_at: u32,
}

/// How much one step does.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepBounds {
    /// How many changes or rows one step looks at.
    pub(super) looks_at: u32,
    /// How much text one transaction indexes.
    pub(super) bytes: usize,
    /// How many rows one transaction indexes.
    pub(super) rows: usize,
    /// How many documents one transaction deletes.
    pub(super) removals: u32,
    /// How many pages of the index each transaction merges, if there are segments to merge. That is about as many pages
    /// as the transaction adds, for each level of the index.
    pub(super) pages: u32,
}

impl Pace {
    /// The pace on this kind of database.
    pub(super) fn of(backend: DbBackend) -> Self {
        let (size, looks_at) = match backend {
            DbBackend::Postgres => (KIB_PER_STEP_ON_POSTGRES, ROWS_PER_STEP_ON_POSTGRES),
            _ => (KIB_PER_STEP, ROWS_PER_STEP),
        };
        Self { size: Mutex::new(size), looks_at }
    }

    /// The bounds of the next step.
    pub(super) fn bounds(&self) -> StepBounds {
        let kib = self.size.lock().unwrap_or_else(PoisonError::into_inner).size();
        let size = |per_kib: u32| (kib * per_kib) as usize;
        StepBounds {
            looks_at: self.looks_at,
            bytes: size(1024),
            rows: size(ROWS_PER_KIB),
            removals: kib * REMOVALS_PER_KIB,
            pages: kib,
        }
    }

    /// Notes how long a step held the write lock. `full`: the step did all that its bounds allow.
    pub(super) fn note(&self, held: Duration, full: bool) {
        self.size.lock().unwrap_or_else(PoisonError::into_inner).note(held, full);
    }
}

/// What a step on Postgres does now and then.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProgressDue {
    /// Count the missing changes. A count reads them.
    pub(super) count: bool,
    /// Write the progress, even if it has no changes.
    pub(super) note: bool,
}
