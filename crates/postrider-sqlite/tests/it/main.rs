//! The embedded store against the conformance suite, and against what files and disks do to it.
#![allow(missing_docs, reason = "tests")]

mod conformance;
mod files;
