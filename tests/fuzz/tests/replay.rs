//! Every input in `corpus/` as an ordinary test, so that found faults stay fixed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

#[test]
fn no_input_of_the_corpus_violates_an_invariant() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in tidegate_fuzz::TARGETS {
        let mut inputs: Vec<_> =
            fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{name} has inputs to begin with");
        for path in inputs {
            let bytes = fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{} breaks {name}", path.display());
        }
    }
}

#[test]
fn every_target_has_its_file() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let mut names: Vec<_> = fs::read_dir(targets)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let known: Vec<_> = tidegate_fuzz::TARGETS.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, known);
}
