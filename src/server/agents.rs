//! Coding agents: their hooks, their transcripts and their silence, written through the verbs of `ingest`.
//!
//! This file is the only door of the feature: the rest of the program names nothing below it. It takes hooks and
//! transcripts, tells when hooks were last heard, and runs two jobs beside the requests: one takes in the records that hooks
//! left in the spool, the other looks for silent agents. The known agents, their hooks and their spool are in
//! [`crate::agent`], which the command line uses as well.

mod hooks;
pub use hooks::{HookDelivery, HookError, HookTime, take_hook};

mod transcripts;
pub use transcripts::{TranscriptStretch, take_stretch};

mod last_heard;
pub(super) use last_heard::hooks_last_heard;

mod silence;
pub(super) use silence::watch_silence;
pub use silence::{Judgement, SilenceLimits, carry_out, judge_silences};

mod spool_intake;
pub(super) use spool_intake::take_in_spool;
