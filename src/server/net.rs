//! The network: the accept loop, and the two sockets that carry a feed.

pub(super) mod listen;
pub(super) mod sse;
pub(super) mod ws;

pub mod bare;
