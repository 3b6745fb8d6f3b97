//! What receivers answer, and when.

use std::collections::VecDeque;
use std::time::Duration;

use postrider_core::node::{Attempt, Directive};
use postrider_core::record::ErrorKind;
use postrider_core::time::Timestamp;

use super::{FOREVER, World, ms, secs};
use crate::situation::Situation;

/// After so long a receiver that does not answer is given up.
const TIMEOUT: Duration = secs(15);

/// What a receiver answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How long it takes.
    pub after: Duration,
    /// What goes wrong; `None` for an acknowledgement.
    pub error: Option<ErrorKind>,
    /// The status code, if an answer comes.
    pub status: Option<u16>,
    /// Its `Retry-After`.
    pub retry_after: Option<Duration>,
    /// What it asks for.
    pub directive: Option<Directive>,
}

impl Answer {
    /// An acknowledgement.
    pub fn ok() -> Self {
        Self { after: ms(5), error: None, status: Some(200), retry_after: None, directive: None }
    }

    /// An answer that is none.
    pub fn status(code: u16) -> Self {
        Self { error: Some(ErrorKind::Status), status: Some(code), ..Self::ok() }
    }

    /// No answer.
    pub fn error(kind: ErrorKind) -> Self {
        Self { error: Some(kind), status: None, ..Self::ok() }
    }

    /// No answer in time.
    pub fn timeout() -> Self {
        Self { after: TIMEOUT, ..Self::error(ErrorKind::Timeout) }
    }

    /// A fault of ours.
    pub fn local() -> Self {
        Self::error(ErrorKind::Local)
    }

    /// The same, so much later.
    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }
}

/// How a receiver behaves: what comes first, then this.
pub struct Receiver {
    /// What comes first, one for each attempt.
    pub script: VecDeque<Answer>,
    /// What comes then.
    pub mode: Mode,
}

/// How a receiver goes on.
#[derive(Clone, Debug)]
pub enum Mode {
    /// The same each time.
    Always(Answer),
    /// Fails so often, in thousandths.
    Flaky(u64),
    /// Fails every delivery with this key, takes all others.
    Poison(Box<str>),
    /// Never answers: the attempt stays under way.
    Hang,
    /// Anything, now and then.
    Odd,
    /// Works for so long, and then not for as long, from a time on.
    Flapping(Timestamp, Duration),
    /// Answers more and more quickly after a time, from this long on.
    SlowStart(Timestamp, Duration),
}

impl World {
    pub(super) fn answer(&mut self, attempt: &Attempt) -> Answer {
        if self.habits.network_down {
            return Answer::local();
        }
        let Some(receiver) = self.receivers.get_mut(&attempt.delivery.endpoint) else {
            return Answer::error(ErrorKind::Connect);
        };
        if let Some(answer) = receiver.script.pop_front() {
            return answer;
        }
        let rng = &mut self.rng;
        match &receiver.mode {
            Mode::Always(answer) => answer.clone(),
            Mode::Flaky(permille) => {
                let after = ms(rng.between(1, 50));
                if rng.chance(*permille) {
                    Answer::status(500).after(after)
                } else {
                    Answer::ok().after(after)
                }
            }
            Mode::Poison(key) if attempt.event.key.as_deref() == Some(&**key) => Answer::status(500),
            Mode::Poison(_) => Answer::ok(),
            Mode::Flapping(since, period) => {
                let periods = self.now.since(*since).as_micros() / period.as_micros().max(1);
                let answer = if periods.is_multiple_of(2) { Answer::ok() } else { Answer::status(503) };
                answer.after(ms(rng.between(1, 50)))
            }
            Mode::SlowStart(since, first) => {
                let warm = self.now.since(*since).as_secs().min(60);
                let after = *first * u32::try_from(60 - warm).unwrap_or(0) / 60;
                self.situations.saw(Situation::SlowStart);
                if after > TIMEOUT { Answer::timeout() } else { Answer::ok().after(after.max(ms(2))) }
            }
            Mode::Hang => Answer::timeout().after(FOREVER),
            Mode::Odd => {
                let after = ms(rng.between(1, 3_000));
                let mut answer = match rng.below(12) {
                    0 => Answer::timeout(),
                    1 => Answer::error(ErrorKind::Connect).after(after),
                    2 => Answer::error(ErrorKind::Reset).after(after),
                    3 => Answer::status(503).after(after),
                    4 => Answer::status(400).after(after),
                    5 => Answer::local().after(after),
                    _ => Answer::ok().after(after),
                };
                if answer.error.is_some() && rng.chance(60) {
                    answer.retry_after = Some(secs(rng.between(1, 400)));
                }
                if answer.error.is_some() && rng.chance(20) {
                    answer.directive = Some(rng.pick(&[
                        Directive::AbortMessage,
                        Directive::AbortMessage,
                        Directive::AbortMessage,
                        Directive::Disable,
                    ]));
                }
                if answer.status.is_some() && answer.error.is_some() && rng.chance(25) {
                    answer.status = Some(410);
                }
                answer
            }
        }
    }
}
