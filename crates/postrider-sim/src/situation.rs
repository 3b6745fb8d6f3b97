//! What a run came through: a simulator proves nothing about what it never meets.

/// Something that makes a run worth its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "each has its sentence in `name`")]
pub enum Situation {
    WindowSpilled,
    KeyLargerThanWindow,
    KeyOvertaken,
    Tripped,
    ProbeFailed,
    ProbeSucceeded,
    CrashWhileTripped,
    CrashWhileCommitting,
    CrashInFlight,
    CrashWhileKeyHeld,
    CommitFailed,
    CommitUnknownThere,
    CommitUnknownLost,
    PageFailed,
    EditInFlight,
    RemovedInFlight,
    OrderingSwitched,
    PausedWithBacklog,
    Gone,
    AbortedByReceiver,
    RetryAfter,
    OwnNetworkDead,
    KeyHeldWhileDead,
    Hang,
    SlowStart,
    ClockBack,
    ClockForward,
    ReplayDuringBacklog,
    ReplayThroughCrash,
    RetriedByHand,
    CancelledByHand,
    KnownKey,
    KeyConflict,
    KeyAgainAfterCrash,
    OwedToNobody,
    Expired,
    BacklogFull,
    UndurableFull,
    PlacesFull,
    QuotaUsedUp,
    ScheduleExhausted,
    ToldTheOperator,
    SkippedUnverified,
    SkippedNotEntitled,
}

impl Situation {
    /// All of them, with a sentence each.
    pub const ALL: [(Self, &'static str); 44] = [
        (Self::WindowSpilled, "a window spilled"),
        (Self::KeyLargerThanWindow, "a blocked key larger than its window"),
        (Self::KeyOvertaken, "a key's head was overtaken"),
        (Self::Tripped, "a breaker tripped"),
        (Self::ProbeFailed, "a probe failed"),
        (Self::ProbeSucceeded, "a probe succeeded"),
        (Self::CrashWhileTripped, "a crash while tripped"),
        (Self::CrashWhileCommitting, "a crash during a commit"),
        (Self::CrashInFlight, "a crash with attempts in flight"),
        (Self::CrashWhileKeyHeld, "a crash while a key was held back"),
        (Self::CommitFailed, "a commit failed"),
        (Self::CommitUnknownThere, "an unknown commit that was there"),
        (Self::CommitUnknownLost, "an unknown commit that was lost"),
        (Self::PageFailed, "a page could not be read"),
        (Self::EditInFlight, "an edit with attempts in flight"),
        (Self::RemovedInFlight, "a removal with attempts in flight"),
        (Self::OrderingSwitched, "ordering switched with a backlog"),
        (Self::PausedWithBacklog, "a pause with a backlog"),
        (Self::Gone, "a receiver gone for good (410)"),
        (Self::AbortedByReceiver, "a receiver that aborted a delivery"),
        (Self::RetryAfter, "a receiver that asked for time"),
        (Self::OwnNetworkDead, "our own network dead"),
        (Self::KeyHeldWhileDead, "a key held back while our network was dead"),
        (Self::Hang, "an attempt that hung to its timeout"),
        (Self::SlowStart, "a receiver that started slowly"),
        (Self::ClockBack, "a clock that jumped back"),
        (Self::ClockForward, "a clock that jumped ahead"),
        (Self::ReplayDuringBacklog, "a replay during a backlog"),
        (Self::ReplayThroughCrash, "a replay through a crash"),
        (Self::RetriedByHand, "a retry by hand"),
        (Self::CancelledByHand, "a withdrawal by hand"),
        (Self::KnownKey, "an event published again under its key"),
        (Self::KeyConflict, "a key used for another event"),
        (Self::KeyAgainAfterCrash, "a key used again after a crash"),
        (Self::OwedToNobody, "an event that nobody wanted"),
        (Self::Expired, "a delivery that expired"),
        (Self::BacklogFull, "a backlog that was full"),
        (Self::UndurableFull, "outcomes that waited for the store"),
        (Self::PlacesFull, "all places of the node taken"),
        (Self::QuotaUsedUp, "a quota that was used up"),
        (Self::ScheduleExhausted, "a schedule that was exhausted"),
        (Self::ToldTheOperator, "an operational event"),
        (Self::SkippedUnverified, "an event for an endpoint that was not verified"),
        (Self::SkippedNotEntitled, "an event of a type that was withdrawn"),
    ];
}

/// Which situations arose.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Situations(u64);

impl Situations {
    /// It arose.
    pub const fn saw(&mut self, situation: Situation) {
        self.0 |= 1 << situation as u8;
    }

    /// Whether it did.
    pub const fn contains(self, situation: Situation) -> bool {
        self.0 & (1 << situation as u8) != 0
    }
}
