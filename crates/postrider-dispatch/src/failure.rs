//! What went wrong with a request, whose fault it is, and what a tenant may read about it.

use std::error::Error;
use std::fmt;
use std::io;

use crate::tls;

/// The kinds of failure, as the delivery log names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The name does not resolve to an address that may be connected to.
    Dns,
    /// No TCP connection could be made.
    Connect,
    /// No TLS session could be made: certificate, version, or a broken handshake.
    Tls,
    /// The timeout passed before the answer was complete.
    Timeout,
    /// The connection ended or broke after it was made, or what came was not HTTP.
    Reset,
    /// The URL's own (literal) address must not be connected to. A *name* that leads to such an address is
    /// [`FailureKind::Dns`], so that nobody can map our network by watching the difference.
    Guard,
    /// The answer came and its status is no success. Never made here: the caller judges statuses.
    Status,
    /// A fault of ours, which must cost the partner nothing: no descriptors, no route, no resolver.
    Local,
}

impl FailureKind {
    /// The name in the log and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Guard => "guard",
            Self::Status => "status",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault, and of which sort.
    pub kind: FailureKind,
    /// For the tenant's log: no secrets, and nothing about our network.
    pub detail: String,
    /// For the operator's own log, where there is more to say. Never to be shown to a tenant.
    pub operator_detail: Option<String>,
    /// Whether any of the request may have reached the receiver. If not, trying again is harmless.
    pub request_sent: bool,
}

/// The one text for a name that does not exist and for one that leads where it must not.
pub(crate) const UNRESOLVED: &str = "the host name does not resolve to a permitted address";

impl Failure {
    /// A failure before anything was sent.
    pub(crate) fn unsent(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), operator_detail: None, request_sent: false }
    }

    /// The same, with what the operator should know.
    pub(crate) fn with_operator_detail(mut self, detail: impl Into<String>) -> Self {
        self.operator_detail = Some(detail.into());
        self
    }

    /// A fault of ours. The tenant learns no more than that.
    pub(crate) fn local(detail: impl Into<String>) -> Self {
        Self::unsent(FailureKind::Local, "the request could not be made, for a reason on the sender's side")
            .with_operator_detail(detail)
    }

    /// Reads a failure out of what the HTTP client says; `connected` is whether it had a connection.
    pub(crate) fn from_client(error: &hyper_util::client::legacy::Error, connected: bool) -> Self {
        let mut request_sent = connected;
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        while let Some(error) = cause {
            if let Some(failure) = error.downcast_ref::<ConnectFailure>() {
                return failure.0.clone();
            }
            if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
                request_sent = false;
            }
            if error.downcast_ref::<h2::Error>().is_some_and(is_unprocessed) {
                request_sent = false;
            }
            cause = error.source();
        }
        Self { request_sent, ..Self::from_exchange(error) }
    }

    /// Reads a failure out of an error that came after the connection was made.
    pub(crate) fn from_exchange(error: &(dyn Error + 'static)) -> Self {
        let mut detail = "the receiver closed the connection before it had answered in full";
        let mut said = None;
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                if is_exhaustion(error) {
                    return Self { request_sent: true, ..Self::local(error.to_string()) };
                }
                if let Some(failure) = tls::describe(error) {
                    return Self { request_sent: true, ..failure };
                }
                if error.kind() == io::ErrorKind::ConnectionReset {
                    detail = "the receiver reset the connection before it had answered in full";
                }
            }
            if let Some(error) = error.downcast_ref::<hyper::Error>() {
                if error.is_parse_too_large() {
                    detail = "the head of the answer is too large";
                } else if error.is_parse() {
                    detail = "the answer is not valid HTTP";
                }
            }
            said = Some(error.to_string());
            cause = error.source();
        }
        Self {
            kind: FailureKind::Reset,
            detail: detail.to_owned(),
            operator_detail: said,
            request_sent: true,
        }
    }
}

/// Out of descriptors, memory, buffers: nothing of which any partner is to blame for.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
        || error
            .raw_os_error()
            .is_some_and(|code| [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM].contains(&code))
}

/// Whether an HTTP/2 receiver says that it has not looked at the request (RFC 9113 sections 6.8 and 8.7).
fn is_unprocessed(error: &h2::Error) -> bool {
    let reason = error.reason();
    error.is_remote()
        && ((error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
            || (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)))
}

/// A failure on its way through the HTTP client, which takes only errors.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail)]
pub(crate) struct ConnectFailure(pub(crate) Failure);
