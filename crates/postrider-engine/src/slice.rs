//! Work on a thread that serves others too: done in slices, between which these get their turn.

use std::time::{Duration, Instant};

/// The length of a slice, unless one piece of the work is longer.
const SLICE: Duration = Duration::from_micros(500);

/// See the module. Asked after each piece of the work.
#[derive(Debug)]
pub struct Slice(Instant);

impl Slice {
    /// Begins one.
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// Lets others have their turn, if it is time for it.
    pub async fn pause(&mut self) {
        if self.0.elapsed() >= SLICE {
            tokio::task::yield_now().await;
            self.0 = Instant::now();
        }
    }
}
