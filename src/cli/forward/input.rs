//! The standard input of a hook, read without a thread.
//!
//! A thread that reads would take bytes out of the pipe that the process of a late input needs, and on a busy machine
//! it may run for the first time after the deadline, although the input is in the pipe. So one thread asks the system
//! whether there is input, and asks at least once.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use requery::protocol::limits;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::de::IgnoredAny;

const INPUT_CHUNK_BYTES: usize = 64 * 1024;
/// How many bytes of an input that is too long are read and dropped. The writer of a closed pipe sees an error, but the
/// writer of an endless input must not keep this process for ever.
const MAX_DROPPED_BYTES: usize = 8 * limits::LONG_BODY_BYTES;
/// How long an input that grew is left alone before it is checked for being a whole record.
const QUIET_PAUSE: Duration = Duration::from_millis(150);

/// The input so far.
#[derive(Debug, Default)]
pub struct HookInput {
    bytes: Vec<u8>,
    has_ended: bool,
    /// The bytes behind the longest record.
    dropped_bytes: usize,
}

/// What the input holds at a moment.
#[derive(Debug, PartialEq, Eq)]
pub enum InputState {
    /// A record.
    Whole,
    /// A part of a record, or nothing yet.
    Open,
    /// It ended, and it is blank.
    Blank,
    /// It is longer than a record can be.
    TooLong,
}

impl HookInput {
    /// The input of which these bytes are read already.
    pub fn begun(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// The bytes that were read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The record.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Reads until the input ends, or until `until`. Input that is there by then is read even if the process gets to it
    /// later. The bounds on the bytes also end this.
    pub fn read(&mut self, until: Instant) {
        let input = io::stdin();
        let mut chunk = vec![0; INPUT_CHUNK_BYTES];
        while !self.has_ended && is_readable(&input, until) {
            match rustix::io::read(&input, &mut chunk) {
                Ok(0) => self.has_ended = true,
                Ok(length) if !self.is_too_long() && self.bytes.len() + length <= limits::LONG_BODY_BYTES => {
                    self.bytes.extend_from_slice(&chunk[..length]);
                }
                Ok(length) => {
                    self.dropped_bytes += length;
                    self.has_ended = self.dropped_bytes > MAX_DROPPED_BYTES;
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => self.has_ended = true,
            }
        }
    }

    /// Reads until the input ends, until it is a whole record, or until `until`.
    pub fn read_to_record(&mut self, until: Instant) {
        let mut checked = None;
        while !self.has_ended && Instant::now() < until {
            let length = self.bytes.len();
            if checked != Some(length) {
                if self.is_json() {
                    return;
                }
                checked = Some(length);
            }
            self.read((Instant::now() + QUIET_PAUSE).min(until));
        }
        // The process may have been stopped for longer than it waits.
        self.read(until);
    }

    /// What the input holds now. An input without end counts as a record if it is whole JSON.
    pub fn state(&self) -> InputState {
        if self.is_too_long() {
            InputState::TooLong
        } else if !self.has_ended {
            if self.is_json() { InputState::Whole } else { InputState::Open }
        } else if self.bytes.trim_ascii().is_empty() {
            InputState::Blank
        } else {
            InputState::Whole
        }
    }

    fn is_too_long(&self) -> bool {
        self.dropped_bytes > 0
    }

    fn is_json(&self) -> bool {
        serde_json::from_slice::<IgnoredAny>(&self.bytes).is_ok()
    }
}

/// Waits until there is input or the input has ended. False: neither was so at `until`.
fn is_readable(input: &impl AsFd, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut [PollFd::new(input, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) if ready > 0 => return true,
            Ok(_) if left.is_zero() => return false,
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            // The read tells the error.
            Err(_) => return true,
        }
    }
}
