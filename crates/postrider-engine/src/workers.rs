//! Threads that speak HTTP, each with a runtime of its own: what begins on one stays there, so that nothing has to be handed
//! over between a request's steps.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The threads, or the caller's runtime in their place. Cheap to clone; they end when the last copy is dropped.
#[derive(Clone, Debug)]
pub struct Workers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handles: Vec<Handle>,
    next: AtomicUsize,
    /// Dropped with the last copy, which ends the threads.
    _running: watch::Sender<()>,
}

impl Workers {
    /// Starts so many threads (at least one).
    ///
    /// # Errors
    /// When the system gives no thread or no poll descriptor.
    pub fn start(count: usize) -> io::Result<Self> {
        let (running, ended) = watch::channel(());
        let mut handles = Vec::with_capacity(count.max(1));
        for number in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let mut ended = ended.clone();
            std::thread::Builder::new().name(format!("postrider-http-{number}")).spawn(move || {
                // An error means that nobody is left who could give it work.
                runtime.block_on(async { while ended.changed().await.is_ok() {} });
                runtime.shutdown_background();
            })?;
        }
        Ok(Self(Arc::new(Inner { handles, next: AtomicUsize::new(0), _running: running })))
    }

    /// The runtime of the caller in place of threads of its own.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn here() -> Self {
        let (running, _) = watch::channel(());
        Self(Arc::new(Inner {
            handles: vec![Handle::current()],
            next: AtomicUsize::new(0),
            _running: running,
        }))
    }

    /// Runs a future on the thread whose turn it is; the answer ends it early.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let handles = &self.0.handles;
        let turn = self.0.next.fetch_add(1, Ordering::Relaxed);
        handles[turn % handles.len()].spawn(future).abort_handle()
    }
}
