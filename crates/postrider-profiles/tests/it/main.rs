//! The profiles that come with a server: what each sends, which events it has, and what is said of declarations that are wrong.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod catalogs;
mod facts;
mod folders;
mod requests;
