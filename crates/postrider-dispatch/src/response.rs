//! What is kept of an answer, and how much of it is read.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// Most header fields kept of an answer.
pub const MAX_KEPT_HEADERS: usize = 64;
/// Most bytes of names and values of header fields kept of an answer.
pub const MAX_KEPT_HEADER_BYTES: usize = 8 * 1024;
/// Most bytes kept of a body, unless the request asks for more.
pub const MAX_KEPT_BODY: usize = 4 * 1024;
/// Most bytes read of a body; with more, the connection is dropped.
pub const MAX_BODY_READ: usize = 64 * 1024;

/// An answer, as it came: any status, no redirect followed, no coding undone, bytes as they are.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code, 101 or 200 to 999. (100 and 102 to 199 are interim answers and passed over.)
    pub status: u16,
    /// The first [`MAX_KEPT_HEADERS`] fields within [`MAX_KEPT_HEADER_BYTES`].
    pub headers: HeaderMap,
    /// The first bytes, as many as the request asked for. It may share memory with the header fields.
    pub body: Bytes,
    /// Whether the body had more than that.
    pub body_truncated: bool,
}

/// Keeps the first fields within the bounds.
pub(crate) fn bound_headers(headers: HeaderMap) -> HeaderMap {
    let mut bytes = 0;
    let fits = |(nth, (name, value)): (usize, (&http::HeaderName, &http::HeaderValue))| {
        bytes += name.as_str().len() + value.len();
        nth < MAX_KEPT_HEADERS && bytes <= MAX_KEPT_HEADER_BYTES
    };
    let kept = headers.iter().enumerate().map(fits).take_while(|fits| *fits).count();
    if kept == headers.len() {
        return headers;
    }
    headers.iter().take(kept).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Reads a body to its end, or to [`MAX_BODY_READ`]; the rest is left to be dropped with the connection. Of what is read
/// the first `keep` bytes are kept.
pub(crate) async fn read_body(mut body: Incoming, keep: usize) -> Result<(Bytes, bool), hyper::Error> {
    // Nearly every answer is one small frame, which is kept as it is, without a copy.
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let Ok(mut data) = frame?.into_data() else { continue };
        total += data.len();
        data.truncate(keep.saturating_sub(first.len().max(joined.len())));
        if first.is_empty() {
            first = data;
        } else if !data.is_empty() {
            if joined.is_empty() {
                joined.reserve(keep.min(MAX_KEPT_BODY));
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&data);
        }
        if total >= MAX_BODY_READ {
            break;
        }
    }
    let kept = if joined.is_empty() { first } else { joined.freeze() };
    Ok((kept, total > keep))
}
