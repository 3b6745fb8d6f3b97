//! What can go wrong with a call: refused by the server, not reached, not answered in time, not understood.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The base URL is not one that this client can call.
    #[error("{url:?} is not a usable server address: {reason}")]
    BaseUrl {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An argument cannot be sent; nothing was.
    #[error("{what} {reason}")]
    Argument {
        /// The argument's name.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection to the server.
    #[error("no connection to {url}: {reason}")]
    Unreachable {
        /// The server's address.
        url: String,
        /// The innermost cause.
        reason: String,
    },
    /// No complete answer in time; whether the server took the request is unknown.
    #[error("no answer from {url} within {after:?}")]
    Timeout {
        /// The server's address.
        url: String,
        /// The bound that was exceeded.
        after: Duration,
    },
    /// The connection failed during the exchange; whether the server took the request is unknown.
    #[error("the exchange with {url} failed: {reason}")]
    Exchange {
        /// The server's address.
        url: String,
        /// The innermost cause.
        reason: String,
    },
    /// The server refused the request and said why.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// The server answered with something that is not this API's.
    #[error("unexpected answer (status {status}) from {url}: {reason}")]
    Unexpected {
        /// The server's address.
        url: String,
        /// HTTP status.
        status: u16,
        /// Why it was not understood.
        reason: String,
    },
}

impl Error {
    /// The server's refusal, if it is one.
    pub fn as_api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }
}

/// A refusal: HTTP status, the problem document, and when to try again.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// HTTP status of the answer.
    pub status: u16,
    /// The problem document (RFC 9457); made up from the status where the answer had none.
    pub problem: Problem,
    /// How long the server asks to wait (`Retry-After`, RFC 9110 section 10.2.3).
    pub retry_after: Option<Duration>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.problem.title, self.status)?;
        if let Some(detail) = &self.problem.detail {
            write!(f, ": {detail}")?;
        }
        for error in &self.problem.errors {
            write!(f, "; {}: {}", error.pointer, error.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}

/// A problem document (RFC 9457) as this API writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// URI of the kind of problem.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The kind of problem in a few words.
    #[serde(default)]
    pub title: String,
    /// HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What is wrong with this request.
    #[serde(default)]
    pub detail: Option<String>,
    /// The id under which the server logged the request.
    #[serde(default)]
    pub request_id: Option<String>,
    /// The bad fields, all of them.
    #[serde(default)]
    pub errors: Vec<FieldError>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the request body.
    pub pointer: String,
    /// What is wrong with the field's value.
    pub detail: String,
}
