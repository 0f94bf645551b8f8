//! A short campaign against every lane and every fault, with the binary that the tests were built with.
//!
//! What it proves, and what only the long one does, is told in `tests/crash/README.md`.

#![allow(clippy::print_stdout, reason = "a campaign tells what it counted")]

use tidegate_crash::{Fault, Guarantee, LANES, Trial, campaign};

/// Any will do; one that is always the same makes a failure here the same on another machine.
const SEED: u64 = 20_260_101;

/// Every lane that can suffer `fault`, `times` times.
#[track_caller]
fn survive(fault: Fault, times: u64) {
    survive_in(fault, times, &LANES.iter().map(|lane| lane.name).collect::<Vec<_>>());
}

#[track_caller]
fn survive_in(fault: Fault, times: u64, names: &[&str]) {
    let mut problems = Vec::new();
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::EffectivelyOnce] {
        for lane in LANES.iter().filter(|lane| names.contains(&lane.name) && lane.can_suffer(fault)) {
            let binary = env!("CARGO_BIN_EXE_tidegate").into();
            let outcome =
                campaign(&Trial { binary, lane: *lane, guarantee, fault, libraries: None }, SEED, times)
                    .unwrap();
            let row = format!("{} {guarantee} {fault}", lane.name);
            match &outcome.skipped {
                Some(reason) => println!("{row}: skipped: {reason}"),
                None => {
                    println!("{row}: {} of {} at work: {}", outcome.working, outcome.faults, outcome.tally);
                }
            }
            problems.extend(outcome.problems.iter().map(|problem| format!("{row}: {problem}")));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_engine_is_killed() {
    survive(Fault::Engine, 8);
}

#[test]
fn the_engine_dies_at_a_system_call_or_one_fails() {
    tidegate_servers::require!(Trace);
    survive_in(Fault::Calls, 12, &["file-list", "file-file"]);
}

#[test]
fn the_engine_is_frozen() {
    survive_in(Fault::Freeze, 3, &["file-stream", "file-file", "group-list"]);
}

#[test]
fn redis_is_killed_that_keeps_everything() {
    survive(Fault::RedisAlways, 3);
}

#[test]
fn redis_is_killed_that_forgets() {
    for fault in [Fault::RedisEverysec, Fault::RedisSnapshots, Fault::RedisTorn] {
        survive_in(fault, 3, &["file-list", "file-stream", "group-list"]);
    }
}

#[test]
fn the_network_is_troubled() {
    survive_in(Fault::Network, 7, &["file-list", "file-stream"]);
}

#[test]
fn the_key_holds_another_type_for_a_while() {
    survive(Fault::WrongType, 3);
}
