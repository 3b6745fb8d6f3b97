//! Reads of the store: what people ask for waits for a turn, and what deliveries wait for has threads of its own.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use postrider_core::id::TenantNo;
use postrider_store::{Store, StoreError};
use tokio::sync::oneshot;

use crate::Engine;
use crate::driver::RETRY_AFTER;
use crate::error::ServiceError;
use crate::turns::{Busy, Turns, Who};

/// Pages and single things that are read for people at once.
const PAGES: usize = 2;
/// Counts and figures at once: each may look through very much.
const COUNTS: usize = 1;
/// Look-ups of subjects at once, each for all that a publisher names in one request.
const SUBJECTS: usize = 2;
/// Who may wait for each of these at once, in all and of one tenant.
const PLACES: usize = 256;
const PLACES_EACH: usize = 32;
/// Publishers who may wait for subjects at once.
const PUBLISHERS: usize = 1_024;
/// Threads that read pages of due work, as many as the store has connections for them.
const PAGE_THREADS: usize = 2;

/// What is said where nobody can wait any more, and to whoever waited in vain.
const BUSY: &str = "too much is being read right now: try again";
/// What is said of a read that was cut off.
const SLOW: &str = "the query took too long: narrow it by time or endpoint";

/// What is read for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) enum For {
    /// A page, or a single thing, for a tenant or over all of them.
    Page(Who),
    /// A count over any number of rows, for a tenant.
    Count(TenantNo),
    /// The subjects that a publisher names.
    Subjects,
}

/// Turns at what people may read.
pub(crate) struct Admission {
    pages: Arc<Turns>,
    counts: Arc<Turns>,
    subjects: Arc<Turns>,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            pages: Turns::new(PAGES, PLACES, PLACES_EACH),
            counts: Turns::new(COUNTS, PLACES, PLACES_EACH),
            subjects: Turns::new(SUBJECTS, PUBLISHERS, PUBLISHERS),
        }
    }
}

/// What became of a read.
pub(crate) enum Read<T> {
    Done(T),
    /// It took too long itself, whoever else was reading.
    CutOff,
}

impl Engine {
    /// Reads from the store for somebody who asks, on a thread that may block, when it is their turn.
    ///
    /// # Errors
    /// [`ServiceError::Overloaded`] where too many ask, and for a read that took too long; [`ServiceError::Internal`] for a
    /// failed one.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        what: For,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        match self.try_read(what, read).await? {
            Read::Done(value) => Ok(value),
            Read::CutOff => Err(overloaded(SLOW)),
        }
    }

    /// As [`Self::read`], for whoever has more to say of a read that took too long.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) async fn try_read<T: Send + 'static>(
        &self,
        what: For,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Read<T>, ServiceError> {
        let (turns, who) = match what {
            For::Page(who) => (&self.0.admission.pages, who),
            For::Count(tenant) => (&self.0.admission.counts, Some(tenant)),
            For::Subjects => (&self.0.admission.subjects, None),
        };
        let turn = turns.take(who).await.map_err(|Busy| overloaded(BUSY))?;
        let store = self.0.store.clone();
        let result = tokio::task::spawn_blocking(move || {
            // Over when the read is, also where nobody waits for it any more.
            let _turn = turn;
            read(store.as_ref())
        });
        match result.await {
            Ok(Ok(value)) => Ok(Read::Done(value)),
            Ok(Err(StoreError::Slow)) => Ok(Read::CutOff),
            Ok(Err(StoreError::Busy(_))) => Err(overloaded(BUSY)),
            Ok(Err(error)) => {
                tracing::error!(%error, "a read failed");
                Err(ServiceError::Internal)
            }
            Err(error) => {
                tracing::error!(%error, "a read ended abnormally");
                Err(ServiceError::Internal)
            }
        }
    }

    /// Reads from the store for the engine itself, in the background.
    ///
    /// # Errors
    /// As the store fails.
    pub(crate) async fn read_in_background<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let store = self.0.store.clone();
        self.driver().0.readers.background.run(move || {
            // Whoever asked may be gone.
            drop(answer.send(read(store.as_ref())));
        });
        answered.await.unwrap_or_else(|_| Err(StoreError::Other("a read ended abnormally".to_owned())))
    }
}

fn overloaded(reason: &str) -> ServiceError {
    ServiceError::Overloaded { reason: reason.to_owned(), retry_after: RETRY_AFTER }
}

/// The threads that read what the machines want. However much people ask for, these do not wait behind it.
pub(crate) struct Readers {
    /// Pages of due work.
    pub(crate) pages: Desk,
    /// What may wait a little: replays, counts of a backlog, notices.
    pub(crate) background: Desk,
}

impl Readers {
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self {
            pages: Desk::start("postrider-pages", PAGE_THREADS)?,
            background: Desk::start("postrider-background", 1)?,
        })
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that do jobs, first come first. How many wait is bounded by those who give them: the machines have at most so many
/// pages read at once, the teller has one look under way. Ended when dropped.
pub(crate) struct Desk(Arc<Jobs>);

#[derive(Default)]
struct Jobs {
    open: Mutex<Open>,
    more: Condvar,
}

#[derive(Default)]
struct Open {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

impl Desk {
    fn start(name: &str, threads: usize) -> io::Result<Self> {
        let desk = Self(Arc::default());
        for number in 0..threads {
            let jobs = Arc::clone(&desk.0);
            std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || jobs.work())?;
        }
        Ok(desk)
    }

    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.0.open.lock().jobs.push_back(Box::new(job));
        self.0.more.notify_one();
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.0.open.lock().is_closed = true;
        self.0.more.notify_all();
    }
}

impl Jobs {
    fn work(&self) {
        let mut open = self.open.lock();
        loop {
            if let Some(job) = open.jobs.pop_front() {
                drop(open);
                // A job that must not stop half-way says so itself; the others behind it are not to suffer.
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a read ended abnormally");
                }
                open = self.open.lock();
            } else if open.is_closed {
                return;
            } else {
                self.more.wait(&mut open);
            }
        }
    }
}
