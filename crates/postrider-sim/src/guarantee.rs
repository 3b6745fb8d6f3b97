//! What must hold, by name, and what is told when it does not.

use std::fmt;

/// What a run checks. The numbers are those of the guarantees in the documentation of the product.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Guarantee {
    /// 1: what was acknowledged is durable.
    Durable,
    /// 2: everything that is owed ends with a verdict.
    Verdict,
    /// 2: all attempts of a delivery are its own, one at a time, and none comes after its success.
    Once,
    /// 2: a run has no more attempts than its schedule.
    Schedule,
    /// 3: nothing is attempted that is not durable.
    NotBeforeDurable,
    /// 4: deliveries of a key leave one at a time and in order.
    Order,
    /// 4: a key is held back as long as it may be, not longer and not shorter.
    Hold,
    /// 5: an endpoint that is ready gets its turn.
    Fairness,
    /// 6: memory has its bounds.
    Memory,
    /// 9: sequence numbers have no gaps and are given once.
    Sequence,
    /// 10: faults of ours cost a partner nothing.
    OwnFaults,
    /// Limits on concurrency and rate are kept.
    Limits,
    /// What owner and receiver want is heeded: pauses, `Retry-After`, expiry, removal.
    Wishes,
    /// One key is one event.
    Idempotency,
    /// A replay lets each delivery go once, and its counts are right.
    Replays,
    /// What happened is told to the operator, and nothing else.
    Told,
    /// What is counted as pending is.
    Counts,
    /// What can be done is done, and nothing is done for nothing.
    Alive,
    /// What the node asks of its store makes sense.
    Sense,
}

/// A guarantee that did not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which.
    pub guarantee: Guarantee,
    /// What was seen.
    pub why: String,
    /// The last events before it, if they were kept.
    pub trace: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        write!(f, "broken: {:?}: {}", self.guarantee, self.why)
    }
}
