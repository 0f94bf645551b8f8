//! The language of the project: plain English and the terms of the field.

use std::fs;
use std::path::Path;

use super::areas::{Fault, each_area_is_clean_or_listed, text_files};

/// Words that the project once used in a sense of its own. Each has a term of the field instead.
///
/// A phrase matches whole words, in any case, in prose and in names (`SettleCall`, `was_told`).
const BANNED: &[(&str, &str)] = &[
    ("settle", "it had six meanings: acknowledge, commit, finish"),
    ("settles", "see settle"),
    ("settled", "see settle: acknowledged, committed, finished"),
    ("settling", "see settle"),
    ("anew", "again, or from scratch"),
    ("afresh", "again, or from scratch"),
    ("at hand", "current, or available"),
    ("so many", "a number: N events, this many"),
    ("told", "reported, notified, distinguished"),
    ("nobody", "name the process, task, client or user that is missing"),
    ("whoever", "name the caller, process or user"),
    ("by itself", "alone, on its own, automatically, or leave it out"),
    ("hand over", "pass, transfer"),
    ("hands over", "passes, transfers"),
    ("handed over", "passed, transferred"),
    ("handing over", "passing, transferring"),
    ("hand on", "pass on"),
    ("hands on", "passes on"),
    ("handed on", "passed on"),
    ("in front of", "upstream of, before"),
    ("behind", "downstream of, after; a process is left behind and stands behind a proxy"),
    ("letter", "a dead letter; one of the alphabet is a character"),
    ("letters", "dead letters; those of the alphabet are characters"),
];

/// Words that stand before or after a banned one and give it its ordinary sense.
const ORDINARY: &[(&str, &[&str], &[&str])] = &[
    (
        "behind",
        &["left", "leave", "leaves", "leaving", "lag", "lags", "lagging", "fall", "falls", "falling"],
        &["a proxy", "a reverse", "a load"],
    ),
    ("letter", &["dead"], &[]),
    ("letters", &["dead"], &[]),
];

/// First words of a doc comment that introduce a riddle instead of naming the thing.
const OPENINGS: &[&str] = &["What", "Where", "Who", "Whoever", "Whether", "How", "It", "One"];

/// First words of a test's name that hide its subject.
const NAMES: &[&str] = &["what", "where", "who", "whoever", "whether", "how", "it"];

/// The lower-case words of a line. Names are split at `_` and at capitals.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    // The `n` of an escaped line end is no part of a word.
    for character in line.replace("\\n", " ").chars() {
        if !character.is_alphanumeric() || (character.is_uppercase() && small) {
            words.push(String::new());
        }
        if character.is_alphanumeric() {
            words.last_mut().unwrap().extend(character.to_lowercase());
        }
        small = character.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The first banned word of `line` with its reason. `before` is the last word of the line above.
fn banned(line: &str, before: &str) -> Option<(&'static str, &'static str)> {
    let lower = line.to_lowercase();
    if !BANNED.iter().any(|(phrase, _)| phrase.rsplit(' ').next().is_some_and(|last| lower.contains(last))) {
        return None;
    }
    let mut all = vec![before.to_owned()];
    all.extend(words(line));
    for (phrase, reason) in BANNED {
        let parts: Vec<&str> = phrase.split(' ').collect();
        for at in 0..all.len() {
            let whole =
                all[at..].iter().zip(&parts).filter(|(word, part)| word == part).count() == parts.len();
            if whole && at + parts.len() > 1 && !is_ordinary(phrase, &all, at) {
                return Some((*phrase, *reason));
            }
        }
    }
    None
}

fn is_ordinary(phrase: &str, all: &[String], at: usize) -> bool {
    let Some((_, before, after)) = ORDINARY.iter().find(|(word, _, _)| *word == phrase) else {
        return false;
    };
    // Letters beside digits are those of the alphabet.
    if phrase.starts_with("letter") && all.iter().any(|word| word.starts_with("digit")) {
        return true;
    }
    let follows = all[at + 1..].iter().take(2).map(String::as_str).collect::<Vec<_>>().join(" ");
    (at > 0 && before.contains(&all[at - 1].as_str())) || after.iter().any(|word| follows.starts_with(word))
}

/// Banned words of one file, with their lines.
fn words_of(path: &Path) -> Vec<Fault> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut before = String::new();
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some((word, reason)) = banned(line, &before) {
            faults.push(Fault::new(path, number + 1, format!("`{word}`: {reason}")));
        }
        let start = line.trim_end().rfind(' ').unwrap_or(0);
        before = words(line.get(start..).unwrap_or_default()).pop().unwrap_or_default();
    }
    faults
}

#[test]
fn private_words_are_not_used() {
    let faults = text_files().iter().flat_map(|path| words_of(path)).collect();
    each_area_is_clean_or_listed("words", faults);
}

#[test]
fn doc_comments_begin_with_the_name_of_the_thing() {
    let mut faults = Vec::new();
    for path in text_files().iter().filter(|path| path.extension().is_some_and(|found| found == "rs")) {
        let text = fs::read_to_string(path).unwrap();
        let mut above = "";
        for (number, line) in text.lines().map(str::trim_start).enumerate() {
            let doc = |line: &str| line.starts_with("/// ") || line.starts_with("//! ");
            if doc(line) && !above.starts_with(&line[..3]) {
                let first = line[4..].split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
                if OPENINGS.contains(&first) {
                    let reason = format!("a doc comment begins with `{first}`, not with a noun or a verb");
                    faults.push(Fault::new(path, number + 1, reason));
                }
            }
            above = line;
        }
    }
    each_area_is_clean_or_listed("openings", faults);
}

#[test]
fn test_names_begin_with_their_subject() {
    let mut faults = Vec::new();
    for path in text_files().iter().filter(|path| path.extension().is_some_and(|found| found == "rs")) {
        let text = fs::read_to_string(path).unwrap();
        let mut is_test = false;
        for (number, line) in text.lines().map(str::trim_start).enumerate() {
            is_test |= line.starts_with("#[") && line.contains("test]");
            let Some((start, rest)) = line.split_once("fn ") else { continue };
            let first = rest.split(['_', '(']).next().unwrap_or_default();
            if is_test && (start.is_empty() || start == "async ") && NAMES.contains(&first) {
                let reason = format!("the name of a test begins with `{first}`, not with its subject");
                faults.push(Fault::new(path, number + 1, reason));
            }
            is_test = false;
        }
    }
    each_area_is_clean_or_listed("names", faults);
}

#[test]
fn banned_words_are_found_in_prose_and_in_names() {
    for line in ["// It is Settled.", "fn was_told()", "struct SettleCall", "the one at hand", "letters(&[])"]
    {
        assert!(banned(line, "").is_some(), "{line}");
    }
    assert!(banned("many events", "so").is_some(), "a phrase over two lines");
    for line in
        ["dead_letters", "a process is left behind", "DeadLetter", "handful", "retold", "behind a proxy"]
    {
        assert!(banned(line, "").is_none(), "{line}");
    }
}
