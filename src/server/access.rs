//! Access: which requests the server answers at all, and which projects a request is about.

pub mod allowed;

pub mod gate;
pub mod scope;
