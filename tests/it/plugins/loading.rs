//! Plugins from shared libraries, built by the C compiler and by cargo.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;
use tidegate_servers::redis::{Redis, Reply};

use crate::harness::{Ended, Tidegate, http, root, until};

/// A folder with libraries, pipelines and their output.
pub(crate) struct World(TempDir);

impl World {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Builds an example of `tests/plugins`, with changes to its source.
    pub(crate) fn c(&self, example: &str, library: &str, changes: &[(&str, &str)]) {
        let source = root().join("tests/plugins").join(format!("{example}.c"));
        let mut text = fs::read_to_string(source).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "`{from}` is in {example}.c");
            text = text.replace(from, to);
        }
        let source = self.path(&format!("{library}.c"));
        fs::write(&source, text).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-std=c99", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-I"]);
        cc.arg(root().join("engine/abi/include")).arg("-o").arg(self.path(library)).arg(source);
        succeed(&mut cc);
    }

    /// Writes a pipeline, in which `DIR` is the folder.
    pub(crate) fn pipeline(&self, text: &str) -> PathBuf {
        let path = self.path("test.toml");
        fs::write(&path, text.replace("DIR", &self.0.path().display().to_string())).unwrap();
        path
    }

    pub(crate) fn run(&self, text: &str) -> Ended {
        Tidegate::run(&[&self.pipeline(text)]).end()
    }

    fn check(&self, text: &str) -> String {
        let path = self.pipeline(text);
        let name = path.file_name().unwrap().to_owned();
        Tidegate::new(&["check"]).arg(name).within(self.0.path()).end().expect(2).stderr
    }
}

pub(crate) fn succeed(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let printed =
        format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?}:\n{printed}");
    printed
}

pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The crates that this repository uses are sufficient.
    cargo.args(["--offline"]).env_remove("RUSTFLAGS");
    cargo
}

/// A built-in crate, built as a library by the command in its manual.
pub(crate) fn built_in(name: &str) -> String {
    static ONE_AT_A_TIME: OnceLock<std::sync::Mutex<()>> = OnceLock::new();
    let _building = ONE_AT_A_TIME.get_or_init(Default::default).lock().unwrap();
    let target = root().join("target/as-libraries");
    let package = format!("tidegate-{name}");
    succeed(
        cargo()
            .current_dir(root())
            .args([
                "rustc",
                "-p",
                &package,
                "--features",
                "library",
                "--crate-type",
                "cdylib",
                "--target-dir",
            ])
            .arg(&target),
    );
    target.join("debug").join(format!("libtidegate_{name}.so")).display().to_string()
}

const GREP: &str = r#"
    [plugins]
    libraries = ["./grep.so"]
    [source.lines]
    plugin = "generate"
    query = '{n: $n, even: ($n % 2 == 0)}'
    count = 6
    [filter.even]
    plugin = "grep_c"
    text = "true"
    [sink.out]
    plugin = "stdout"
"#;

#[test]
fn source_filter_and_sink_in_c() {
    let world = World::new();
    ["count", "grep", "append"].iter().for_each(|name| world.c(name, &format!("{name}.so"), &[]));
    world
        .run(
            r#"
            [plugins]
            libraries = ["./count.so", "./grep.so", "./append.so"]
            [source.numbers]
            plugin = "count_c"
            count = 5000
            [filter.some]
            plugin = "grep_c"
            text = "99"
            workers = 2
            [sink.file]
            plugin = "append_c"
            path = "DIR/out"
            "#,
        )
        .expect(0);
    let expected: String =
        (0..5000).filter(|n| n.to_string().contains("99")).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert_eq!(world.read("out"), expected);
}

#[test]
fn a_library_is_found_by_its_name_and_by_the_command_line() {
    let world = World::new();
    world.c("grep", "libgrep.so", &[]);
    let lines = ["{\"n\":0,\"even\":true}", "{\"n\":2,\"even\":true}", "{\"n\":4,\"even\":true}"];
    let named = world.pipeline(&GREP.replace("./grep.so", "grep"));
    let ended = Tidegate::run(&[&named]).env("TIDEGATE_PLUGIN_PATH", world.0.path()).end().expect(0);
    assert_eq!(ended.lines(), lines);
    let without = world.pipeline(&GREP.replace("libraries = [\"./grep.so\"]", ""));
    let refused = Tidegate::run(&[&without]).end().expect(2);
    assert!(refused.stderr.contains("there is no filter plugin `grep_c`"), "{}", refused.stderr);
    let given = Tidegate::run(&[&without]).arg("--plugin").arg(world.path("libgrep.so")).end().expect(0);
    assert_eq!(given.lines(), lines);
    let manual = Tidegate::new(&["plugins", "show", "grep_c", "--plugin"]).arg(world.path("libgrep.so"));
    assert!(manual.end().expect(0).stdout.contains("The text that an event has to contain."));
    let schema = Tidegate::new(&["schema", "--plugin"]).arg(world.path("libgrep.so")).end().expect(0);
    assert!(schema.stdout.contains("\"filter.grep_c\""));
}

#[test]
fn resources_and_warnings_of_libraries_are_compared_and_shown() {
    let world = World::new();
    world.c("append", "append.so", &[]);
    for isolation in ["inline", "thread", "process"] {
        let sink = |name: &str, path: &str| {
            format!(
                "[sink.{name}]\nplugin = \"append_c\"\nfrom = \"in\"\nisolation = \"{isolation}\"\npath = \"{path}\"\n"
            )
        };
        let head =
            "[plugins]\nlibraries = [\"./append.so\"]\n[source.in]\nplugin = \"generate\"\nline = \"x\"\n";
        let built_in = "[sink.third]\nplugin = \"file\"\nfrom = \"in\"\npath = \"here/out\"\n";
        let shown = world.check(&format!(
            "{head}{}{}{built_in}",
            sink("one", "here/out"),
            sink("two", "./here/../here/out")
        ));
        for (name, place) in [("two", "test.toml:15:8"), ("third", "test.toml:19:8")] {
            let expected = format!("`{name}` cannot have the file here/out: `one` has it");
            assert!(shown.contains(&expected) && shown.contains(place), "{isolation}: {shown}");
        }
        let doubtful = world.pipeline(&format!("{head}{}", sink("one", "/tmp/out")));
        let shown = Tidegate::new(&["check"]).arg(doubtful).end().expect(0).stderr;
        assert!(
            shown.contains("warning[doubtful-option]: `/tmp` is emptied when the machine starts"),
            "{shown}"
        );
        assert!(shown.contains("test.toml:10:9") && shown.contains("^^^^ choose another folder"), "{shown}");
    }
}

#[test]
fn wrong_options_are_reported_like_those_of_a_built_in_plugin() {
    let world = World::new();
    world.c("grep", "grep.so", &[]);
    let misspelt = world.check(&GREP.replace("text =", "texd ="));
    assert!(misspelt.contains("`texd` is not an option of the filter plugin `grep_c`"), "{misspelt}");
    assert!(misspelt.contains("--> test.toml:10:5"), "{misspelt}");
    assert!(misspelt.contains("^^^^ did you mean `text`?"), "{misspelt}");
    let empty = world.check(&GREP.replace("\"true\"", "\"\""));
    assert!(empty.contains("error[bad-option]: an empty text is in every event"), "{empty}");
    assert!(empty.contains("--> test.toml:10:12"), "{empty}");
    let kind = world.check(&GREP.replace("\"true\"", "7"));
    assert!(kind.contains("error[wrong-type]"), "{kind}");
}

#[test]
fn unsound_library_is_refused_before_anything_starts() {
    let world = World::new();
    world.c("grep", "grep.so", &[]);
    fs::write(world.path("text.so"), "hello").unwrap();
    let cases = [
        ("./text.so", "is not a shared library"),
        ("./none.so", "is not there: build it first, or mend the path"),
        ("none", "has no `/`, and TIDEGATE_PLUGIN_PATH names no folder to search"),
    ];
    for (name, expected) in cases {
        let ended = world.run(&GREP.replace("./grep.so", name)).expect(2);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
        assert!(ended.stderr.contains("error[library]"), "{}", ended.stderr);
        assert!(ended.stdout.is_empty());
    }
    let hashed = GREP.replace("\"./grep.so\"", "{ path = \"./grep.so\", sha256 = \"00ff\" }");
    let printed = world.run(&hashed).expect(2).stderr;
    assert!(printed.contains("its sha256 is"), "{printed}");
    let sum = printed.split("its sha256 is ").nth(1).unwrap().split(',').next().unwrap();
    assert_eq!(world.run(&hashed.replace("00ff", sum)).expect(0).lines().len(), 3);
}

#[test]
fn library_that_crashes_when_loaded_does_not_crash_the_engine() {
    let world = World::new();
    let crash = "__attribute__((constructor)) static void crash(void) { *(volatile int *)0 = 1; }\n\
                 static const tg_component *const components";
    world.c("grep", "grep.so", &[("static const tg_component *const components", crash)]);
    let printed = world.run(GREP).expect(2).stderr;
    assert!(printed.contains("crashes (SIGSEGV) when it is loaded, so it is not"), "{printed}");
    world.c(
        "grep",
        "grep.so",
        &[(
            "static const tg_component *const components",
            &crash.replace("*(volatile int *)0 = 1", "exit(7)"),
        )],
    );
    let printed = world.run(GREP).expect(2).stderr;
    assert!(printed.contains("calls exit(7) when it is loaded, so it is not"), "{printed}");
}

/// Guards against rejecting the current events if an instance breaks before it has seen them.
#[test]
fn an_instance_that_dies_as_it_opens_costs_no_event() {
    let world = World::new();
    let mark =
        "char mark[512]; snprintf(mark, sizeof mark, \"%s.mark\", a->path); FILE *m = fopen(mark, \"r+\");";
    let dies_five_times = format!(
        "{mark} if (m) {{ fseek(m, 0, SEEK_END); if (ftell(m) < 5) {{ fputc('x', m); fclose(m); abort(); }} fclose(m); }}\n    \
         if (!a->file) a->file = fopen"
    );
    let dies_once = format!(
        "{mark} if (!m) {{ fclose(fopen(mark, \"w\")); abort(); }} fclose(m);\n    for (uint32_t i = 0, len; i < in->n;"
    );
    let changes = [
        ("if (!a->file) a->file = fopen", dies_five_times.as_str()),
        ("for (uint32_t i = 0, len; i < in->n;", &dies_once),
    ];
    world.c("append", "append.so", &changes);
    let ended = world.run(
        r#"
        [plugins]
        libraries = ["./append.so"]
        [source.numbers]
        plugin = "generate"
        query = "$n"
        count = 4
        [sink.file]
        plugin = "append_c"
        path = "DIR/out"
        isolation = "process"
        "#,
    );
    let ended = ended.expect(0);
    assert_eq!(world.read("out"), "0\n1\n2\n3\n", "{}", ended.stderr);
    assert!(ended.stderr.contains("the plugin crashed (SIGABRT) while it opened"), "{}", ended.stderr);
}

#[test]
fn new_projects_in_c_build_and_their_tests_pass() {
    let world = World::new();
    for kind in ["source", "filter", "sink"] {
        let name = format!("my-{kind}");
        let new = Tidegate::new(&["new", "plugin", &name, "--kind", kind, "--lang", "c"]);
        new.within(world.0.path()).end().expect(0);
        let project = world.path(&name);
        let binary = format!("TIDEGATE={}", env!("CARGO_BIN_EXE_tidegate"));
        let printed = succeed(Command::new("make").arg("-C").arg(&project).arg("test").arg(binary));
        assert!(printed.contains("every rule holds") && !printed.contains("skipped"), "{printed}");
        let data = world.path("data");
        Tidegate::new(&["run", "try.toml", "--data-dir"]).arg(data).within(&project).end().expect(0);
    }
    assert_eq!(world.read("my-sink/out.txt").lines().count() % 10, 0);
    let again = Tidegate::new(&["new", "plugin", "my-sink", "--kind", "sink"]).within(world.0.path()).end();
    assert!(again.expect(2).stderr.contains("exists already"));
}

#[test]
fn new_projects_in_rust_build_and_their_tests_pass() {
    let world = World::new();
    let target = root().join("target/new-plugins");
    for kind in ["source", "filter", "sink"] {
        let name = format!("my-rust-{kind}");
        let new = Tidegate::new(&["new", "plugin", &name, "--kind", kind]);
        new.within(world.0.path()).end().expect(0);
        let project = world.path(&name);
        fs::copy(root().join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
        let printed = succeed(cargo().current_dir(&project).arg("test").arg("--target-dir").arg(&target));
        assert!(printed.contains("1 passed"), "{printed}");
        let library = target.join("debug").join(format!("lib{}.so", name.replace('-', "_")));
        let pipeline = fs::read_to_string(project.join("try.toml")).unwrap();
        let start = pipeline.find("./target").unwrap();
        let end = start + pipeline[start..].find('"').unwrap();
        let pipeline = pipeline.replace(&pipeline[start..end], &library.display().to_string());
        fs::write(project.join("try.toml"), pipeline).unwrap();
        succeed(cargo().current_dir(&project).args(["build", "--target-dir"]).arg(&target));
        let check = Tidegate::new(&["plugins", "check", "--pipeline", "try.toml"]).arg(&library);
        let printed = check.within(&project).end().expect(0).stdout;
        assert!(printed.contains("every rule holds") && !printed.contains("skipped"), "{printed}");
        let data = world.path("data");
        Tidegate::new(&["run", "try.toml", "--data-dir"]).arg(data).within(&project).end().expect(0);
    }
}

#[test]
fn the_verdict_names_the_rule_that_is_broken() {
    let world = World::new();
    let verdict = |changes: &[(&str, &str)]| {
        world.c("grep", "grep.so", changes);
        Tidegate::new(&["plugins", "check", "./grep.so"]).within(world.0.path()).end().expect(1).stdout
    };
    let undescribed = verdict(&[(
        "\"description\\\":\\\"The text that an event has to contain.\\\"",
        "\"title\\\":\\\"x\\\"",
    )]);
    assert!(undescribed.contains("breaks the rule \"every option is described\": text"), "{undescribed}");
    let crashing = verdict(&[("port[i] = memmem", "if (len == 0) abort(); port[i] = memmem")]);
    assert!(crashing.contains("the library crashes (SIGABRT)"), "{crashing}");
    assert!(crashing.contains("broken   any event is"), "{crashing}");
    let leaking = verdict(&[
        (".destroy = free", ".destroy = keep"),
        (
            "static const tg_base",
            "static void keep(void *self) { char *p = malloc(9999); memset(p, 1, 9999); (void)self; }\nstatic const tg_base",
        ),
    ]);
    assert!(leaking.contains("is everything freed in"), "{leaking}");
    let wild = verdict(&[("port[i] = memmem", "port[i] = 7; if (0) port[i] = memmem")]);
    assert!(wild.contains("the plugin broke the contract: there is no output 7 of 1"), "{wild}");
}

#[test]
fn built_in_plugins_as_libraries_do_the_same() {
    let world = World::new();
    let libraries: Vec<String> = ["file", "jq", "redis", "http"].into_iter().map(built_in).collect();
    let redis = Redis::start();
    let lines: String = (0..3000)
        .map(|n| format!("{{\"n\":{n},\"status\":\"{}\"}}\n", if n % 3 == 0 { "active" } else { "gone" }))
        .collect();
    fs::write(world.path("in"), lines).unwrap();
    let pipeline = format!(
        r#"
        [plugins]
        libraries = {libraries:?}
        [pipeline]
        delivery = "effectively_once"
        [source.in]
        plugin = "file"
        path = "DIR/in"
        [filter.active]
        plugin = "jq"
        query = 'select(.status == "active") | {{n}}'
        [sink.list]
        plugin = "redis"
        url = "{}"
        command = "rpush"
        key = "list"
        [sink.copy]
        plugin = "file"
        from = "active"
        path = "DIR/out"
        "#,
        redis.url()
    );
    let ended = world.run(&pipeline).expect(0);
    assert!(ended.stderr.contains("in -> list: effectively once"), "{}", ended.stderr);
    let expected: Vec<String> = (0..3000).step_by(3).map(|n| format!("{{\"n\":{n}}}")).collect();
    let Reply::List(list) = redis.query(["LRANGE", "list", "0", "-1"]) else { panic!("it is a list") };
    assert_eq!(list.len(), expected.len());
    assert!(list.iter().zip(&expected).all(|(found, event)| *found == Reply::Text(event.clone())));
    assert_eq!(world.read("out").lines().collect::<Vec<_>>(), expected);
    // The same conformance suite as for built-in plugins, through the C ABI.
    let tried =
        world.pipeline(&pipeline.replace("effectively_once", "at_least_once").replace("/out", "/tried"));
    for library in &libraries {
        let check = Tidegate::new(&["plugins", "check", library, "--pipeline"]).arg(&tried);
        let printed = check.end().expect(0).stdout;
        assert!(printed.contains("every rule holds"), "{printed}");
    }
}

#[test]
fn response_passes_through_libraries_back_to_the_request() {
    let world = World::new();
    let libraries = [built_in("http"), built_in("jq")];
    let text = format!(
        r#"
        [plugins]
        libraries = {libraries:?}
        [source.api]
        plugin = "http_server"
        listen = "127.0.0.1:0"
        path = "/users"
        respond = "result"
        [filter.active]
        plugin = "jq"
        query = 'select(.status == "active") | {{name, age}}'
        [sink.answer]
        plugin = "http_response"
        "#
    );
    let mut running = Tidegate::run(&[&world.pipeline(&text)]).start();
    let address = running.address("listening");
    let users = br#"[{"name":"Ada","age":36,"status":"active"},{"name":"Bob","age":1,"status":"gone"}]"#;
    let answer = http(address, "POST /users", "application/json", users);
    assert_eq!((answer.status, answer.body.trim()), (200, r#"[{"name":"Ada","age":36}]"#));
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn a_reload_takes_up_a_new_version_of_a_library() {
    let world = World::new();
    world.c("grep", "grep.so", &[]);
    let text = GREP
        .replace("count = 6", "rate = 500")
        .replace("plugin = \"stdout\"", "plugin = \"file\"\npath = \"DIR/out\"");
    let mut running = Tidegate::run(&[&world.pipeline(&text)]).arg("--admin").arg("127.0.0.1:0").start();
    let admin = running.address("admin");
    until("the first version works", || world.read("out").lines().count() > 10);
    // The new version keeps the other events. The file is overwritten while its code runs.
    world.c("grep", "grep.so", &[("? 0 : TG_PORT_DROP", "? TG_PORT_DROP : 0"), ("1.0.0", "1.1.0")]);
    running.signal("HUP");
    running.wait_for("reloaded: 1 changed, 0 added, 0 removed, 0 untouched");
    until("the second version works", || world.read("out").contains("false"));
    let metrics = http(admin, "GET /metrics", "", b"").body;
    assert!(metrics.contains("\ntidegate_resident_libraries 2\n"), "{metrics}");
    running.signal("HUP");
    running.wait_for("reloaded: 0 changed, 0 added, 0 removed, 1 untouched");
    running.signal("TERM");
    running.end().expect(0);
    // No event is lost or duplicated at the replacement.
    let numbers: Vec<u64> = world
        .read("out")
        .lines()
        .map(|line| line.trim_start_matches("{\"n\":").split(',').next().unwrap().parse().unwrap())
        .collect();
    let odd = numbers.iter().position(|n| n % 2 == 1).unwrap();
    assert!(numbers[..odd].iter().enumerate().all(|(at, n)| *n == 2 * at as u64), "{:?}", &numbers[..odd]);
    assert!(numbers[odd..].windows(2).all(|pair| pair[1] == pair[0] + 2), "{:?}", &numbers[odd..]);
}
