//! Whole histories of a cluster from one number: the real cores of scheduler, clients and agents on a network that
//! delays, repeats, drops and cuts, with processors, agents and clients that die. Invariants are checked after every
//! step and at the end; the same seed gives the same history. `SCALER_SIM_SEED=n` replays one, and `SCALER_SIM_LOG=1`
//! prints its events.

#[path = "sim/check.rs"]
mod check;
#[path = "sim/faults.rs"]
mod faults;
#[path = "sim/nodes.rs"]
mod nodes;
#[path = "sim/rng.rs"]
mod rng;
#[path = "sim/world.rs"]
mod world;

use faults::Fault;
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

/// A core with that fault does not survive many histories, and it is this invariant that notices.
fn is_caught(fault: Fault, invariant: &str) {
    let violations: Vec<_> = (0..20).filter_map(|seed| World::new(seed, Some(fault)).run().err()).collect();
    assert!(!violations.is_empty(), "{fault:?} went unnoticed");
    assert!(
        violations.iter().any(|violation| violation.invariant == invariant),
        "{fault:?} was noticed only by {violations:?}"
    );
}

#[test]
fn a_core_that_loses_an_outcome_is_caught() {
    is_caught(Fault::SwallowDone, "everything ends");
}

#[test]
fn a_core_that_delivers_twice_is_caught() {
    is_caught(Fault::RepeatResult, "one delivery");
}

#[test]
fn a_core_that_ignores_tags_is_caught() {
    is_caught(Fault::IgnoreTags, "tags");
}
