//! Deliberate bugs: each must be caught, or the simulator looks past what it should see.
//!
//! Most stand at the boundary, where a store or a driver could do it. Those that only the core can have are in one file of it
//! (`postrider_core::mutation`), which is compiled with the feature `mutations` alone.

use postrider_core::id::Position;
use postrider_core::mutation::Mutation;
use postrider_core::node::{PageRead, Restored, What};
use postrider_core::record::{Health, Place};

use crate::store::Store;

/// A bug of a store, of a driver, or of the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// The node is told that a group is durable before it is.
    AcknowledgedEarly,
    /// A commit whose result was unknown, and that is there, is committed again.
    CommittedTwice,
    /// A commit whose result was unknown, and that is not there, is taken for done.
    UnknownTakenForDone,
    /// An update of a group is not stored.
    UpdateLost,
    /// A start takes up the last position again.
    PositionsAgain,
    /// A start takes up the last sequence number again.
    SequenceAgain,
    /// A start overlooks endpoints that owe nothing but retries.
    RetriesForgotten,
    /// A start does not see which deliveries block their keys.
    BlockingForgotten,
    /// A start does not see which keys have held deliveries.
    HeldForgotten,
    /// A start does not see that an endpoint is tripped or disabled.
    HealthForgotten,
    /// A start does not see replays that run.
    ReplaysForgotten,
    /// A start takes an earlier version of an endpoint's policy.
    PolicyOfBefore,
    /// Pages of due work begin one too late.
    BoundaryLost,
    /// A page says that nothing comes after it.
    PageSaysAll,
    /// A page claims to be as new as its arrival.
    PageOfBefore,
    /// A page does not say when the next retry is due.
    NextRetryForgotten,
    /// Keys are not found.
    KeyNotFound,
    /// A fault of ours is blamed on the receiver.
    OwnFaultBlamed,
    /// `Retry-After` is not passed on.
    RetryAfterDropped,
    /// Now and then the end of an attempt is not passed on.
    OutcomeLost,
    /// The node is not woken.
    NeverWoken,
    /// One of the core's.
    Core(Mutation),
}

impl Mutant {
    /// All of them; those of the core where they are compiled in.
    pub fn all() -> Vec<Self> {
        let core = Mutation::ALL.into_iter().filter(|_| cfg!(feature = "mutations")).map(Self::Core);
        Self::BOUNDARY.into_iter().chain(core).collect()
    }

    /// Those at the boundary to store and driver.
    pub const BOUNDARY: [Self; 21] = [
        Self::AcknowledgedEarly,
        Self::CommittedTwice,
        Self::UnknownTakenForDone,
        Self::UpdateLost,
        Self::PositionsAgain,
        Self::SequenceAgain,
        Self::RetriesForgotten,
        Self::BlockingForgotten,
        Self::HeldForgotten,
        Self::HealthForgotten,
        Self::ReplaysForgotten,
        Self::PolicyOfBefore,
        Self::BoundaryLost,
        Self::PageSaysAll,
        Self::PageOfBefore,
        Self::NextRetryForgotten,
        Self::KeyNotFound,
        Self::OwnFaultBlamed,
        Self::RetryAfterDropped,
        Self::OutcomeLost,
        Self::NeverWoken,
    ];

    /// Plants it in the core, if it is one of the core's; else none is there.
    pub(crate) fn plant(mutant: Option<Self>) {
        #[cfg(feature = "mutations")]
        postrider_core::mutation::plant(match mutant {
            Some(Self::Core(mutation)) => Some(mutation),
            _ => None,
        });
        #[cfg(not(feature = "mutations"))]
        let _ = mutant;
    }

    /// Spoils what a start finds.
    pub(crate) fn spoil_start(self, restored: &mut Restored, store: &Store) {
        match self {
            Self::SequenceAgain => restored.last_sequence = restored.last_sequence.saturating_sub(1),
            Self::RetriesForgotten => restored.has_pending &= store.due(restored.no).next().is_some(),
            Self::BlockingForgotten => restored.blocking.clear(),
            Self::HeldForgotten => restored.held.clear(),
            Self::HealthForgotten => restored.health = Health::default(),
            Self::ReplaysForgotten => restored.replays.clear(),
            Self::PolicyOfBefore => {
                let version = restored.policy.version - 1;
                if let Some(policy) = store.policies.get(&(restored.no, version)) {
                    restored.policy = policy.clone();
                }
            }
            _ => {}
        }
    }

    /// Spoils a page as it was read.
    pub(crate) fn spoil_page(self, page: &mut PageRead) {
        match self {
            Self::BoundaryLost => {
                let further = matches!(page.load.what, What::Due(after) if after > Position::ZERO);
                if further && page.entries.len() > 1 && matches!(page.entries[0].place, Place::Due(_)) {
                    page.entries.remove(0);
                }
            }
            Self::PageSaysAll => page.complete = true,
            _ => {}
        }
    }
}
