//! What every reader of outside bytes promises, whatever the bytes: one function each, which panics where it is broken.
//!
//! `cargo fuzz` looks for bytes that break one (`make fuzz`, in `fuzz/`); the tests here try those that it found worth
//! keeping (`fuzz/corpus/`), on every change and without it. A promise is more than not to panic: what is accepted
//! survives the store, two ways of reading agree, what was masked holds nothing any more.
//!
//! A function that takes several documents parts its bytes at [`SEPARATOR`], which no JSON text holds.
#![forbid(unsafe_code)]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a panic is how a broken promise is told")]

mod cards;
mod documents;
mod endpoints;
mod events;
mod filters;
mod headers;
mod json;
mod schemas;
mod texts;
mod urls;

/// Parts documents in one input: the record separator of ASCII.
pub const SEPARATOR: u8 = 0x1E;

/// The longest input, in bytes: beyond it nothing new comes, only slowly.
pub const MAX_INPUT: usize = 4_096;

/// Something that reads bytes of strangers.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the fuzz target, and of the folder with its corpus.
    pub name: &'static str,
    /// Tries bytes on it.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "event", run: events::event },
    Target { name: "batch", run: events::batch },
    Target { name: "endpoint", run: endpoints::endpoint },
    Target { name: "document", run: documents::document },
    Target { name: "json", run: json::json },
    Target { name: "filter", run: filters::filter },
    Target { name: "schema", run: schemas::schema },
    Target { name: "card", run: cards::card },
    Target { name: "answer", run: cards::answer },
    Target { name: "text", run: texts::text },
    Target { name: "response_header", run: headers::response_header },
    Target { name: "url", run: urls::url },
    Target { name: "framing", run: postrider_server::fuzzing::framing },
    Target { name: "cursor", run: postrider_server::fuzzing::cursor },
    Target { name: "query", run: postrider_server::fuzzing::query },
    Target { name: "request_header", run: postrider_server::fuzzing::headers },
];

/// Runs the target of a name.
///
/// # Panics
/// If there is none, or what it tries breaks a promise.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("there is no target {name}")).run)(bytes);
}

/// Up to `N` documents of an input; those that are not there are empty.
fn parts<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    let mut parts = bytes.splitn(N, |byte| *byte == SEPARATOR);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
