//! Requirements of tests on the machine, such as the permission to mount a file system.
//!
//! A test that needs one begins with [`require!`](crate::require). Where the machine refuses, the test is skipped: the
//! reason goes to standard error, and to the file that `TIDEGATE_TESTS_SKIPPED` names. `TIDEGATE_TESTS_REQUIRE` turns
//! skips into failures: `all`, or a list such as `trace,mount`.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A permission or tool that some machines do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// `unshare` may create a mount namespace.
    Mount,
    /// `strace` may trace processes and change the results of their system calls.
    Trace,
    /// A file may be given to any group.
    ChangeGroup,
}

/// Ends the test with a recorded skip if the machine does not meet a [`Requirement`].
///
/// ```ignore
/// tidegate_servers::require!(Trace);
/// ```
#[macro_export]
macro_rules! require {
    ($requirement:ident) => {
        if !$crate::machine::meets($crate::machine::Requirement::$requirement) {
            return;
        }
    };
}

/// True if this machine meets `requirement`; otherwise records that the current test is skipped.
///
/// # Panics
/// If the machine does not meet it and `TIDEGATE_TESTS_REQUIRE` asks for it.
pub fn meets(requirement: Requirement) -> bool {
    let reason = match requirement {
        Requirement::Mount if mount_namespace().is_none() => "`unshare` may not create a mount namespace",
        Requirement::Trace if !can_trace() => "`strace` is missing, or may not trace",
        Requirement::ChangeGroup if !can_change_group() => "files may not be given to another group",
        _ => return true,
    };
    let required = std::env::var("TIDEGATE_TESTS_REQUIRE").unwrap_or_default();
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(!requirement.is_in(&required), "{test}: {reason}, and TIDEGATE_TESTS_REQUIRE={required}");
    skip(&format!("{test}: {reason}\n"));
    false
}

impl Requirement {
    /// The name in `TIDEGATE_TESTS_REQUIRE`.
    fn name(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Trace => "trace",
            Self::ChangeGroup => "change-group",
        }
    }

    fn is_in(self, required: &str) -> bool {
        required.split(',').map(str::trim).any(|one| one == "all" || one == self.name())
    }
}

/// The test harness captures `eprintln!` of a test that passes, but not what is written to standard error directly.
fn skip(line: &str) {
    // A closed standard error is no reason to fail the test.
    let _ = write!(std::io::stderr(), "skipped: {line}");
    if let Some(path) = std::env::var_os("TIDEGATE_TESTS_SKIPPED") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.expect("the file that TIDEGATE_TESTS_SKIPPED names can be written");
    }
}

/// Options of `unshare` that create a mount namespace: with a user namespace, or without one for root.
pub fn mount_namespace() -> Option<&'static str> {
    static OPTIONS: OnceLock<Option<&'static str>> = OnceLock::new();
    let works = |options: &&str| {
        let mut unshare = Command::new("unshare");
        unshare.args([options, "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null());
        unshare.status().is_ok_and(|status| status.success())
    };
    *OPTIONS.get_or_init(|| ["-rm", "-m"].into_iter().find(works))
}

/// True if `strace` kills a process at its second call of `chdir`, and not before.
pub fn can_trace() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "--trace=chdir", "--inject=chdir:signal=KILL:when=2"]);
        let output = strace.args(["sh", "-c", "cd / && echo one && cd / && echo two"]).output();
        output.is_ok_and(|output| output.stdout == b"one\n" && !output.status.success())
    })
}

/// True if SIGSTOP has taken effect on this process. A process on another processor runs on for a moment after it is sent.
/// Where the system has no `/proc`, that moment is neglected.
pub fn is_stopped(process: u32) -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
}

fn can_change_group() -> bool {
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be created");
    std::os::unix::fs::chown(file.path(), None, Some(4242)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_matched_by_name() {
        assert!(Requirement::Trace.is_in("all") && Requirement::Trace.is_in("mount, trace"));
        assert!(!Requirement::Trace.is_in("mount") && !Requirement::Trace.is_in(""));
    }

    /// Runs this test binary again with a `PATH` in which no tool is found.
    fn run_without_tools(require: &str, skipped: &std::path::Path) -> std::process::Output {
        let mut again = Command::new(std::env::current_exe().expect("the test binary has a path"));
        again.args(["--exact", "machine::tests::traced_test", "--ignored"]).env("PATH", "/nonexistent");
        again.env("TIDEGATE_TESTS_REQUIRE", require).env("TIDEGATE_TESTS_SKIPPED", skipped);
        again.output().expect("the test binary runs")
    }

    #[test]
    #[ignore = "run by `skips_are_recorded_and_fail_when_required`"]
    fn traced_test() {
        require!(Trace);
    }

    #[test]
    fn skips_are_recorded_and_fail_when_required() {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        let skipped = folder.path().join("skipped");
        let output = run_without_tools("mount", &skipped);
        assert!(output.status.success(), "{output:?}");
        let line = "machine::tests::traced_test: `strace` is missing, or may not trace\n";
        assert_eq!(std::fs::read_to_string(&skipped).expect("the skip is recorded"), line);
        assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("skipped: {line}")), "{output:?}");
        let output = run_without_tools("all", &skipped);
        assert!(!output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("TIDEGATE_TESTS_REQUIRE=all"), "{output:?}");
    }
}
