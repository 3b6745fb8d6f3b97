//! Sends one request and reports what came of it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout_at};

use crate::connector::{Connector, Dial};
use crate::failure::{Failure, FailureKind};
use crate::guard::UrlPolicy;
use crate::phase::{PHASE, Phase};
use crate::pool::{PoolLimits, Pools};
use crate::resolve::{Resolve, Watched};
use crate::response::{Response, bound_headers, read_body};
use crate::stream::Remote;
use crate::target::Target;
use crate::tls::{self, TlsConfigError};

/// Longest timeout of a request; a longer one is shortened to it.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(3_600);

/// How the dispatcher connects.
#[derive(Clone, Debug)]
pub struct DispatchConfig {
    /// Which addresses may be connected to.
    pub policy: UrlPolicy,
    /// For all TCP connection attempts of a request together, and again for the TLS handshake (default 5 s).
    pub connect_timeout: Duration,
    /// How long a connection may stand idle (default 30 s).
    pub pool_idle_timeout: Duration,
    /// Idle HTTP/1.1 connections kept for one authority (default 64).
    pub max_idle_per_host: usize,
    /// How old a connection may be when it is given a request (default 5 min).
    pub max_connection_age: Duration,
    /// Certificate authorities trusted beside Mozilla's (see [`crate::load_roots`]).
    pub extra_roots: Vec<CertificateDer<'static>>,
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self {
            policy: UrlPolicy::default(),
            connect_timeout: Duration::from_secs(5),
            pool_idle_timeout: Duration::from_secs(30),
            max_idle_per_host: 64,
            max_connection_age: Duration::from_secs(300),
            extra_roots: Vec::new(),
        }
    }
}

/// A request, ready to leave.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to.
    pub target: Arc<Target>,
    /// `POST`, or `GET` for a challenge.
    pub method: Method,
    /// All header fields but `Host` and `Content-Length`, which follow from the rest.
    pub headers: HeaderMap,
    /// The bytes to send.
    pub body: Bytes,
    /// For everything: look-up, connection, sending, the answer's head and body. At most [`MAX_TIMEOUT`].
    pub timeout: Duration,
    /// How much of the answer's body is kept, in bytes; at most [`crate::MAX_BODY_READ`], nearly always
    /// [`crate::MAX_KEPT_BODY`].
    pub keep_body: usize,
}

/// What a request may take.
#[derive(Clone, Copy)]
struct Limits {
    deadline: Instant,
    timeout: Duration,
    keep_body: usize,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Report {
    /// An answer with any status, or the reason why there is none.
    pub result: Result<Response, Failure>,
    /// From the call to the result.
    pub duration: Duration,
    /// The address that was judged and connected to, if it came so far.
    pub remote_address: Option<SocketAddr>,
}

/// Sends requests over pooled connections. Cheap to share behind an `Arc`; needs a tokio runtime.
pub struct Dispatcher {
    pool: Pools,
    resolver: Arc<Watched>,
}

impl Dispatcher {
    /// Makes a dispatcher that asks `resolver` and dials through `dial`.
    ///
    /// # Errors
    /// When the extra certificate authorities cannot be used.
    pub fn new(
        config: DispatchConfig,
        resolver: Arc<dyn Resolve>,
        dial: Arc<dyn Dial>,
    ) -> Result<Self, TlsConfigError> {
        let tls = tls::client_config(&config.extra_roots)?;
        let resolver = Arc::new(Watched::new(resolver));
        let connector =
            Connector::new(Arc::clone(&resolver), dial, tls, config.policy, config.connect_timeout);
        let limits = PoolLimits {
            idle_timeout: config.pool_idle_timeout,
            max_idle_per_host: config.max_idle_per_host,
            max_age: config.max_connection_age,
        };
        Ok(Self { pool: Pools::new(&connector, limits), resolver })
    }

    /// Sends a request, once, and waits for the whole answer, but for no longer than its timeout.
    ///
    /// It leaves a second time only where the first one certainly came to nothing: a pooled connection turns
    /// out to be closed before any of the request was written to it, or an HTTP/2 receiver that is about to
    /// close says that it did not look at the request (`REFUSED_STREAM`, or `GOAWAY` without an error; RFC
    /// 9113 section 8.7). The latter is done once.
    ///
    /// An answer counts when its head and body are there in time. A body over [`crate::MAX_BODY_READ`] is
    /// cut, its connection dropped, and the status counts: the receiver has said what it had to say. A body
    /// that does not end in time is a timeout, even though the status is known, since a receiver that hangs
    /// in the middle cannot be taken at its word.
    ///
    /// Dropping the future gives the request up and closes its connection (HTTP/2: resets its stream).
    pub async fn send(&self, request: Request) -> Report {
        let started = Instant::now();
        let Request { target, method, headers, body, timeout, keep_body } = request;
        let timeout = timeout.min(MAX_TIMEOUT);
        let limits = Limits { deadline: started + timeout, timeout, keep_body };
        // Only HTTP/2 says of a request in so many words that it was not looked at, so only there a copy of
        // the fields is worth its price.
        let spare = target.speaks_h2().then(|| (method.clone(), headers.clone(), body.clone()));
        let mut outcome = self.send_once(&target, method, headers, body, limits).await;
        if let (Err(failure), Some((method, headers, body))) = (&outcome.0, spare)
            && failure.kind == FailureKind::Reset
            && !failure.request_sent
        {
            outcome = self.send_once(&target, method, headers, body, limits).await;
        }
        let (result, remote_address) = outcome;
        Report { result, duration: started.elapsed(), remote_address }
    }

    async fn send_once(
        &self,
        target: &Target,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
        limits: Limits,
    ) -> (Result<Response, Failure>, Option<SocketAddr>) {
        let mut outgoing = http::Request::new(Full::new(body));
        *outgoing.method_mut() = method;
        *outgoing.uri_mut() = target.uri().clone();
        *outgoing.headers_mut() = headers;
        let connection = capture_connection(&mut outgoing);
        let mut head = pin!(PHASE.scope(Cell::default(), self.pool.request(target.slot(), outgoing)));
        match timeout_at(limits.deadline, head.as_mut()).await {
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                target.note_version(head.version);
                let remote = head.extensions.get::<Remote>().map(|remote| remote.0);
                (finish(head, body, limits).await, remote)
            }
            Ok(Err(error)) => {
                let remote = remote_of(&connection);
                (Err(Failure::from_client(&error, remote.is_some())), remote)
            }
            Err(_) => {
                let phase = head.take_value().map(Cell::into_inner).unwrap_or_default();
                let remote = remote_of(&connection);
                (Err(self.unanswered(limits.timeout, phase, remote.is_some())), remote)
            }
        }
    }

    /// No answer in time: says what was waited for, and whether that was ours to provide.
    fn unanswered(&self, timeout: Duration, phase: Phase, connected: bool) -> Failure {
        let ms = timeout.as_millis();
        if connected {
            return Failure {
                request_sent: true,
                ..Failure::unsent(FailureKind::Timeout, format!("no answer within {ms} ms"))
            };
        }
        if phase == Phase::Resolving && !self.resolver.is_trusted() {
            // There is no time left to find out whose fault it is; the next request will know.
            self.resolver.prove_in_background();
            return Failure::local(format!("no name has been resolved lately, and none within {ms} ms"));
        }
        Failure::unsent(FailureKind::Timeout, format!("no connection within {ms} ms: {}", phase.as_str()))
    }
}

/// Reads the body of an answer whose head has come.
async fn finish(head: http::response::Parts, body: Incoming, limits: Limits) -> Result<Response, Failure> {
    match timeout_at(limits.deadline, read_body(body, limits.keep_body)).await {
        Ok(Ok((body, body_truncated))) => Ok(Response {
            status: head.status.as_u16(),
            headers: bound_headers(head.headers),
            body,
            body_truncated,
        }),
        Ok(Err(error)) => Err(Failure::from_exchange(&error)),
        Err(_) => {
            let ms = limits.timeout.as_millis();
            let detail =
                format!("the answer began ({}), but did not end within {ms} ms", head.status.as_u16());
            Err(Failure { request_sent: true, ..Failure::unsent(FailureKind::Timeout, detail) })
        }
    }
}

/// The address of the connection that a request was given, if it was given one.
fn remote_of(connection: &CaptureConnection) -> Option<SocketAddr> {
    let connection = connection.connection_metadata();
    let mut extras = http::Extensions::new();
    connection.as_ref()?.get_extras(&mut extras);
    extras.get::<Remote>().map(|remote| remote.0)
}
