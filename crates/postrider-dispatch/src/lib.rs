//! Outbound HTTP of Postrider: takes a prepared request to a partner's URL and says what came of it.
//!
//! **Knows**: URLs that partners may register ([`Target`]), addresses that must never be reached
//! ([`guard`]), absolute and bounded name look-ups ([`resolve`]), TCP and TLS ([`connector`]), pooled
//! HTTP/1.1 and HTTP/2 connections, the bounds on what a receiver may answer, and how to tell a partner's
//! failure from a fault of ours ([`Failure`]).
//!
//! **Must not know**: tenants, events, deliveries, schedules, signatures, the store. Whether an attempt
//! succeeded, is tried again or counts against anybody is decided by the caller. Nothing is read from the
//! environment (so no `HTTPS_PROXY`), nothing is logged on the way, no clock but the monotonic one is used
//! (besides certificate validity), and no redirect, cookie, `Alt-Svc` or content coding is ever followed.
//!
//! What a receiver can make us spend:
//!
//! | what | bound |
//! | --- | --- |
//! | time, from the look-up to the last byte of the body | the request's own timeout |
//! | time for a name look-up | [`resolve::LOOKUP_TIMEOUT`] |
//! | addresses taken from a look-up, and tried | [`resolve::MAX_ADDRESSES`], [`connector::MAX_ATTEMPTED`] |
//! | head of an answer | [`MAX_HEAD_BYTES`], 100 fields; kept: [`MAX_KEPT_HEADERS`], [`MAX_KEPT_HEADER_BYTES`] |
//! | body of an answer | read: [`MAX_BODY_READ`]; kept: [`Request::keep_body`], nearly always [`MAX_KEPT_BODY`] |
//! | idle connections | [`DispatchConfig::max_idle_per_host`] for each authority, each for [`DispatchConfig::pool_idle_timeout`] |
//! | age of a connection that is given new requests | [`DispatchConfig::max_connection_age`] |
//!
//! Connections in use are as many as the requests in flight (fewer with HTTP/2), which the caller bounds;
//! a connection whose request found another one in the meantime is completed and pooled, within the connect
//! timeout. So open connections stay within requests in flight plus those idle in the last half minute.
#![forbid(unsafe_code)]

pub mod connector;
pub mod guard;
pub mod resolve;
pub mod target;

mod dispatch;
mod eager;
mod failure;
mod hickory;
mod phase;
mod pool;
mod ranges;
mod response;
mod stream;
mod tls;

pub use connector::{Dial, TcpDial};
pub use dispatch::{DispatchConfig, Dispatcher, MAX_TIMEOUT, Report, Request};
pub use failure::{Failure, FailureKind};
pub use guard::{UrlPolicy, Verdict, own_addresses};
pub use hickory::{HickoryResolver, ResolverFault};
pub use pool::MAX_HEAD_BYTES;
pub use resolve::Resolve;
pub use response::{MAX_BODY_READ, MAX_KEPT_BODY, MAX_KEPT_HEADER_BYTES, MAX_KEPT_HEADERS, Response};
pub use target::{Target, UrlFault};
pub use tls::{TlsConfigError, load_roots};
