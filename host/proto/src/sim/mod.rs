//! Whole histories of a cluster from one number: the real cores of scheduler, clients and agents on a network that
//! delays, repeats, drops and cuts, with processors, agents and clients that die. Invariants are checked after every
//! step and at the end; the same seed gives the same history. `SCALER_SIM_SEED=n` replays one, and `SCALER_SIM_LOG=1`
//! prints its events.
//!
//! Invariants that nothing ever breaks prove nothing: [`Fault`]s are seeded into the scheduler's core, and each must
//! be noticed by the invariant that is meant to notice it.

mod check;
mod nodes;
mod rng;
mod world;

use crate::scheduler::Fault;
use world::World;

const SEEDS: u64 = 1_000;

#[test]
fn a_thousand_histories_keep_every_invariant() {
    let chosen = std::env::var("SCALER_SIM_SEED").ok().map(|text| text.parse().expect("SCALER_SIM_SEED is a number"));
    let seeds = chosen.map_or(0..SEEDS, |seed| seed..seed + 1);
    let mut failed = Vec::new();
    for seed in seeds {
        if let Err(violation) = World::new(seed, None).run() {
            failed.push(format!("SCALER_SIM_SEED={seed}: {violation}"));
        }
    }
    assert!(failed.is_empty(), "{} histories failed:\n{}", failed.len(), failed[..failed.len().min(20)].join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in [1, 7, 99, 12_345] {
        let (first, second) = (World::new(seed, None).run(), World::new(seed, None).run());
        assert_eq!(first, second, "seed {seed}");
        assert_ne!(first, World::new(seed + 1, None).run(), "seed {seed}");
    }
}

/// Each fault of the core with the invariant that must notice it.
const CAUGHT_BY: [(Fault, &str); 13] = [
    (Fault::LoseTasksOfLostClusters, "everything ends"),
    (Fault::DeliverAgain, "one delivery"),
    (Fault::IgnoreTags, "tags"),
    (Fault::OverfillQueues, "queue bounds"),
    (Fault::KeepRoomOfResults, "nothing left"),
    (Fault::KeepArguments, "objects"),
    (Fault::KeepObjects, "nothing left"),
    (Fault::ChargeWhatWasGivenBack, "attempts"),
    (Fault::ForgetDeaths, "attempts"),
    (Fault::RepeatAttemptNumbers, "one attempt"),
    (Fault::FinishUnwritten, "persist first"),
    (Fault::HideDepartures, "mirrors"),
    (Fault::HangUpUnheard, "goodbyes"),
];

#[test]
fn every_fault_of_the_core_is_caught_by_its_invariant() {
    for (fault, invariant) in CAUGHT_BY {
        let mut others = std::collections::BTreeMap::<&str, u64>::new();
        let caught = (0..SEEDS).find_map(|seed| match World::new(seed, Some(fault)).run() {
            Err(violation) if violation.invariant == invariant => Some((seed, violation)),
            Err(violation) => {
                *others.entry(violation.invariant).or_default() += 1;
                None
            }
            Ok(_) => None,
        });
        let (seed, violation) = caught.unwrap_or_else(|| {
            panic!("{fault:?} went unnoticed by `{invariant}` in {SEEDS} histories; noticed by {others:?}")
        });
        println!("{fault:?} is caught in history {seed} by {violation}");
    }
}
