//! The readers of outside bytes on everything that was once worth keeping.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod corpus;
