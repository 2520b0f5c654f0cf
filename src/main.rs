//! `requery`: parse, start tracing, run the command.
fn main() {}
