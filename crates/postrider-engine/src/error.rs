//! Why a service function did not do what it was asked.

use std::time::Duration;

use postrider_core::fault::Fault;

/// One error type for every service function; each surface maps it once.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// There is no such thing, or it is another tenant's.
    #[error("{0} does not exist")]
    NotFound(&'static str),
    /// It is not to be done, whoever asks.
    #[error("{0}")]
    Forbidden(String),
    /// It cannot be done in the state that things are in.
    #[error("{0}")]
    Conflict(String),
    /// The request has faults.
    #[error("the request is not valid")]
    Invalid(Vec<Fault>),
    /// The caller asks for too much of it; worth trying again after this time.
    #[error("{reason}")]
    TooMany {
        /// What there is too much of.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// No room now; worth trying again after this time.
    #[error("{reason}")]
    Overloaded {
        /// What there is no room for.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The store or the machine failed. The details are in our own log.
    #[error("an internal fault; see the server's log")]
    Internal,
}
