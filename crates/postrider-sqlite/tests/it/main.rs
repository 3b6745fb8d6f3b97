//! The embedded store against the conformance suite, and against what files and disks do to it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

mod conformance;
mod files;
mod layouts;
mod power_cut;
