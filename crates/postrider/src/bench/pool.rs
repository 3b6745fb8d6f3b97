//! The threads of the bench: each with its own runtime, so that nothing is handed from one to another.

use std::future::Future;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Threads that run tasks until the pool is dropped.
#[derive(Debug)]
pub(super) struct Pool {
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pool {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// When a runtime or a thread cannot be made.
    pub(super) fn start(threads: usize) -> anyhow::Result<Self> {
        let workers = (0..threads.max(1))
            .map(|number| {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let handle = runtime.handle().clone();
                let (stop, stopped) = oneshot::channel::<()>();
                let thread = std::thread::Builder::new()
                    .name(format!("bench-{number}"))
                    .spawn(move || drop(runtime.block_on(stopped)))?;
                Ok(Worker { handle, stop: Some(stop), thread: Some(thread) })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { workers })
    }

    /// How many threads there are.
    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// The runtimes, in order.
    pub(super) fn handles(&self) -> Vec<Handle> {
        self.workers.iter().map(|worker| worker.handle.clone()).collect()
    }

    /// Runs a task on the thread `number`, counted round.
    pub(super) fn spawn<F>(&self, number: usize, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.workers[number % self.workers.len()].handle.spawn(task)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            drop(worker.stop.take());
        }
        for thread in self.workers.iter_mut().filter_map(|worker| worker.thread.take()) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}
