//! The pace of the index: how much one step does. It follows the time for which the steps hold the write lock.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::server::database::StepSize;

/// How many changes or rows one step looks at.
pub(super) const ROWS_PER_STEP: u32 = 200;

/// The size of the steps, in KiB of text: at least, at first and at most.
const KIB_PER_STEP: StepSize = StepSize::new(4, 16, 64);
/// How many rows one transaction indexes for each KiB.
const ROWS_PER_KIB: u32 = 4;
/// How many documents one transaction deletes for each KiB.
const REMOVALS_PER_KIB: u32 = 8;

/// The size of the next step.
pub(super) struct Pace(Mutex<StepSize>);

/// How much one step does.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepBounds {
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

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new(KIB_PER_STEP))
    }
}

impl Pace {
    /// The bounds of the next step.
    pub(super) fn bounds(&self) -> StepBounds {
        let kib = self.0.lock().unwrap_or_else(PoisonError::into_inner).size();
        let size = |per_kib: u32| (kib * per_kib) as usize;
        StepBounds { bytes: size(1024), rows: size(ROWS_PER_KIB), removals: kib * REMOVALS_PER_KIB, pages: kib }
    }

    /// Notes how long a step held the write lock. `full`: the step did all that its bounds allow.
    pub(super) fn note(&self, held: Duration, full: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).note(held, full);
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
