//! How far the connection for the request at hand has come, so that a timeout can say what it waited for.
//!
//! The HTTP client polls the connector inside the request's own future, so a task-local reaches it without
//! an allocation; a connection that is completed in the background, for another request, finds none.

use std::cell::Cell;

/// The step under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing begun: waiting for a connection, or using one.
    #[default]
    Waiting,
    Resolving,
    Connecting,
    Handshaking,
}

impl Phase {
    /// Ends the sentence "no connection within 5000 ms, ...".
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for a free one",
            Self::Resolving => "looking up the host name",
            Self::Connecting => "waiting for the receiver to accept it",
            Self::Handshaking => "in the TLS handshake",
        }
    }
}

tokio::task_local! {
    /// The phase of the request that this task is making.
    pub(crate) static PHASE: Cell<Phase>;
}

/// Notes the step, if a request is waiting for it.
pub(crate) fn enter(phase: Phase) {
    // No request: the connection is being completed in the background.
    let _ = PHASE.try_with(|cell| cell.set(phase));
}
