//! Processes of plugins: killed under load, ended with the engine, isolated from its signals and secrets.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;

use crate::harness::{Running, root, until};
use crate::plugins::isolation::{FILTER, Place, lines};

/// Live plugin processes of this engine.
pub(crate) fn children(of: u32) -> BTreeSet<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let id: u32 = entry.unwrap().file_name().to_str()?.parse().ok()?;
        (alive(id)? == of).then_some(id)
    });
    processes.collect()
}

/// The parent of a live process.
fn alive(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 2..].split(' ');
    let state = fields.next()?;
    (state != "Z" && state != "X").then(|| fields.next()?.parse().ok())?
}

fn only_child(running: &Running) -> u32 {
    let mut found = BTreeSet::new();
    until("one process of a plugin", || {
        found = children(running.id());
        found.len() == 1
    });
    found.pop_first().unwrap()
}

pub(crate) fn kill(id: u32) {
    // The process may have ended already.
    let _ =
        Command::new("kill").args(["-KILL", &id.to_string()]).stderr(std::process::Stdio::null()).status();
}

#[test]
fn a_process_that_is_killed_under_load_loses_nothing() {
    const ROUND: usize = 50_000;
    let place = Place::new("faults/segfault.c");
    place.input(&[]);
    place.pipeline(&FILTER.replace("/in\"", "/in\"\nfollow = true"));
    let mut running = place.run().start();
    let all = lines(5 * ROUND, &[]);
    for round in all.chunks(ROUND) {
        let before = std::fs::metadata(place.path("out")).map_or(0, |out| out.len());
        let mut input = std::fs::OpenOptions::new().append(true).open(place.path("in")).unwrap();
        input.write_all((round.join("\n") + "\n").as_bytes()).unwrap();
        until("the first of the new lines", || {
            std::fs::metadata(place.path("out")).is_ok_and(|out| out.len() > before)
        });
        kill(only_child(&running));
    }
    until("the last line", || place.out().len() >= all.len());
    running.signal("TERM");
    let ended = running.end().expect(0);
    assert!(ended.stderr.contains("crashed (SIGKILL); restarting it"), "{}", ended.stderr);
    assert!(place.out() == all, "each line is there once, in order");
    assert!(place.reasons().is_empty());
}

#[test]
fn each_worker_of_a_filter_is_a_process_and_together_they_keep_the_order() {
    const HALF: usize = 100_000;
    let place = Place::with(&root().join("tests/plugins/grep.c"));
    place.input(&lines(HALF, &[]));
    let grep = "plugin = \"grep_c\"\ntext = \"e\"\nworkers = 2\n";
    place.pipeline(&FILTER.replace("/in\"", "/in\"\nfollow = true").replace("plugin = \"evil\"\n", grep));
    let mut running = place.run().start();
    let mut workers = BTreeSet::new();
    until("a process for each worker", || {
        workers = children(running.id());
        workers.len() == 2
    });
    let all = lines(2 * HALF, &[]);
    let mut input = std::fs::OpenOptions::new().append(true).open(place.path("in")).unwrap();
    input.write_all((all[HALF..].join("\n") + "\n").as_bytes()).unwrap();
    workers.iter().copied().for_each(kill);
    until("the last line", || place.out().len() >= all.len());
    running.signal("TERM");
    running.end().expect(0);
    assert!(place.out() == all, "each line is there once, in order");
    assert!(place.reasons().is_empty());
}

/// A pipeline without an end.
fn endless() -> (Place, Running) {
    let place = Place::new("faults/segfault.c");
    place.input(&lines(10, &[]));
    place.pipeline(&FILTER.replace("/in\"", "/in\"\nfollow = true"));
    let running = place.run().start();
    until("what came out", || place.out().len() == 10);
    (place, running)
}

#[test]
fn no_process_is_left_when_the_engine_ends() {
    let (_place, mut running) = endless();
    let child = only_child(&running);
    running.signal("TERM");
    running.end().expect(0);
    assert_eq!(alive(child), None, "it is over before the engine is");
}

#[test]
fn no_process_is_left_when_the_engine_is_killed() {
    let (_place, running) = endless();
    let child = only_child(&running);
    running.signal("KILL");
    until("the end of the plugin's process", || alive(child).is_none());
}

/// Plugin processes of this place, including forked ones.
fn left_of(place: &Place) -> usize {
    let folder = place.path("libevil.so").display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let id: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let is_host = String::from_utf8_lossy(&command).contains(&folder) && alive(id).is_some();
        is_host.then_some(id)
    });
    processes.count()
}

/// A forked process holds the socket and the pipes of the plugin's process open. The run must not wait for their end.
#[test]
fn process_that_forks_without_exec_does_not_keep_its_run_from_ending() {
    for library in ["faults/fork.c", "faults/daemon.c"] {
        let place = Place::new(library);
        place.input(&lines(10, &[3, 7]));
        place.pipeline(FILTER);
        place.run().end().expect(0);
        assert_eq!(place.out(), lines(10, &[3, 7]), "{library}");
        if library == "faults/fork.c" {
            until("the forked processes to be killed with the plugin's", || left_of(&place) == 0);
        }
    }
}

/// The same when the plugin's process crashes after it forked: it is restarted at once.
#[test]
fn crash_of_a_process_that_forked_is_noticed_at_once() {
    let place = Place::new("faults/fork.c");
    place.input(&lines(10, &[3]));
    place.pipeline(&FILTER.replace("/in\"", "/in\"\nfollow = true"));
    let mut running = place.run().start();
    until("what came out", || place.out().len() == 10);
    kill(only_child(&running));
    let mut input = std::fs::OpenOptions::new().append(true).open(place.path("in")).unwrap();
    input.write_all(b"line 10\n").unwrap();
    until("one more line", || place.out().len() == 11);
    running.signal("TERM");
    let ended = running.end().expect(0);
    assert!(ended.stderr.contains("crashed (SIGKILL)"), "{}", ended.stderr);
    until("the forked processes to be killed with the plugin's", || left_of(&place) == 0);
}

#[test]
fn process_gets_neither_signals_nor_secrets_of_the_engine() {
    let place = Place::new("faults/segfault.c");
    place.input(&lines(10, &[]));
    place.pipeline(&FILTER.replace("/in\"", "/in\"\nfollow = true"));
    let running = place.run().env("DATABASE_PASSWORD", "hunter2").env("LANG", "C").start();
    until("what came out", || place.out().len() == 10);
    let child = only_child(&running);
    let environment = std::fs::read(format!("/proc/{child}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(environment.contains("LANG=C") && !environment.contains("hunter2"), "{environment}");
    for signal in ["-TERM", "-INT", "-HUP"] {
        assert!(Command::new("kill").args([signal, &child.to_string()]).status().unwrap().success());
    }
    let mut input = std::fs::OpenOptions::new().append(true).open(place.path("in")).unwrap();
    input.write_all(b"line 10\n").unwrap();
    until("one more line", || place.out().len() == 11);
    assert_eq!(only_child(&running), child, "it is the same process");
}
