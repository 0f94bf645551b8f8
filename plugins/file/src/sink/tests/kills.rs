//! A process that commits, killed at random times and at each of its system calls, and with failures of the disk.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::stream::{Driver, FILES, options, problem};

/// Variable with the task of the child: `FOLDER|VARIANT|EVENTS`.
const TASK: &str = "TIDEGATE_FILE_TEST_TASK";
const CHILD: &str = "sink::tests::kills::the_child_that_commits";
const KILL: i32 = 9;

/// Child process of the other tests. Without their variable it does nothing.
#[tokio::test]
async fn the_child_that_commits() {
    let Ok(task) = std::env::var(TASK) else { return };
    let parts: Vec<&str> = task.split('|').collect();
    let events: u64 = parts[2].parse().unwrap();
    let mut driver = loop {
        match Driver::start(&options(Path::new(parts[0]), parts[1])).await {
            Ok(driver) => break driver,
            Err(error) => assert_ne!(error.class(), tidegate_sdk::Class::Fatal, "{error}"),
        }
    };
    while driver.next < events {
        driver.commit(1 + driver.next % 23).await;
    }
}

fn child(folder: &Path, variant: &str, events: u64, trace: &[String]) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command = match trace {
        [] => Command::new(this),
        _ => {
            let mut command = Command::new("strace");
            command.args(["-f", "-qq", "-o", "/dev/null"]).args(trace).arg(this);
            command
        }
    };
    command.args([CHILD, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(TASK, format!("{}|{variant}|{events}", folder.display()));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Compares the files with the ledger. Returns the number of committed events.
async fn check(folder: &Path, variant: &str) -> u64 {
    let driver = Driver::start(&options(folder, variant)).await.unwrap();
    let problem = problem(folder, variant, driver.next);
    assert!(problem.is_none(), "{}", problem.unwrap_or_default());
    driver.next
}

async fn survives_kills(variant: &str, kills: u32) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for kill in 0..kills {
        let mut child = child(folder.path(), variant, u64::MAX, &[]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(random.next_u32() % 40_000)));
        child.kill().unwrap();
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.signal(), Some(KILL), "kill {kill} of {variant}: {said}");
        if kill % 10 == 0 {
            check(folder.path(), variant).await;
        }
    }
    let done = check(folder.path(), variant).await;
    assert!(done > u64::from(kills), "only {done} events were committed");
}

#[tokio::test]
async fn a_plain_file_survives_kills() {
    survives_kills("plain", 100).await;
}

#[tokio::test]
async fn sealed_files_survive_kills() {
    survives_kills("rotated", 100).await;
}

#[tokio::test]
async fn files_of_a_template_survive_kills() {
    survives_kills("template", 50).await;
}

#[tokio::test]
async fn compressed_files_survive_kills() {
    survives_kills("zstd", 25).await;
    survives_kills("gzip", 25).await;
}

#[tokio::test]
async fn every_system_call_of_a_commit_may_be_the_last() {
    tidegate_servers::require!(Trace);
    for variant in ["plain", "rotated", "template"] {
        let folder = tempfile::tempdir().unwrap();
        let mut done = 0;
        for (call, times) in
            [("write", 4), ("pwrite64", 4), ("fdatasync", 8), ("rename", 4), ("fsync", 4), ("ftruncate", 1)]
        {
            for time in 1..=times {
                let trace = [format!("-einject={call}:signal=KILL:when={time}")];
                let ended = child(folder.path(), variant, done + 300, &trace).output().unwrap();
                let said = String::from_utf8_lossy(&ended.stderr).into_owned();
                // It may be done before the call comes up that often.
                let expected = ended.status.success() || ended.status.signal() == Some(KILL);
                assert!(expected, "{call} {time} of {variant}: {said}");
                done = check(folder.path(), variant).await;
            }
        }
        assert!(done > 0, "something was committed");
    }
}

fn data_files(folder: &Path) -> impl Iterator<Item = String> {
    let folder = folder.display().to_string();
    let names = (0..FILES).map(|file| format!("{file}/out.jsonl")).chain(["out.jsonl".to_owned()]);
    names.map(move |name| format!("{folder}/{name}"))
}

#[tokio::test]
async fn failures_of_the_disk_are_taken_back_and_tried_again() {
    tidegate_servers::require!(Trace);
    for variant in ["plain", "rotated", "template"] {
        let folder = tempfile::tempdir().unwrap();
        let mut done = 0;
        for (call, error) in [
            ("fdatasync", "EIO"),
            ("write", "ENOSPC"),
            ("pwrite64", "ENOSPC"),
            ("rename", "EIO"),
            ("fsync", "EIO"),
            ("ftruncate", "EIO"),
        ] {
            // Farther apart than the calls of one commit, so that some commit goes through.
            for when in ["2+17", "3+23"] {
                let mut trace = vec![format!("-einject={call}:error={error}:when={when}")];
                if call == "write" {
                    // The child writes to its standard error too.
                    trace.extend(data_files(folder.path()).map(|path| format!("-P{path}")));
                }
                let ended = child(folder.path(), variant, done + 200, &trace).output().unwrap();
                let said = String::from_utf8_lossy(&ended.stderr).into_owned();
                assert!(ended.status.success(), "{call} {error} {when} of {variant}: {said}");
                let now = check(folder.path(), variant).await;
                assert!(now >= done + 200, "{call} {error} {when} of {variant}");
                done = now;
            }
        }
    }
}
