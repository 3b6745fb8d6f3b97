//! Checkpoints: moving the write-ahead log into the database, on a connection and a thread of their own.
//!
//! A page that was written many times since the last checkpoint is moved once, so a checkpoint waits until the log is worth
//! it. What came while it ran is moved by the writer between two commits, so that the log can begin again at its start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use postrider_store::StoreError;
use rusqlite::Connection;
use rusqlite::hooks::Wal;

use crate::error::Res;
use crate::memory::Shared;
use crate::open;

/// The checkpoints of one writer.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    from_frames: i32,
    frames: Arc<AtomicI32>,
    /// Asks the thread for a checkpoint; dropped to end it.
    ask: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<State>,
}

/// Bytes that a frame takes: a page and its header.
const FRAME: u64 = 4096 + 24;

#[derive(Debug, Default)]
struct State {
    running: AtomicBool,
    /// The thread has moved nearly all: the writer moves the rest.
    nearly: AtomicBool,
}

/// Has the frames in the log counted at each commit of a connection; the length of the log's file would not do, since it
/// stays when the log begins again.
pub(crate) fn count_frames(conn: &mut Connection, frames: &Arc<AtomicI32>) -> rusqlite::Result<()> {
    let frames = Arc::clone(frames);
    conn.wal_hook(Some(move |_: &mut Wal, pages| {
        frames.store(pages, Ordering::Relaxed);
        Ok(())
    }))
}

impl Checkpointer {
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        let (ask, asked) = sync_channel(1);
        let state = Arc::new(State::default());
        let (path, seen) = (shared.path.clone(), Arc::clone(&state));
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || run(&path, &seen, &asked))
            .inspect_err(|error| tracing::warn!(%error, "no thread for checkpoints; the writer does them"))
            .ok();
        Self {
            from_frames: i32::try_from(shared.config.checkpoint_bytes / FRAME).unwrap_or(i32::MAX),
            frames: Arc::clone(&shared.frames),
            ask: thread.is_some().then_some(ask),
            thread,
            state,
        }
    }

    /// Moves the rest when the thread has moved the most: few pages, and the log begins again.
    pub(crate) fn before_commit(&self, conn: Option<&Connection>) {
        if !self.state.nearly.load(Ordering::Acquire) {
            return;
        }
        if let Some(conn) = conn {
            checkpoint(conn, "PASSIVE");
        }
        self.state.nearly.store(false, Ordering::Release);
        self.state.running.store(false, Ordering::Release);
    }

    /// Asks for a checkpoint when the log is long enough.
    pub(crate) fn after_commit(&self) {
        if self.state.running.load(Ordering::Acquire) {
            return;
        }
        if self.frames.load(Ordering::Relaxed) >= self.from_frames {
            self.state.running.store(true, Ordering::Release);
            let asked = self.ask.as_ref().is_some_and(|ask| ask.try_send(()).is_ok());
            if !asked {
                self.state.nearly.store(true, Ordering::Release);
            }
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread for checkpoints has panicked");
        }
    }
}

fn run(path: &std::path::Path, state: &State, asked: &Receiver<()>) {
    let mut conn: Option<Connection> = None;
    while asked.recv().is_ok() {
        if conn.is_none() {
            conn = open::checkpoint_connection(path)
                .inspect_err(|error| tracing::warn!(?error, "no connection for checkpoints"))
                .ok();
        }
        if let Some(conn) = &conn {
            checkpoint(conn, "PASSIVE");
        }
        state.nearly.store(true, Ordering::Release);
    }
}

/// Moves what can be moved; what cannot is moved next time.
pub(crate) fn checkpoint(conn: &Connection, mode: &str) {
    let done = conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
    if let Err(error) = done {
        tracing::warn!(%error, "a checkpoint failed");
    }
}

/// Moves everything into the database and empties the log, or says why not.
pub(crate) fn empty_log(conn: &Connection) -> Res<()> {
    let busy: bool = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0))?;
    if busy {
        return Err(StoreError::Unknown("the log could not be emptied while it is read".into()).into());
    }
    Ok(())
}
