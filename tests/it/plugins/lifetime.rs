//! Many reloads of a library, and a library whose panics abort.

use std::fs;

use crate::harness::{Tidegate, http, root, until};
use crate::plugins::loading::{World, cargo, succeed};

/// Each reload replaces the instance of the library, whose code stays the same. Nothing is lost or duplicated, no code is
/// loaded twice, and no memory leaks.
#[test]
fn hundred_reloads_of_a_library_lose_nothing_and_leak_nothing() {
    const RELOADS: usize = 100;
    let world = World::new();
    world.c("grep", "grep.so", &[]);
    let text = |keep: &str| {
        let pipeline = r#"
            [plugins]
            libraries = ["./grep.so"]
            [source.lines]
            plugin = "generate"
            query = '{n: $n}'
            rate = 2000
            [filter.all]
            plugin = "grep_c"
            text = "KEEP"
            [sink.out]
            plugin = "file"
            path = "DIR/out"
            "#;
        world.pipeline(&pipeline.replace("KEEP", keep))
    };
    let mut running = Tidegate::run(&[&text("n")]).arg("--admin").arg("127.0.0.1:0").start();
    let admin = running.address("admin");
    let events = || world.read("out").lines().count();
    until("the first events", || events() > 0);
    let mut memory = 0;
    for number in 1..=RELOADS {
        // Both options keep every event, and differ.
        text(if number % 2 == 0 { "n" } else { "{" });
        running.signal("HUP");
        running.wait_for_nth(number, "reloaded: 1 changed");
        if number == RELOADS / 2 {
            memory = running.resident();
        }
    }
    let (so_far, grown) = (events(), running.resident().saturating_sub(memory));
    until("events after the last reload", || events() > so_far);
    let metrics = http(admin, "GET /metrics", "", b"").body;
    assert!(metrics.contains("\ntidegate_resident_libraries 1\n"), "{metrics}");
    running.signal("TERM");
    running.end().expect(0);
    let numbers = world.read("out");
    assert!(
        numbers.lines().enumerate().all(|(n, line)| line == format!("{{\"n\":{n}}}")),
        "each once, in order"
    );
    assert!(grown < 16 << 20, "fifty reloads leak {grown} bytes");
}

/// Panics of this project of `new plugin` abort and cannot be caught. The table of the library says so, so it runs in a
/// process by default, and a panic costs only the event.
#[test]
fn library_whose_panics_abort_runs_in_a_process() {
    let world = World::new();
    Tidegate::new(&["new", "plugin", "aborts", "--kind", "filter"]).within(&world.path("")).end().expect(0);
    let (project, target) = (world.path("aborts"), root().join("target/new-plugins-abort"));
    fs::copy(root().join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    let add = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(project.join(file)).unwrap();
        assert!(text.contains(from), "`{from}` is in {file}:\n{text}");
        fs::write(project.join(file), text.replacen(from, to, 1)).unwrap();
    };
    add("Cargo.toml", "[dependencies]", "[profile.dev]\npanic = \"abort\"\n\n[dependencies]");
    let looks = "-> Result<(), Error> {\n        assert!(!batch.texts().contains(&\"KILL\".to_owned()), \"this cannot be\");";
    add("src/lib.rs", "-> Result<(), Error> {", looks);
    succeed(cargo().current_dir(&project).args(["build", "--target-dir"]).arg(&target));
    fs::copy(target.join("debug/libaborts.so"), world.path("aborts.so")).unwrap();
    fs::write(world.path("in"), "one\nKILL\ntwo\n").unwrap();
    let ended = world.run(
        r#"
        [plugins]
        libraries = ["./aborts.so"]
        [source.lines]
        plugin = "file"
        path = "DIR/in"
        [filter.some]
        plugin = "aborts"
        text = ""
        [sink.out]
        plugin = "file"
        path = "DIR/out"
        "#,
    );
    let ended = ended.expect(0);
    assert_eq!(world.read("out"), "one\ntwo\n", "{}", ended.stderr);
    assert!(ended.stderr.contains("crashed (SIGABRT)"), "{}", ended.stderr);
    assert!(ended.stderr.contains("this cannot be"), "its last words are in the log: {}", ended.stderr);
}
