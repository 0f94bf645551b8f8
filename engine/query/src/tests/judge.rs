//! jq's own tests, which are in `tests/judges/jq/data` with their licence.

use std::fs;
use std::path::PathBuf;

use super::{on_large_stack, run_to_the_end};
use crate::{Limits, Query, ReadOptions, Val};

const LIMITS: Limits =
    Limits { steps: 50_000_000, memory: 1 << 30, depth: 10_001, stack: 900 << 20, interrupt: None };

struct Case {
    line: usize,
    query: String,
    /// The input and what comes of it; for a query that cannot be compiled, nothing.
    expected: Option<(String, Vec<String>)>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/judges/jq")
}

fn cases(text: &str) -> Vec<Case> {
    let mut lines = text.lines().enumerate().peekable();
    let mut cases = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut block = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()) {
            if !line.starts_with('#') {
                block.push(line.to_owned());
            }
        }
        if line.starts_with("%%FAIL") {
            if !block.is_empty() {
                cases.push(Case { line: number + 2, query: block[0].clone(), expected: None });
            }
        } else if !block.is_empty() {
            let input = block.remove(0);
            cases.push(Case { line: number + 1, query: line.to_owned(), expected: Some((input, block)) });
        }
    }
    cases
}

fn same(left: &str, right: &str) -> bool {
    let options = ReadOptions { depth: 10_001, replace_surrogates: true, nan: true };
    let read = |text: &str| crate::read(text.trim_start_matches('\u{feff}'), options);
    match (read(left), read(right)) {
        (Ok(left), Ok(right)) => is_same(&left, &right),
        _ => left == right,
    }
}

/// True if both print alike, but for the digits of numbers and the order of members.
fn is_same(left: &Val, right: &Val) -> bool {
    match (left, right) {
        (Val::Float(left), Val::Float(right)) if left.is_nan() && right.is_nan() => true,
        (Val::Array(left), Val::Array(right)) => {
            left.len() == right.len()
                && left.iter().zip(right.iter()).all(|(left, right)| is_same(left, right))
        }
        (Val::Float(number), Val::Null) | (Val::Null, Val::Float(number)) => number.is_nan(),
        (Val::Object(left), Val::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, value)| right.get(name).is_some_and(|other| is_same(value, &other)))
        }
        _ => left.equals(right),
    }
}

fn judge(case: &Case) -> Result<(), String> {
    let Some((input, expected)) = &case.expected else {
        return match Query::new(&case.query, &[]) {
            Ok(_) => Err("it compiles".to_owned()),
            Err(_) => Ok(()),
        };
    };
    // An error after the results is not written down in these files.
    let (results, reason) = run_to_the_end(&case.query, input, &LIMITS);
    let alike = results.len() == expected.len()
        && results.iter().zip(expected).all(|(left, right)| same(left, right))
        && reason
            .as_ref()
            .is_none_or(|reason| !reason.contains("takes too many") && !reason.contains("needs too much"));
    if alike { Ok(()) } else { Err(format!("found {results:?} and {reason:?}, expected {expected:?}")) }
}

/// The tests of another release, in the folder that `TIDEGATE_JQ_TESTS` names.
#[test]
#[ignore = "needs the tests of a release: `tests/judges/jq/run FOLDER`"]
fn another_release_is_judged() {
    let folder = std::env::var_os("TIDEGATE_JQ_TESTS").expect("TIDEGATE_JQ_TESTS names the folder");
    on_large_stack(move || {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "test"));
        files.sort();
        let (mut passed, mut all) = (0, 0);
        for file in files {
            for case in cases(&fs::read_to_string(&file).unwrap()) {
                all += 1;
                match judge(&case) {
                    Ok(()) => passed += 1,
                    Err(reason) => println!("{}:{} {}\n    {reason}", file.display(), case.line, case.query),
                }
            }
        }
        println!("{passed} of {all} pass");
    });
}

/// Every difference from jq's own tests is listed in `accepted.txt`, and every line there is one.
#[test]
fn jq_s_own_tests_pass_but_for_those_that_are_listed() {
    on_large_stack(|| {
        let accepted = fs::read_to_string(folder().join("accepted.txt")).unwrap_or_default();
        let accepted: Vec<&str> = accepted.lines().filter(|line| line.contains(".test:")).collect();
        let mut unexpected = Vec::new();
        let mut differing = Vec::new();
        for version in ["1.7.1", "1.8.2"] {
            let mut files: Vec<_> = fs::read_dir(folder().join("data").join(version))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            files.sort();
            let (mut passed, mut all) = (0, 0);
            for file in files {
                let name = format!("{version}/{}", file.file_name().unwrap().to_string_lossy());
                for case in cases(&fs::read_to_string(&file).unwrap()) {
                    all += 1;
                    let Err(reason) = judge(&case) else {
                        passed += 1;
                        continue;
                    };
                    let place = format!("{name}:{}", case.line);
                    if !accepted.iter().any(|line| line.split_whitespace().next() == Some(&place)) {
                        unexpected.push(format!("{place} {}\n    {reason}", case.query));
                    }
                    differing.push(place);
                }
            }
            println!("jq {version}: {passed} of {all} pass");
        }
        let stale: Vec<&&str> = accepted
            .iter()
            .filter(|line| !differing.iter().any(|place| line.split_whitespace().next() == Some(place)))
            .collect();
        assert!(unexpected.is_empty(), "{} differ:\n{}", unexpected.len(), unexpected.join("\n"));
        assert!(stale.is_empty(), "these pass now: {stale:?}");
    });
}
