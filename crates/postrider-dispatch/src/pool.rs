//! Pooled clients whose connections do not grow old.
//!
//! hyper-util's client keeps idle connections for a time, but a busy one for ever. So there are several
//! clients, an authority always uses the same one, and each is replaced when its time is over: what was idle
//! in it closes then, what is in use finishes first. The times are staggered, so that only a part of all
//! connections is made anew at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::connector::Connector;

/// Largest head of an answer, in bytes; with a larger one the connection is dropped.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Clients side by side.
const SLOTS: u64 = 16;
/// HTTP/2: what a receiver may send of a body before we have read any, and of all bodies of a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// HTTP/2: how often a connection with requests in flight is asked whether it lives, and how long that may
/// take. Without it, a peer that vanished would time out request after request.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

type HttpClient = Client<Connector, Full<Bytes>>;

struct Slot {
    client: HttpClient,
    expires: Instant,
}

/// A pool for each thread, so that a connection is used on the thread that drives it.
pub(crate) struct Pools(Vec<Pool>);

/// Threads with a pool of their own; further ones share.
const PARTS: usize = 16;

static THREADS: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    static PART: usize = THREADS.fetch_add(1, Ordering::Relaxed) % PARTS;
}

impl Pools {
    pub(crate) fn new(connector: &Connector, limits: PoolLimits) -> Self {
        Self((0..PARTS).map(|_| Pool::new(connector.clone(), limits)).collect())
    }

    /// Starts a request to an authority whose hash is `hash`.
    pub(crate) fn request(&self, hash: u64, request: http::Request<Full<Bytes>>) -> ResponseFuture {
        self.0[PART.with(|part| *part)].request(hash, request)
    }
}

struct Pool {
    slots: Vec<ArcSwap<Slot>>,
    connector: Connector,
    limits: PoolLimits,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub(crate) idle_timeout: Duration,
    pub(crate) max_idle_per_host: usize,
    pub(crate) max_age: Duration,
}

impl Pool {
    fn new(connector: Connector, limits: PoolLimits) -> Self {
        let now = Instant::now();
        let slots = (1..=SLOTS)
            .map(|nth| {
                let share = f64::from(u32::try_from(nth).unwrap_or(1)) / SLOTS as f64;
                let expires = now + limits.max_age.mul_f64(share);
                ArcSwap::from_pointee(Slot { client: build(connector.clone(), limits), expires })
            })
            .collect();
        Self { slots, connector, limits }
    }

    /// Starts a request to an authority whose hash is `hash`.
    fn request(&self, hash: u64, request: http::Request<Full<Bytes>>) -> ResponseFuture {
        // The upper bits: the lower ones of this hash are its weak ones.
        let slot = &self.slots[usize::try_from(hash.rotate_left(8) % SLOTS).unwrap_or(0)];
        let now = Instant::now();
        let current = slot.load();
        if now < current.expires {
            return current.client.request(request);
        }
        let client = build(self.connector.clone(), self.limits);
        let fresh = Arc::new(Slot { client, expires: now + self.limits.max_age });
        // Whoever comes first replaces it; the others find the new one.
        slot.compare_and_swap(&current, fresh);
        slot.load().client.request(request)
    }
}

fn build(connector: Connector, limits: PoolLimits) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(limits.idle_timeout)
        .pool_max_idle_per_host(limits.max_idle_per_host)
        .retry_canceled_requests(true)
        .set_host(true)
        .http1_title_case_headers(true)
        .http1_max_buf_size(MAX_HEAD_BYTES)
        .http2_max_header_list_size(MAX_HEAD_BYTES as u32)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .build(connector)
}
