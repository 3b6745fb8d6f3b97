//! The dispatcher against receivers of every sort, all of them on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test by panicking, as tests do"
)]

mod answers;
mod certificates;
mod connections;
mod faults;
mod lookups;
mod names;
mod support;
mod urls;
mod verdicts;
