//! Reading a request's body: of the right kind, within a bound of bytes and of time.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, header};
use http_body_util::BodyExt;

use crate::problem::{Kind, Problem};

/// How long a body may take, from its first byte to its last.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Room made at once for a body of announced length, at most.
const MAX_RESERVED: usize = 64 * 1024;
/// The longest body of a call that is not a publication, in bytes.
pub(crate) const MAX_DOCUMENT: usize = 256 * 1024;

/// The kinds of body that are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MediaType {
    Json,
    MergePatch,
    NdJson,
}

impl MediaType {
    /// What the headers say of the body.
    ///
    /// # Errors
    /// 415 for a missing or unknown type, a charset other than UTF-8, and any content coding.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let coded = headers
            .get_all(header::CONTENT_ENCODING)
            .iter()
            .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
        if coded {
            return Err(unsupported("content codings are not taken; send the body as it is"));
        }
        let mut given = headers.get_all(header::CONTENT_TYPE).iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return Err(unsupported("say what the body is: Content-Type: application/json"));
        };
        if value == "application/json" {
            return Ok(Self::Json);
        }
        let text = value.to_str().unwrap_or_default();
        let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
        let charset_fits = parameters.split(';').map(str::trim).filter(|p| !p.is_empty()).all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        });
        if !charset_fits {
            return Err(unsupported(
                "JSON is written in UTF-8 (RFC 8259, section 8.1); leave the charset out",
            ));
        }
        match essence.trim().to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::MergePatch),
            "application/x-ndjson" => Ok(Self::NdJson),
            _ => Err(unsupported("the body must be application/json")),
        }
    }
}

fn unsupported(detail: &'static str) -> Problem {
    Problem::new(Kind::UnsupportedMedia, detail)
}

/// The JSON document of a call that is not a publication.
///
/// # Errors
/// 415 for another kind of body, and as [`collect`].
pub(crate) async fn document(request: Request<Body>) -> Result<Bytes, Problem> {
    document_within(request, MAX_DOCUMENT).await
}

/// The same, at most `limit` bytes.
///
/// # Errors
/// As [`document`].
pub(crate) async fn document_within(request: Request<Body>, limit: usize) -> Result<Bytes, Problem> {
    match MediaType::of(request.headers())? {
        MediaType::Json => collect(request, limit).await,
        _ => Err(unsupported("the body must be application/json")),
    }
}

/// The JSON document of a call that needs none: without a body it is the empty object.
///
/// # Errors
/// As [`document`].
pub(crate) async fn optional_document(request: Request<Body>) -> Result<Bytes, Problem> {
    if request.body().is_end_stream() { Ok(Bytes::from_static(b"{}")) } else { document(request).await }
}

/// The whole body, at most `limit` bytes.
///
/// # Errors
/// 413 beyond the limit, without reading the rest; 408 when it takes too long; 400 when it is cut off.
pub(crate) async fn collect(request: Request<Body>, limit: usize) -> Result<Bytes, Problem> {
    collect_within(request, |_| limit).await
}

/// The whole body, at most as many bytes as its first ones allow.
///
/// # Errors
/// As [`collect`].
pub(crate) async fn collect_within(
    request: Request<Body>,
    limit: impl FnOnce(&[u8]) -> usize,
) -> Result<Bytes, Problem> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    // A timer is only made if the body is not here yet.
    match tokio::time::timeout(BODY_TIMEOUT, read(request.into_body(), announced, limit)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(Kind::Timeout, "the body did not arrive in time")),
    }
}

async fn read(
    mut body: Body,
    announced: usize,
    limit: impl FnOnce(&[u8]) -> usize,
) -> Result<Bytes, Problem> {
    let Some(first) = next(&mut body).await? else {
        return Ok(Bytes::new());
    };
    let limit = limit(&first);
    if announced.max(first.len()) > limit {
        return Err(too_large(limit));
    }
    if announced == first.len() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(announced.max(first.len()).min(MAX_RESERVED));
    let mut part = Some(first);
    while let Some(bytes) = part {
        if whole.len() + bytes.len() > limit {
            return Err(too_large(limit));
        }
        whole.extend_from_slice(&bytes);
        part = next(&mut body).await?;
    }
    Ok(whole.freeze())
}

/// The next bytes of data; `None` at the end.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(_)) => return Err(Problem::new(Kind::Malformed, "the body was cut off")),
        }
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("the body is longer than {limit} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a08_only_plain_json_is_taken() {
        let of = |kind: Option<&str>, coding: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(kind) = kind {
                headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            }
            if let Some(coding) = coding {
                headers.insert(header::CONTENT_ENCODING, coding.parse().unwrap());
            }
            MediaType::of(&headers).map_err(|problem| problem.kind())
        };
        for good in
            ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""]
        {
            assert_eq!(of(Some(good), None), Ok(MediaType::Json), "{good}");
        }
        assert_eq!(of(Some("application/x-ndjson"), Some("identity")), Ok(MediaType::NdJson));
        assert_eq!(of(Some("application/merge-patch+json"), None), Ok(MediaType::MergePatch));
        for (kind, coding) in [
            (None, None),
            (Some(""), None),
            (Some("text/plain"), None),
            (Some("application/jsonx"), None),
            (Some("application/json; charset=latin1"), None),
            (Some("application/json"), Some("gzip")),
            (Some("application/json"), Some("identity, gzip")),
            (Some("multipart/form-data; boundary=x"), None),
        ] {
            assert_eq!(of(kind, coding), Err(Kind::UnsupportedMedia), "{kind:?} {coding:?}");
        }
    }

    #[tokio::test]
    async fn abuse_a03_a_body_over_the_limit_is_refused_announced_or_not() {
        let request = |length: Option<usize>| {
            let body = Body::from_stream(Parts(3));
            let mut request = Request::new(body);
            if let Some(length) = length {
                request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            }
            request
        };
        assert_eq!(collect(request(Some(12)), 12).await.unwrap(), "abcdabcdabcd");
        assert_eq!(collect(request(None), 12).await.unwrap(), "abcdabcdabcd");
        assert_eq!(collect(request(None), 11).await.unwrap_err().kind(), Kind::TooLarge);
        assert_eq!(collect(request(Some(12)), 11).await.unwrap_err().kind(), Kind::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn abuse_a15_a_body_that_never_ends_is_given_up() {
        let request = Request::new(Body::from_stream(Never));
        assert_eq!(collect(request, 100).await.unwrap_err().kind(), Kind::Timeout);
    }

    /// A body that never comes.
    struct Never;

    impl futures_util::Stream for Never {
        type Item = Result<Bytes, std::convert::Infallible>;
        fn poll_next(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Pending
        }
    }

    /// So many parts of four bytes.
    struct Parts(u32);

    impl futures_util::Stream for Parts {
        type Item = Result<Bytes, std::convert::Infallible>;
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            let more = self.0 > 0;
            self.0 = self.0.saturating_sub(1);
            std::task::Poll::Ready(more.then(|| Ok(Bytes::from_static(b"abcd"))))
        }
    }
}
