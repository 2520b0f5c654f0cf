//! Access: which requests the server answers at all.

pub mod gate;
