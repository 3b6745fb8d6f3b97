//! Name look-ups: what a resolver is asked, and whose fault it is when there is no answer.
//!
//! A name that does not exist is the partner's trouble. A resolver that does not answer may be ours, or the
//! partner's (its name servers hang, and ours waits for them). What tells them apart is whether *other*
//! look-ups are answered: one in the last [`TRUSTED_FOR`] is proof enough, and where there was none the
//! resolver is asked something that any working one can answer.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// Longest time that a look-up may take, all its queries together.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Most addresses taken from one look-up; the rest are ignored.
pub const MAX_ADDRESSES: usize = 16;
/// How long an answer proves that the resolver works.
pub const TRUSTED_FOR: Duration = Duration::from_secs(30);

/// Longest time that the resolver may take to prove that it works.
const PROOF_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a failed proof stands before another one is asked for.
const DISTRUSTED_FOR: Duration = Duration::from_secs(1);

/// A future that can be made behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The addresses, in the order of preference. May be empty.
    pub addresses: Vec<IpAddr>,
    /// Whether it came from memory, and so proves nothing about the resolver.
    pub cached: bool,
}

/// Why a look-up found nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The resolver answered: there is no such name, or it has no addresses, or its zone is broken.
    #[error("{0}")]
    Absent(String),
    /// The resolver did not answer, or said that it could not find out.
    #[error("{0}")]
    Unavailable(String),
    /// It could not even be asked: no descriptors, no memory.
    #[error("{0}")]
    Exhausted(String),
}

/// Something that turns host names into addresses.
///
/// Look-ups are absolute: `name` has no trailing dot, but is never to be completed with a search domain, nor
/// to be found in `/etc/hosts`. An implementation that caches does so briefly, and for a bounded number of
/// names. It need not bound the number of addresses nor the time: the caller does.
pub trait Resolve: Send + Sync + 'static {
    /// Looks up the addresses of `name` (lower case, punycode).
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Answer, ResolveError>>;

    /// Asks the resolver something that it can answer whatever any partner's name servers do, past any
    /// cache. Says whether an answer came.
    fn is_alive(&self) -> BoxFuture<'_, bool>;
}

/// Why there are no addresses, with whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LookupFault {
    /// The name's.
    Theirs(String),
    /// Ours.
    Ours(String),
}

/// A resolver whose answers are bounded, and which is watched.
pub(crate) struct Watched {
    inner: Arc<dyn Resolve>,
    start: Instant,
    /// Milliseconds from `start` to the last answer, plus 1; 0 for none yet.
    answered: AtomicU64,
    /// When the last proof failed. The lock lets one proof run at a time.
    disproved: Mutex<Option<Instant>>,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn Resolve>) -> Self {
        Self { inner, start: Instant::now(), answered: AtomicU64::new(0), disproved: Mutex::new(None) }
    }

    /// Looks a name up, within [`LOOKUP_TIMEOUT`]; at most [`MAX_ADDRESSES`].
    pub(crate) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, LookupFault> {
        let unanswered = match timeout(LOOKUP_TIMEOUT, self.inner.resolve(name)).await {
            Ok(Ok(Answer { mut addresses, cached })) => {
                if !cached {
                    self.note_answer();
                }
                addresses.truncate(MAX_ADDRESSES);
                return Ok(addresses);
            }
            // It may be a remembered absence, so it is no proof.
            Ok(Err(ResolveError::Absent(said))) => return Err(LookupFault::Theirs(said)),
            Ok(Err(ResolveError::Exhausted(said))) => return Err(LookupFault::Ours(said)),
            Ok(Err(ResolveError::Unavailable(said))) => said,
            Err(_) => format!("no answer within {} s", LOOKUP_TIMEOUT.as_secs()),
        };
        if self.prove().await {
            Err(LookupFault::Theirs(unanswered))
        } else {
            Err(LookupFault::Ours(format!("no name resolves: {unanswered}")))
        }
    }

    /// Whether an answer came within [`TRUSTED_FOR`].
    pub(crate) fn is_trusted(&self) -> bool {
        let answered = self.answered.load(Ordering::Relaxed);
        let trusted_ms = u64::try_from(TRUSTED_FOR.as_millis()).unwrap_or(u64::MAX);
        answered > 0 && self.elapsed_ms().saturating_sub(answered - 1) < trusted_ms
    }

    /// Finds out whether the resolver works, unless that is known. At most one question at a time, and one
    /// in [`DISTRUSTED_FOR`].
    pub(crate) async fn prove(&self) -> bool {
        if self.is_trusted() {
            return true;
        }
        let mut disproved = self.disproved.lock().await;
        if self.is_trusted() {
            return true;
        }
        if disproved.is_some_and(|when| when.elapsed() < DISTRUSTED_FOR) {
            return false;
        }
        let alive = timeout(PROOF_TIMEOUT, self.inner.is_alive()).await.unwrap_or(false);
        if alive {
            self.note_answer();
            *disproved = None;
        } else {
            *disproved = Some(Instant::now());
        }
        alive
    }

    /// Has the resolver proved in the background, for the sake of the next request. No-op while it is.
    pub(crate) fn prove_in_background(self: &Arc<Self>) {
        if self.disproved.try_lock().is_err() {
            return;
        }
        let watched = Arc::clone(self);
        tokio::spawn(async move { watched.prove().await });
    }

    fn note_answer(&self) {
        self.answered.store(self.elapsed_ms() + 1, Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}
