//! The engine on the embedded store, with a writer that can be told to fail.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod clock;
mod fairness;
mod faults;
mod restart;
mod stand;
mod subjects;
