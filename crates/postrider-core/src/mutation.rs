//! Deliberate bugs that only the core can have, for the simulator to catch: `postrider-sim mutants`.
//!
//! Without the feature `mutations`, which no program has, [`has`] is `false` when it is compiled, and nothing is left of them.

/// A deliberate bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// A failed delivery does not hold back its key.
    KeyLetGo,
    /// A key's head is never overtaken.
    NeverOvertaken,
    /// The end of a delivery does not let its successor go.
    SuccessorForgotten,
    /// The clock of a key that is held back runs while its endpoint is tripped.
    HoldRunsWhileTripped,
    /// A probe uses up a step of the schedule.
    ProbeCharged,
    /// Several probes leave at once.
    ProbesAtOnce,
    /// A fault of ours uses up a step of the schedule.
    OwnFaultCharged,
    /// What a page shows is taken for current though it has changed.
    StalePageTaken,
    /// A replay lets go what has changed since it was read.
    StaleReplayTaken,
    /// Concurrency has no limit.
    PlacesUnlimited,
    /// Starts are not paced.
    PaceForgotten,
    /// Who had a turn gets the next one too.
    TurnsUnfair,
    /// Windows have no bound.
    WindowUnlimited,
    /// What has expired is sent.
    ExpiredSent,
    /// A retry by hand is sent before its run is durable.
    SentBeforeDurable,
    /// A pause is not heeded.
    PauseIgnored,
    /// `Retry-After` is not heeded.
    WishIgnored,
    /// What is withdrawn is still counted.
    CountDrifts,
    /// Expired deliveries are not told.
    NoticeLost,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::KeyLetGo,
        Self::NeverOvertaken,
        Self::SuccessorForgotten,
        Self::HoldRunsWhileTripped,
        Self::ProbeCharged,
        Self::ProbesAtOnce,
        Self::OwnFaultCharged,
        Self::StalePageTaken,
        Self::StaleReplayTaken,
        Self::PlacesUnlimited,
        Self::PaceForgotten,
        Self::TurnsUnfair,
        Self::WindowUnlimited,
        Self::ExpiredSent,
        Self::SentBeforeDurable,
        Self::PauseIgnored,
        Self::WishIgnored,
        Self::CountDrifts,
        Self::NoticeLost,
    ];
}

#[cfg(feature = "mutations")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug, or none, in the nodes that this thread drives.
#[cfg(feature = "mutations")]
pub fn plant(mutation: Option<Mutation>) {
    PLANTED.set(mutation);
}

/// Whether this bug is planted.
#[cfg(feature = "mutations")]
pub(crate) fn has(mutation: Mutation) -> bool {
    PLANTED.get() == Some(mutation)
}

/// Whether this bug is planted: never.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn has(_: Mutation) -> bool {
    false
}
