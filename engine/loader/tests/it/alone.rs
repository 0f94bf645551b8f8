use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::world::{World, host, rust};

fn alone(arguments: &[&str]) -> Output {
    Command::new(host()).args(arguments).output().unwrap()
}

/// The growth of the process in bytes over this many instances.
fn grown(library: &Path, plugin: &str, options: &str, count: &str) -> usize {
    let done = alone(&["cycles", library.to_str().unwrap(), plugin, options, count]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().parse().unwrap()
}

/// A hundred bytes for each instance that is not freed whole.
const FLAT: usize = 1 << 20;

#[test]
fn ten_thousand_instances_leave_memory_flat() {
    let world = World::new();
    let c = world.c("plugins/grep.c", &[]);
    for (library, plugin, options) in [
        (c.clone(), "grep_c", r#"{"text":"x"}"#),
        (world.c("plugins/count.c", &[]), "count_c", r#"{"count":1}"#),
        // Its calls may block, so each instance has a thread.
        (world.c("plugins/append.c", &[]), "append_c", r#"{"path":"/dev/null"}"#),
        (rust(), "rust_source", "{}"),
        (rust(), "rust_filter", "{}"),
        (rust(), "rust_waiting", "{}"),
        (rust(), "rust_sink", "{}"),
    ] {
        let grown = grown(&library, plugin, options, "10000");
        assert!(grown < FLAT, "{plugin}: 10,000 instances leave {grown} bytes");
    }
}

/// So that the test above can fail.
#[test]
fn an_instance_that_is_not_freed_is_noticed() {
    let world = World::new();
    let leaking = world.c("evil/entry.c", &[]);
    let grown = grown(&leaking, "filter", r#"{"way":"keep"}"#, "10000");
    assert!(grown > FLAT, "{grown}");
}

/// Guards against unloading a library: what it has left on a thread is ended with its code, and its code has to be there.
#[test]
fn a_library_that_left_something_on_a_thread_stays() {
    let library = rust();
    let library = library.to_str().unwrap();
    let kept = alone(&["keep", library]);
    assert_eq!((kept.status.code(), &kept.stdout[..]), (Some(0), &b"1\n"[..]));
    // This is what becomes of a process that takes it out.
    let unloaded = alone(&["unload", library]);
    assert_eq!(unloaded.status.signal(), Some(11), "{unloaded:?}");
}
