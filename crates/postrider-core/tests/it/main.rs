//! The machines that decide what is delivered when, driven by hand and at random over a model of the store.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "helpers of tests fail the test by panicking, print its trace, and read from the environment which seeds to run"
)]

mod notices;
mod random;
mod replays;
mod rng;
mod store;
mod tables;
mod world;
