//! The dispatcher against receivers of every sort, all of them on loopback.

mod answers;
mod certificates;
mod connections;
mod faults;
mod lookups;
mod names;
mod support;
mod urls;
mod verdicts;
