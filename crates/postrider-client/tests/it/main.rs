//! The client against a server that records what it is asked and answers what it is told.

#![forbid(unsafe_code)]

mod calls;
mod failures;
mod server;
