//! The strict reading held against the parser that hyper reads with: what passes must end for both at the same byte.

#![allow(clippy::panic, reason = "a panic is how a fuzzer hears of it")]

use httparse::{EMPTY_HEADER, Request, Status};

use super::{Framing, State};

/// Fields of a head that the other parser has room for; as many as hyper has.
const MAX_FIELDS: usize = 100;

/// Reads bytes as a connection would bring them.
///
/// # Panics
/// If the verdict depends on how they are cut, or a request that passes ends elsewhere for the other parser.
pub(crate) fn check(bytes: &[u8]) {
    let mut whole = Framing::new();
    let verdict = whole.read(bytes);
    let mut cut = Framing::new();
    let one_by_one = bytes.iter().try_for_each(|byte| cut.read(std::slice::from_ref(byte)));
    assert_eq!(verdict.is_ok(), one_by_one.is_ok(), "the verdict depends on the reads");
    match verdict {
        Ok(()) => assert_eq!(whole.stage(), cut.stage(), "the stage depends on the reads"),
        Err(at) => assert!(at < bytes.len(), "the fault lies behind the end"),
    }
    // What stands before a fault was let through.
    let mut rest = &bytes[..verdict.map_or_else(|at| at, |()| bytes.len())];
    while let Some(end) = end_of_request(rest) {
        rest = &rest[end..];
    }
}

/// Where the first request ends, if it is here whole and the other parser takes it.
fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut request = Request::new(&mut fields);
    let Ok(Status::Complete(head)) = request.parse(bytes) else { return None };
    let values = |name: &str| {
        let fields = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        fields.map(|field| field.value.trim_ascii()).collect::<Vec<_>>()
    };
    let expected = match (&values("content-length")[..], &values("transfer-encoding")[..]) {
        ([], []) => State::RequestLine,
        ([length], []) => match std::str::from_utf8(length).ok().and_then(|text| text.parse().ok()) {
            Some(0) => State::RequestLine,
            Some(left) => State::Body { left },
            None => panic!("a length passed that is no number: {length:?}"),
        },
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => State::ChunkSize,
        (lengths, codings) => panic!("passed with {lengths:?} and {codings:?}"),
    };
    assert!(values("host").len() <= 1, "two hosts passed");
    let mut framing = Framing::new();
    framing.read(&bytes[..head]).unwrap_or_else(|at| panic!("refused at {at} when it comes alone"));
    assert_eq!(framing.state, expected, "the body begins elsewhere");
    let body = match expected {
        State::Body { left } => usize::try_from(left).ok()?,
        State::ChunkSize => end_of_chunks(&bytes[head..])?,
        _ => 0,
    };
    let end = head.checked_add(body).filter(|end| *end <= bytes.len())?;
    framing.read(&bytes[head..end]).unwrap_or_else(|at| panic!("the body is refused at {at}"));
    assert_eq!(framing.state, State::RequestLine, "the body ends elsewhere");
    Some(end)
}

/// Where a chunked body ends, if it is here whole.
fn end_of_chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let Ok(Status::Complete((line, size))) = httparse::parse_chunk_size(&bytes[at..]) else {
            return None;
        };
        at += line;
        if size == 0 {
            return bytes[at..].starts_with(b"\r\n").then_some(at + 2);
        }
        at = at.checked_add(usize::try_from(size).ok()?)?;
        if !bytes.get(at..)?.starts_with(b"\r\n") {
            return None;
        }
        at += 2;
    }
}
