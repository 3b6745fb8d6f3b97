//! The native API as a caller meets it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod api;
mod challenges;
mod connection;
mod contract;
mod endpoints;
mod examples;
mod fixture;
mod lookup;
mod replays;
mod surfaces;
