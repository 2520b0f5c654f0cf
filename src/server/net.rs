//! The network: the accept loop, and the two sockets that carry a feed.

pub mod bare;

pub(super) mod listen;
pub(super) mod sse;
pub(super) mod ws;

mod frames;

mod pipe;

mod socket;
