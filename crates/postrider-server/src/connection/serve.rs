//! Accepting connections, within bounds, until told to stop.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use postrider_engine::Workers;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::guarded::{Guarded, Patience};

/// Largest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Most header fields of a request.
const MAX_HEADERS: usize = 100;
/// Most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 200;
/// Streams that an HTTP/2 peer may have reset before the connection ends (CVE-2023-44487).
const MAX_RESETS: usize = 20;
/// How often an HTTP/2 peer is asked whether it is still there, and how long it may take to say so.
const HTTP2_PING: Duration = Duration::from_secs(20);
/// How long a connection may idle, or take for a head, that was made when three quarters of all were taken.
const CROWDED_PATIENCE: Duration = Duration::from_secs(2);
/// How long accepting pauses when the system has no more descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Bounds of serving.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Connections at once, at most; more are refused by closing them.
    pub max_connections: usize,
    /// From the first byte of a head to its last, at most; the first of a connection counts from its start.
    pub head_timeout: Duration,
    /// Between two requests of a connection, at most.
    pub idle_timeout: Duration,
    /// How long requests under way may take after the shutdown began.
    pub grace: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(10),
        }
    }
}

/// What the connections are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Signal {
    Serve,
    /// Finish the requests under way.
    Finish,
    /// Stop at once.
    Stop,
}

/// Serves connections until `shutdown` is ready; then finishes the requests under way, for at most the grace time.
///
/// Every answer comes from `answer`, which is told from which address the request came.
///
/// # Errors
/// When the listener cannot accept connections any more, whatever one waits for. Connections then end at once.
pub(crate) async fn serve_with<F>(
    listener: TcpListener,
    workers: &Workers,
    answer: impl Fn(IpAddr, Request<Body>) -> F + Clone + Send + 'static,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(config.max_connections));
    let crowded = config.max_connections / 4;
    let builder = Arc::new(builder());
    let (signal, _) = watch::channel(Signal::Serve);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener) => accepted?,
        };
        // Refused: the stream is closed by dropping it.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let most = if places.available_permits() < crowded { CROWDED_PATIENCE } else { Duration::MAX };
        let patience = Patience { idle: config.idle_timeout.min(most), head: config.head_timeout.min(most) };
        // From the runtime that accepts to the thread that serves.
        let Ok(stream) = stream.into_std() else { continue };
        let (builder, answer, signal) = (Arc::clone(&builder), answer.clone(), signal.subscribe());
        workers.spawn(async move {
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            let answer = move |request| answer(peer, request);
            connection(Guarded::new(stream, patience), place, builder, answer, signal).await;
        });
    }
    drop(listener);
    signal.send_replace(Signal::Finish);
    let all = u32::try_from(config.max_connections).unwrap_or(u32::MAX);
    if tokio::time::timeout(config.grace, places.acquire_many(all)).await.is_err() {
        signal.send_replace(Signal::Stop);
    }
    Ok(())
}

/// The next connection, and from where it is. A fault of one connection concerns nobody else; where the system has run out of something,
/// waiting is all that helps.
async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, IpAddr)> {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Best effort: without it answers are only slower.
                let _ = stream.set_nodelay(true);
                return Ok((stream, peer.ip()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) if is_for_good(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted now");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Whether the socket is not (any more) one that listens.
fn is_for_good(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| [libc::EBADF, libc::EINVAL, libc::ENOTSOCK].contains(&code))
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The guard around the stream bounds heads and idle times, without a timer for each request.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    builder
}

/// One connection from its first byte to its end. Its place is free again when this returns.
async fn connection<F>(
    io: Guarded<TcpStream>,
    _place: OwnedSemaphorePermit,
    builder: Arc<auto::Builder<TokioExecutor>>,
    answer: impl Fn(Request<Body>) -> F,
    mut signal: watch::Receiver<Signal>,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answered = answer(request.map(Body::new));
        async move { Ok::<_, std::convert::Infallible>(answered.await) }
    });
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
    // What goes wrong on a connection is its peer's affair; hyper has answered where an answer was possible.
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = signal.wait_for(|signal| *signal != Signal::Serve) => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = serving => {}
        _ = signal.wait_for(|signal| *signal == Signal::Stop) => {}
    }
}
