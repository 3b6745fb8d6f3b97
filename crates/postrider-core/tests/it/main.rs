//! The machines that decide what is delivered when, driven by hand in the simulator's world.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test by panicking")]

mod clocks;
mod notices;
mod replays;
mod tables;
