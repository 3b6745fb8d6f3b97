//! The program as its users run it: its commands against a small server of the test's own, and the server as a whole.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests lie outside the test functions that clippy excepts"
)]

mod bench;
mod cli;
mod cli_bench;
mod cli_catalogue;
mod cli_deliveries;
mod cli_feed;
mod cli_profiles;
mod cli_replays;
mod cli_terminal;
mod commands;
mod completions;
mod configuration;
mod demo;
mod fake;
mod guide;
mod harness;
mod help;
mod program;
mod serving;
mod verify;
