//! What becomes of patient calls when the scheduler's queue is full: they are submitted again, in order, as room
//! appears.
//!
//! The scheduler does not say when there is room. So no more are kept there than it was seen to hold (the end of one
//! makes room for the next), and now and then a few more are tried, ever less often while they are refused.

use super::{ClientCore, Task};
use crate::{client::Effect, ids::Time};

/// Between two trials of more, in milliseconds: at least, and at most after refusals.
const PAUSE_MS: (u64, u64) = (10, 1_000);

/// How much may be asked of a scheduler that has refused calls.
#[derive(Debug)]
pub(super) struct Throttle {
    /// Most tasks that are to be there at once.
    limit: u64,
    pause_ms: u64,
    /// When more is tried.
    next: Time,
    /// More was tried, and nothing has been refused since.
    trying: bool,
    /// It is this that holds calls back, not the lack of calls or of credit.
    holds: bool,
}

impl ClientCore {
    /// There is no room for this call, which is patient.
    pub(super) fn refused(&mut self, now: Time, task: Task, out: &mut Vec<Effect>) {
        let throttle = self.throttle.get_or_insert(Throttle {
            limit: 0,
            pause_ms: PAUSE_MS.0,
            next: now.plus_ms(PAUSE_MS.0),
            trying: false,
            holds: true,
        });
        throttle.limit = self.there;
        if std::mem::take(&mut throttle.trying) {
            throttle.pause_ms = (throttle.pause_ms * 2).min(PAUSE_MS.1);
            throttle.next = now.plus_ms(throttle.pause_ms);
        }
        out.push(Effect::Refused { order: task.order, call: Box::new(task.call) });
    }

    /// Tries more when its time has come, and lets the calls that were held back go as far as they may.
    pub(super) fn ease(&mut self, now: Time) {
        if let Some(throttle) = &mut self.throttle
            && throttle.next <= now
        {
            if !throttle.holds {
                self.throttle = None;
            } else {
                if std::mem::replace(&mut throttle.trying, true) {
                    throttle.pause_ms = (throttle.pause_ms / 2).max(PAUSE_MS.0);
                }
                throttle.limit = throttle.limit.max(self.there) + (self.there / 4).max(1);
                throttle.next = now.plus_ms(throttle.pause_ms);
            }
        }
        let limit = self.throttle.as_ref().map_or(u64::MAX, |throttle| throttle.limit.saturating_sub(self.there));
        let credit = self.credit.tasks.saturating_sub(self.used.tasks);
        let mut room = limit.min(credit);
        let mut released = Vec::new();
        while room > 0
            && let Some((_, number)) = self.later.pop_first()
        {
            if self.tasks.contains_key(&number) {
                released.push(number);
                room -= 1;
            }
        }
        // In front of what waits, the first of them first.
        for number in released.into_iter().rev() {
            self.waiting.push_front(number);
        }
        if let Some(throttle) = &mut self.throttle {
            throttle.holds = !self.later.is_empty() && limit <= credit;
        }
    }

    /// Whether this call, whose turn it is, has to wait for room at the scheduler; if so it is put aside.
    pub(super) fn put_aside(&mut self, number: u64) -> bool {
        let (Some(throttle), Some(task)) = (&mut self.throttle, self.tasks.get(&number)) else { return false };
        let waits = task.call.patient && !task.counted && self.there >= throttle.limit;
        if waits {
            throttle.holds = true;
            self.later.insert((task.order, number));
        }
        waits
    }

    /// When more is tried, if calls are held back.
    pub(super) fn next_trial(&self) -> Option<Time> {
        self.throttle.as_ref().filter(|throttle| throttle.holds).map(|throttle| throttle.next)
    }
}
