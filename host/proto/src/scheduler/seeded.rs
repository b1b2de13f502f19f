//! Faults that the simulation seeds into this core on purpose, to prove that its invariants notice them.
//!
//! Only tests can seed one: in every other build [`Seeded`] is empty, and each question is answered by a constant.

/// What the core could do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The tasks of a cluster that is lost stay with it.
    LoseTasksOfLostClusters,
    /// The results that a client acknowledged last are kept, and sent again on its next connection.
    DeliverAgain,
    /// Placement does not look at the tags that tasks ask for.
    IgnoreTags,
    /// Clusters are given more than their workers' queues may hold.
    OverfillQueues,
    /// The room reserved for a result is not given back.
    KeepRoomOfResults,
    /// Stored arguments are not deleted with their task.
    KeepArguments,
    /// The objects of a client that is gone are not deleted.
    KeepObjects,
    /// A task that comes back without having started is charged an attempt.
    ChargeWhatWasGivenBack,
    /// A processor's death charges nothing.
    ForgetDeaths,
    /// A second attempt has the number of the first.
    RepeatAttemptNumbers,
    /// A result goes out before it is written down.
    FinishUnwritten,
    /// Watchers are not told of what is gone.
    HideDepartures,
    /// Not of this core: clients hang up before their goodbye was acknowledged.
    #[cfg(test)]
    HangUpUnheard,
}

/// The fault of this core; none outside of tests.
#[derive(Debug, Default)]
pub(super) struct Seeded {
    #[cfg(test)]
    fault: Option<Fault>,
}

impl Seeded {
    #[cfg(test)]
    pub(super) fn with(fault: Fault) -> Self {
        Self { fault: Some(fault) }
    }

    /// Whether this core does that wrong.
    #[cfg(test)]
    pub(super) fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Whether this core does that wrong: never.
    #[cfg(not(test))]
    pub(super) const fn is(&self, _fault: Fault) -> bool {
        false
    }
}
