//! A terminal that is closed, stopped or not writable, and a log without a reader. Signals work in each case.

use std::io::{PipeReader, PipeWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::signals::{ENDLESS, assert_in_order};
use crate::harness::{LIMIT, root, until};

/// A process in its own terminal, which `script` holds open.
struct InTerminal {
    folder: tempfile::TempDir,
    script: Child,
}

impl InTerminal {
    /// Runs an endless pipeline from a shell. `before` and `after` surround the command, which replaces the shell.
    fn start(before: &str, after: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("p.toml"), ENDLESS.replace("OUT", &at("out"))).unwrap();
        let command = format!(
            "{before} echo $$ > {}; exec {} run {} --data-dir {} {after}",
            at("pid"),
            env!("CARGO_BIN_EXE_tidegate"),
            at("p.toml"),
            at("data"),
        );
        // `nohup` around the tests ignores SIGHUP for the processes that they start, too.
        let script = Command::new("env")
            .args(["--default-signal=HUP", "script", "-q", "-c", &command, "/dev/null"])
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let running = Self { folder, script };
        until("it writes", || running.lines() > 100);
        running
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lines(&self) -> usize {
        read(&self.path("out")).lines().count()
    }

    fn id(&self) -> String {
        read(&self.path("pid")).trim().to_owned()
    }

    /// Closes the terminal, as the end of an `ssh` connection does.
    fn close(&mut self) {
        self.script.kill().unwrap();
        self.script.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.id()]).status().unwrap().success());
    }

    fn is_running(&self) -> bool {
        let state = read(&Path::new("/proc").join(self.id()).join("stat"));
        // An ended process stays a zombie until its parent reaps it.
        !state.is_empty() && !state.contains(") Z ")
    }

    /// Waits for the process to end, and checks that everything read was written.
    fn drained(&self) {
        until("it ends", || !self.is_running());
        assert_in_order(&read(&self.path("out")));
        let position = std::fs::read(self.path("data/p/ticks.position")).unwrap();
        let position = String::from_utf8_lossy(&position).into_owned();
        assert!(position.contains(&format!("\"base\":{}", self.lines())), "{position} {}", self.lines());
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
        if self.is_running() {
            self.signal("KILL");
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn closing_the_terminal_drains() {
    // With the live display on the closed terminal, and with the log elsewhere.
    for log in ["", "2> /dev/null"] {
        let mut running = InTerminal::start("", log);
        running.close();
        running.drained();
    }
}

#[test]
fn signals_work_after_the_terminal_is_gone() {
    for signal in ["TERM", "INT"] {
        // As under `nohup`, so that the process outlives its terminal.
        let mut running = InTerminal::start("trap '' HUP;", "");
        running.close();
        let before = running.lines();
        // Hundreds of writes of the live display and the log fail in this time.
        until("it runs on", || running.lines() > before + 1000);
        running.signal(signal);
        running.drained();
    }
}

#[test]
fn hangup_reloads_with_and_without_a_terminal() {
    let mut running = InTerminal::start("trap '' HUP;", "2> /dev/null");
    let pipeline = running.path("p.toml");
    let into = |name: &str| {
        let out = running.path(name).display().to_string();
        std::fs::write(&pipeline, ENDLESS.replace("OUT", &out)).unwrap();
        running.signal("HUP");
        until("it writes elsewhere", || !read(&running.path(name)).is_empty());
    };
    into("second");
    let second = running.path("second");
    running.close();
    let before = read(&second).lines().count();
    until("it runs on", || read(&second).lines().count() > before + 100);
    let third = running.path("third");
    std::fs::write(&pipeline, ENDLESS.replace("OUT", &third.display().to_string())).unwrap();
    running.signal("HUP");
    until("it writes elsewhere", || !read(&third).is_empty());
    running.signal("TERM");
    until("it ends", || !running.is_running());
}

#[test]
fn writing_to_the_terminal_from_the_background_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let pipeline = "[source.lines]\nplugin = \"generate\"\nline = \"x\"\ncount = 1000\n[sink.out]\nplugin = \"file\"\npath = \"OUT\"\n";
    std::fs::write(at("p.toml"), pipeline.replace("OUT", &at("out"))).unwrap();
    let command = format!(
        "set -m; stty tostop; {} run {} --data-dir {} & wait $!; echo $? > {}",
        env!("CARGO_BIN_EXE_tidegate"),
        at("p.toml"),
        at("data"),
        at("code"),
    );
    let mut script = Command::new("script")
        .args(["-q", "-c", &command, "/dev/null"])
        .env("SHELL", "/bin/bash")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("it is over", || !read(Path::new(&at("code"))).is_empty());
    script.kill().unwrap();
    script.wait().unwrap();
    assert_eq!(read(Path::new(&at("code"))).trim(), "0");
    assert_eq!(read(Path::new(&at("out"))).lines().count(), 1000);
}

#[test]
fn log_without_a_reader_blocks_neither_pipelines_nor_signals() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("p.toml"), ENDLESS.replace("OUT", &at("out").display().to_string())).unwrap();
    let (reader, writer) = full_pipe();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("run")
        .arg(at("p.toml"))
        .arg("--data-dir")
        .arg(at("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer)
        .spawn()
        .unwrap();
    let lines = || read(&at("out")).lines().count();
    until("it works", || lines() > 500);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(0));
    drop(reader);
}

/// A full pipe. Its writer blocks, as an inherited pipe does.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}
