//! The states of a task and the only way from one to another.
//!
//! Everything else that is known about a task lives with the scheduler; whether a move is legal is decided here alone.

use std::fmt;

/// Where an accepted task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// At the scheduler, for a cluster that may run it and has credit.
    Waiting,
    /// Sent to a cluster.
    Assigned,
    /// Its cluster reported that it runs (which it does for tasks older than 25 ms).
    Running,
    /// A user canceled it; its cluster has not confirmed yet.
    Canceling,
    /// Asked back from its cluster for another that idles; comes back if it has not started.
    Returning,
    /// It returned a value.
    Succeeded,
    /// The task itself failed.
    Failed,
    /// A user canceled it.
    Canceled,
    /// The system gave it up.
    Aborted,
}

/// What can happen to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// It is sent to a cluster.
    Assign,
    /// Its cluster says that it runs.
    Start,
    /// Balancing asks for it back.
    TakeBack,
    /// A user cancels it.
    Cancel,
    /// It is at the scheduler again without an outcome: given back, its processor or cluster gone, or a retry.
    Requeue,
    /// An attempt returned a value.
    Succeed,
    /// An attempt failed for good.
    Fail,
    /// It ended because a user canceled it.
    ConfirmCancel,
    /// The system gives it up.
    Abort,
}

/// A move that must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {state} cannot {event:?}")]
pub struct IllegalMove {
    /// Where it was.
    pub state: State,
    /// What was to happen.
    pub event: Event,
}

impl State {
    /// Every state, in the order of the enumeration.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Assigned,
        Self::Running,
        Self::Canceling,
        Self::Returning,
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
        Self::Aborted,
    ];

    /// The one transition function.
    pub fn after(self, event: Event) -> Result<Self, IllegalMove> {
        use State::{Aborted, Assigned, Canceled, Canceling, Failed, Returning, Running, Succeeded, Waiting};
        match (self, event) {
            (Waiting, Event::Assign) => Ok(Assigned),
            (Assigned | Returning, Event::Start) => Ok(Running),
            // The report crossed with the order; the order stands.
            (Canceling, Event::Start) => Ok(Canceling),
            (Assigned, Event::TakeBack) => Ok(Returning),
            (Assigned | Running | Returning, Event::Cancel) => Ok(Canceling),
            (Assigned | Running | Returning, Event::Requeue) => Ok(Waiting),
            // From `Waiting`: the outcome of an older attempt, from a cluster that was believed lost.
            (Waiting | Assigned | Running | Canceling | Returning, Event::Succeed) => Ok(Succeeded),
            (Waiting | Assigned | Running | Canceling | Returning, Event::Fail) => Ok(Failed),
            (Waiting | Assigned | Running | Canceling | Returning, Event::ConfirmCancel) => Ok(Canceled),
            (Waiting | Assigned | Running | Canceling | Returning, Event::Abort) => Ok(Aborted),
            (state, event) => Err(IllegalMove { state, event }),
        }
    }

    /// Whether a cluster has it.
    #[must_use]
    pub fn is_at_cluster(self) -> bool {
        matches!(self, Self::Assigned | Self::Running | Self::Canceling | Self::Returning)
    }

    /// Whether nothing can happen to it any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled | Self::Aborted)
    }

    /// The name that views and commands show.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Assigned => "assigned",
            Self::Running => "running",
            Self::Canceling => "canceling",
            Self::Returning => "returning",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 9] = [
        Event::Assign,
        Event::Start,
        Event::TakeBack,
        Event::Cancel,
        Event::Requeue,
        Event::Succeed,
        Event::Fail,
        Event::ConfirmCancel,
        Event::Abort,
    ];

    #[test]
    fn nothing_leaves_a_terminal_state() {
        for state in State::ALL.into_iter().filter(|state| state.is_terminal()) {
            for event in EVENTS {
                assert_eq!(state.after(event), Err(IllegalMove { state, event }));
            }
        }
    }

    #[test]
    fn every_live_state_can_end_in_every_way() {
        for state in State::ALL.into_iter().filter(|state| !state.is_terminal()) {
            for event in [Event::Succeed, Event::Fail, Event::ConfirmCancel, Event::Abort] {
                assert!(state.after(event).expect("legal").is_terminal(), "{state} {event:?}");
            }
        }
    }

    #[test]
    fn a_canceled_task_never_runs_again() {
        assert!(State::Canceling.after(Event::Requeue).is_err());
        assert!(State::Canceling.after(Event::Assign).is_err());
        assert_eq!(State::Canceling.after(Event::Start), Ok(State::Canceling));
    }

    #[test]
    fn only_what_waits_is_assigned_and_only_what_is_assigned_is_taken_back() {
        for state in State::ALL {
            assert_eq!(state.after(Event::Assign).is_ok(), state == State::Waiting, "{state}");
            assert_eq!(state.after(Event::TakeBack).is_ok(), state == State::Assigned, "{state}");
        }
    }
}
