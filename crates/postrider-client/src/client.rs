//! The client itself: one request out, one answer back, within bounds of time and size.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::{Answer, ApiError, Error, Problem};

/// An answer larger than this is refused; a page of 250 deliveries with payloads at their limit fits.
const MAX_ANSWER_BYTES: usize = 80 << 20;
/// Characters of an answer that is no problem document that are quoted in an error.
const MAX_QUOTED_CHARS: usize = 200;

/// Bounds of time for every call.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// For a connection to be made, per address.
    pub connect_timeout: Duration,
    /// For a call, from its start to the last byte of its answer.
    pub call_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(5), call_timeout: Duration::from_secs(35) }
    }
}

/// Client of one server with one token. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    base: Url,
    authorization: Option<HeaderValue>,
    options: Options,
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at `base_url` (`http` or `https`), with default bounds. An empty token sends none.
    ///
    /// # Errors
    /// [`Error::BaseUrl`] when the URL cannot be called, [`Error::Argument`] when the token cannot be a header.
    pub fn new(base_url: &str, token: &str) -> Result<Self, Error> {
        Self::with_options(base_url, token, Options::default())
    }

    /// As [`Client::new`], with bounds of the caller's own.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_options(base_url: &str, token: &str, options: Options) -> Result<Self, Error> {
        let base = parse_base(base_url)?;
        let authorization = if token.is_empty() { None } else { Some(bearer(token)?) };
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.connect_timeout));
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(|e| Error::BaseUrl {
                url: base_url.into(),
                reason: format!("TLS is not available: {e}"),
            })?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(tls);
        Ok(Self { base, authorization, options, http })
    }

    /// The server's address.
    pub fn base_url(&self) -> &str {
        self.base.as_str()
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Answer<T>, Error> {
        self.call(self.request(Method::GET, path, query, None)?).await
    }

    pub(crate) async fn send<T: DeserializeOwned, B: Serialize + ?Sized>(
        &self,
        method: Method,
        path: &[&str],
        body: &B,
    ) -> Result<Answer<T>, Error> {
        let body = to_json(body)?;
        self.call(self.request(method, path, &[], Some(("application/json", body)))?).await
    }

    /// A call whose answer has nothing to read.
    pub(crate) async fn send_for_nothing(&self, method: Method, path: &[&str]) -> Result<(), Error> {
        self.exchange(self.request(method, path, &[], None)?).await.map(|_| ())
    }

    pub(crate) fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let url = self.url(path, query)?;
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = url
            .as_str()
            .parse()
            .map_err(|e| Error::Argument { what: "address", reason: format!("cannot be requested: {e}") })?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("postrider-client/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        if let Some((media_type, bytes)) = body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            *request.body_mut() = Full::new(bytes);
        }
        Ok(request)
    }

    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer<T>, Error> {
        let (status, json) = self.exchange(request).await?;
        match serde_json::from_slice(&json) {
            Ok(value) => Ok(Answer::new(value, json)),
            Err(e) => Err(self.unexpected(status, format!("{e}"))),
        }
    }

    /// Status and body of a success; anything else is an error.
    pub(crate) async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), Error> {
        let (status, headers, body) = self.exchange_any(request).await?;
        if (200..300).contains(&status) {
            return Ok((status, body));
        }
        if (400..600).contains(&status) {
            return Err(Error::Api(Box::new(ApiError {
                status,
                problem: problem(status, &body),
                retry_after: retry_after(&headers, SystemTime::now()),
            })));
        }
        Err(self.unexpected(status, "neither a success nor an error".into()))
    }

    pub(crate) async fn exchange_any(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(u16, HeaderMap, Bytes), Error> {
        let url = || self.base.to_string();
        let exchange = async {
            let response = self.http.request(request).await.map_err(|e| {
                let reason = innermost(&e);
                if e.is_connect() {
                    Error::Unreachable { url: url(), reason }
                } else {
                    Error::Exchange { url: url(), reason }
                }
            })?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES)
                .collect()
                .await
                .map_err(|e| Error::Exchange { url: url(), reason: innermost(e.as_ref()) })?;
            Ok((parts.status.as_u16(), parts.headers, body.to_bytes()))
        };
        match tokio::time::timeout(self.options.call_timeout, exchange).await {
            Ok(done) => done,
            Err(_) => Err(Error::Timeout { url: url(), after: self.options.call_timeout }),
        }
    }

    pub(crate) fn unexpected(&self, status: u16, reason: String) -> Error {
        Error::Unexpected { url: self.base.to_string(), status, reason }
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Result<Url, Error> {
        let mut url = self.base.clone();
        {
            let mut segments = url.path_segments_mut().map_err(|()| Error::BaseUrl {
                url: self.base.to_string(),
                reason: "it cannot have a path".into(),
            })?;
            segments.pop_if_empty();
            for segment in path {
                // An empty or dot segment would silently address another resource.
                if matches!(*segment, "" | "." | "..") {
                    return Err(Error::Argument { what: "id", reason: format!("{segment:?} is not an id") });
                }
                segments.push(segment);
            }
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }
}

/// Adds `name: value`; the value may hold what a header can.
pub(crate) fn set_header(
    request: &mut Request<Full<Bytes>>,
    name: &'static str,
    value: &str,
) -> Result<(), Error> {
    let value = HeaderValue::from_str(value)
        .map_err(|_| Error::Argument { what: name, reason: "cannot be sent as a header".into() })?;
    request.headers_mut().insert(HeaderName::from_static(name), value);
    Ok(())
}

pub(crate) fn to_json<B: Serialize + ?Sized>(body: &B) -> Result<Bytes, Error> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|e| Error::Argument { what: "body", reason: format!("cannot be written as JSON: {e}") })
}

fn parse_base(given: &str) -> Result<Url, Error> {
    let fault = |reason: &str| Error::BaseUrl { url: given.to_owned(), reason: reason.to_owned() };
    let url =
        Url::parse(given).map_err(|e| fault(&format!("{e}; it should look like http://127.0.0.1:8700")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(fault("it must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::BaseUrl {
            url: "(hidden)".into(),
            reason: "it must not hold credentials; the token goes beside it".into(),
        });
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(fault("it must have neither query nor fragment"));
    }
    Ok(url)
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| Error::Argument { what: "token", reason: "holds what a header cannot".into() })?;
    value.set_sensitive(true);
    Ok(value)
}

fn problem(status: u16, body: &[u8]) -> Problem {
    if let Ok(problem) = serde_json::from_slice::<Problem>(body)
        && !problem.title.is_empty()
    {
        return problem;
    }
    let reason =
        http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
    let quoted: String = String::from_utf8_lossy(body).chars().take(MAX_QUOTED_CHARS).collect();
    Problem {
        kind: "about:blank".into(),
        title: reason.into(),
        status,
        detail: (!quoted.trim().is_empty()).then(|| quoted.trim().to_owned()),
        ..Problem::default()
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_that_cannot_be_called_is_refused() {
        for bad in
            ["127.0.0.1:8700", "ftp://h/", "http://u:p@h/", "http://h/?q=1", "http://h/#f", "mailto:a@b", ""]
        {
            assert!(matches!(Client::new(bad, "t"), Err(Error::BaseUrl { .. })), "{bad}");
        }
    }

    #[test]
    fn a_refused_base_url_does_not_repeat_its_password() {
        let error = Client::new("http://user:hunter2@localhost/", "t").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn path_segments_are_encoded_and_dot_segments_refused() {
        let client = Client::new("http://localhost:1/base/", "").unwrap();
        let url = client.url(&["v1", "tenants", "a/b?c#d%"], &[("limit", "5".into())]).unwrap();
        assert_eq!(url.as_str(), "http://localhost:1/base/v1/tenants/a%2Fb%3Fc%23d%25?limit=5");
        for bad in ["", ".", ".."] {
            assert!(client.url(&["v1", "tenants", bad], &[]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_token_that_is_no_header_value_is_refused_without_repeating_it() {
        let error = Client::new("http://localhost/", "hunter2\n").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(value).unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        let date = httpdate::fmt_http_date(now + Duration::from_secs(90));
        assert_eq!(read(&date), Some(Duration::from_secs(90)));
        assert_eq!(read("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
    }

    #[test]
    fn an_answer_that_is_no_problem_document_still_makes_a_problem() {
        let made = problem(502, b"<html>bad gateway</html>");
        assert_eq!((made.title.as_str(), made.status), ("Bad Gateway", 502));
        assert_eq!(made.detail.as_deref(), Some("<html>bad gateway</html>"));
        assert_eq!(problem(404, b"").detail, None);
    }
}
