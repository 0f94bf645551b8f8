//! A short campaign against every lane and every fault, with the binary of the tests.
//!
//! `tests/crash/README.md` says what it proves, and what only the long campaign proves.

#![allow(clippy::print_stdout, reason = "a campaign prints its counts")]

use tidegate_crash::{Fault, Guarantee, LANES, Trial, campaign};

/// Seed of the random choices. A fixed seed makes a failure easier to reproduce on another machine.
const SEED: u64 = 20_260_101;

/// Injects `fault` into every lane that it applies to, `times` times.
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
            match &outcome.unsupported {
                Some(reason) => println!("{row}: refused: {reason}"),
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
fn engine_is_killed() {
    survive(Fault::Engine, 8);
}

#[test]
fn engine_is_killed_at_a_system_call_or_one_fails() {
    tidegate_servers::require!(Trace);
    survive_in(Fault::Calls, 12, &["file-list", "file-file"]);
}

#[test]
fn engine_is_frozen() {
    survive_in(Fault::Freeze, 3, &["file-stream", "file-file", "group-list"]);
}

#[test]
fn redis_that_keeps_everything_is_killed() {
    survive(Fault::RedisAlways, 3);
}

#[test]
fn redis_that_forgets_is_killed() {
    for fault in [Fault::RedisEverysec, Fault::RedisSnapshots, Fault::RedisTorn] {
        survive_in(fault, 3, &["file-list", "file-stream", "group-list"]);
    }
}

#[test]
fn network_fails() {
    survive_in(Fault::Network, 7, &["file-list", "file-stream"]);
}

#[test]
fn destination_key_has_another_type_for_some_time() {
    survive(Fault::WrongType, 3);
}
