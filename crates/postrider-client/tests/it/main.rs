//! The client against a server that records what it is asked and answers what it is told.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "helpers of tests lie outside the test functions that clippy excepts")]

mod calls;
mod failures;
mod server;
