//! State of filters across reloads, built in and from libraries.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::{Running, Tidegate, http, until};
use crate::plugins::loading::{World, built_in};

/// A pipeline from a growing file through a filter to a file.
fn pipeline(head: &str, filter: &str) -> String {
    format!(
        "{head}\n[source.lines]\nplugin = \"file\"\npath = \"DIR/in\"\nfollow = true\n\
         [filter.one]\n{filter}\n[sink.out]\nplugin = \"file\"\npath = \"DIR/out\"\n"
    )
}

fn append(world: &World, text: &str) {
    let mut input = OpenOptions::new().append(true).create(true).open(world.path("in")).unwrap();
    input.write_all(text.as_bytes()).unwrap();
}

/// Sends SIGHUP and waits until this reload is done.
fn reload(running: &Running, number: usize) {
    running.signal("HUP");
    let printed = running.wait_for_nth(number, "reloaded: ");
    assert!(printed.ends_with("reloaded: 1 changed, 0 added, 0 removed, 0 untouched"), "{printed}");
}

#[test]
fn state_of_dedupe_survives_reloads() {
    let world = World::new();
    let dedupe = |options: &str| pipeline("", &format!("plugin = \"dedupe\"\n{options}"));
    append(&world, "{\"id\":1}\n{\"id\":2}\n");
    let mut running = Tidegate::run(&[&world.pipeline(&dedupe("key = \".id\""))]).start();
    until("the first events", || world.read("out").lines().count() == 2);
    world.pipeline(&dedupe("key = \".id\"\nevents = 50"));
    reload(&running, 1);
    append(&world, "{\"id\":2}\n{\"id\":3}\n{\"id\":1}\n");
    until("the third event", || world.read("out").contains('3'));
    // Another key makes the state useless.
    world.pipeline(&dedupe("key = \".nr\""));
    reload(&running, 2);
    let printed = running.wait_for("the state from before the reload cannot be restored");
    assert!(printed.contains("its key is the value at `.id`, and now it is the value at `.nr`"), "{printed}");
    append(&world, "{\"id\":1,\"nr\":1}\n");
    until("the last event", || world.read("out").contains("nr"));
    running.signal("TERM");
    running.end().expect(0);
    assert_eq!(world.read("out"), "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n{\"id\":1,\"nr\":1}\n");
}

#[test]
fn state_of_dedupe_passes_from_library_to_library() {
    let world = World::new();
    let library = built_in("flow");
    let built_in = pipeline("", "plugin = \"dedupe\"");
    let head = format!("[plugins]\nlibraries = [{library:?}]");
    let at = |isolation: &str| pipeline(&head, &format!("plugin = \"dedupe\"\nisolation = \"{isolation}\""));
    append(&world, "a\n");
    let mut running = Tidegate::run(&[&world.pipeline(&built_in)]).start();
    until("the first event", || world.read("out") == "a\n");
    let ways = [at("inline"), at("process"), at("thread"), at("process"), built_in, at("inline")];
    for (number, way) in ways.iter().enumerate() {
        world.pipeline(way);
        reload(&running, number + 1);
        // Every value from before, and a new one.
        let seen: String = (0..number).map(|number| format!("{number}\n")).collect();
        append(&world, &format!("a\n{seen}{number}\n"));
        until("the new event", || world.read("out").lines().count() >= number + 2);
    }
    running.signal("TERM");
    let ended = running.end().expect(0);
    assert_eq!(world.read("out"), "a\n0\n1\n2\n3\n4\n5\n", "{}", ended.stderr);
}

/// Replaces a library that numbers the lines of a growing file `reloads` times. Each line must be numbered once, in order.
fn replaced_under_load(reloads: usize, isolation: &str) {
    let world = World::new();
    world.c("number", "number.so", &[]);
    let built = fs::read(world.path("number.so")).unwrap();
    let filter = format!("plugin = \"number_c\"\nisolation = \"{isolation}\"");
    let text = pipeline("[plugins]\nlibraries = [\"./number.so\"]", &filter);
    append(&world, "");
    let over = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (over, path) = (Arc::clone(&over), world.path("in"));
        move || {
            let (mut input, mut written) = (OpenOptions::new().append(true).open(path).unwrap(), 0);
            while !over.load(Ordering::Relaxed) {
                let lines: String = (written..written + 200).map(|number| format!("{number}\n")).collect();
                input.write_all(lines.as_bytes()).unwrap();
                written += 200;
                std::thread::sleep(Duration::from_millis(5));
            }
            written
        }
    });
    let mut running = Tidegate::run(&[&world.pipeline(&text)]).arg("--admin").arg("127.0.0.1:0").start();
    let admin = running.address("admin");
    let size = || fs::metadata(world.path("out")).map_or(0, |known| known.len());
    for number in 1..=reloads {
        let before = size();
        until("it goes on", || size() > before);
        // Bytes after the end of a library have no meaning, but change its hash.
        let version = [&built[..], format!("version {number}").as_bytes()].concat();
        fs::write(world.path("next.so"), version).unwrap();
        fs::rename(world.path("next.so"), world.path("number.so")).unwrap();
        reload(&running, number);
    }
    let metrics = http(admin, "GET /metrics", "", b"").body;
    let resident = if isolation == "process" { 0 } else { reloads + 1 };
    assert!(metrics.contains(&format!("\ntidegate_resident_libraries {resident}\n")), "{metrics}");
    over.store(true, Ordering::Relaxed);
    let written: usize = writer.join().unwrap();
    until("everything is there", || world.read("out").lines().count() >= written);
    running.signal("TERM");
    let ended = running.end().expect(0);
    let expected = (0..written).map(|number| format!("{number} {number}"));
    let first_wrong = world.read("out").lines().map(str::to_owned).zip(expected).find(|(is, be)| is != be);
    assert_eq!(first_wrong, None, "{}", ended.stderr);
    assert_eq!(world.read("out").lines().count(), written);
}

#[test]
fn reloads_of_a_library_under_load_neither_lose_nor_duplicate_and_keep_the_count() {
    replaced_under_load(25, "inline");
}

/// `./tests/run hundred_reloads_of_a_library_under -- --ignored` runs it.
#[test]
#[ignore = "a campaign of half a minute for each isolation"]
fn hundred_reloads_of_a_library_under_load() {
    for isolation in ["inline", "thread", "process"] {
        replaced_under_load(100, isolation);
    }
}

#[test]
fn reloads_of_a_library_in_a_process_keep_the_count() {
    replaced_under_load(10, "process");
}

#[test]
fn another_version_of_a_library_takes_the_state_or_says_why_not() {
    let world = World::new();
    world.c("number", "number.so", &[]);
    let text = pipeline("[plugins]\nlibraries = [\"./number.so\"]", "plugin = \"number_c\"");
    append(&world, "a\n");
    let mut running = Tidegate::run(&[&world.pipeline(&text)]).start();
    until("the first event", || world.read("out") == "0 a\n");
    world.c("number", "number.so", &[("1.0.0", "1.1.0"), ("\"%\" PRIu64 \" \"", "\"#%\" PRIu64 \" \"")]);
    reload(&running, 1);
    append(&world, "b\n");
    until("the second event", || world.read("out") == "0 a\n#1 b\n");
    // This version has another format of its state, and starts from scratch.
    world.c("number", "number.so", &[("\"1 %\" PRIu64", "\"2 %\" PRIu64"), ("\"1 \", 2", "\"2 \", 2")]);
    reload(&running, 2);
    let printed = running.wait_for("the state from before the reload cannot be restored");
    assert!(printed.contains("it is not a count of version 1; it starts without state"), "{printed}");
    append(&world, "c\n");
    until("the third event", || world.read("out") == "0 a\n#1 b\n0 c\n");
    running.signal("TERM");
    running.end().expect(0);
}

/// Only the state is lost.
#[test]
fn library_that_breaks_while_saving_state_costs_no_event() {
    let (save, restore) = ("    int len = snprintf(", "    memcpy(text, saved.p, saved.n);");
    let dies = |place: &str| (place.to_owned(), format!("    abort();\n{place}"));
    let puts = |what: &str| (save.to_owned(), format!("    {what}\n{save}"));
    let too_much = "static const uint8_t part[1 << 20]; for (int i = 0; i < 65; i++) to->put(to, (tg_buf){ part, sizeof part });";
    let ways = [
        (dies(save), "process", "its state is not kept over the reload: the plugin crashed (SIGABRT)"),
        (
            dies(restore),
            "process",
            "the state from before the reload cannot be restored: the plugin crashed (SIGABRT)",
        ),
        (puts(too_much), "inline", "its state is not kept over the reload: the count cannot be saved"),
        (puts(too_much), "process", "its state is not kept over the reload: the count cannot be saved"),
        (
            puts("to->put(to, (tg_buf){ NULL, 5 });"),
            "inline",
            "its state is not kept over the reload: the plugin broke the contract: 5 bytes at once are not a part of a state",
        ),
    ];
    for ((from, to), isolation, said) in &ways {
        let (world, mut running) = numbered_twice(&[(from, to)], isolation);
        running.wait_for(said);
        until("the second event", || world.read("out") == "0 a\n0 b\n");
        running.signal("TERM");
        running.end().expect(0);
    }
}

#[test]
fn state_may_be_long() {
    let changes = [
        (
            "    int len = snprintf(text, sizeof text, \"1 %",
            "    int len = snprintf(text, sizeof text, \"1 %029",
        ),
        ("    if (to->put(", "    static const uint8_t part[1 << 20];\n    if (to->put("),
        (
            "(uint64_t)len }) == TG_OK) return TG_OK;",
            "31 }) == TG_OK) { for (int i = 0; i < 63; i++) to->put(to, (tg_buf){ part, sizeof part }); return len < 0; }",
        ),
        ("saved.n < 3 || saved.n >= sizeof text", "saved.n != (63u << 20) + 31"),
        ("memcpy(text, saved.p, saved.n)", "memcpy(text, saved.p, 31)"),
    ];
    for isolation in ["inline", "process"] {
        let (world, mut running) = numbered_twice(&changes, isolation);
        until("the second event", || world.read("out") == "0 a\n1 b\n");
        running.signal("TERM");
        running.end().expect(0);
    }
}

/// The numbering filter with these changes, for an event before a reload and one after it.
fn numbered_twice(changes: &[(&str, &str)], isolation: &str) -> (World, Running) {
    let world = World::new();
    world.c("number", "number.so", changes);
    let text = |batch: usize| {
        let head = format!("[plugins]\nlibraries = [\"./number.so\"]\n[pipeline]\nmemory = \"{batch}MiB\"");
        pipeline(&head, &format!("plugin = \"number_c\"\nisolation = \"{isolation}\""))
    };
    append(&world, "a\n");
    let running = Tidegate::run(&[&world.pipeline(&text(100))]).start();
    until("the first event", || world.read("out") == "0 a\n");
    world.pipeline(&text(101));
    reload(&running, 1);
    append(&world, "b\n");
    (world, running)
}
