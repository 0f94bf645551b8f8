//! Pipelines with their input and expected output. Each folder of `tests/cases` holds a `pipeline.toml` from standard
//! input to standard output, an `input` and the `expected` output. `UPDATE=1` writes the actual output.

use std::fs;

use crate::harness::{Tidegate, root};

#[test]
fn every_case_gives_what_is_expected() {
    let mut folders: Vec<_> =
        fs::read_dir(root().join("tests/cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 8, "{} cases", folders.len());
    for folder in folders {
        let input = fs::read(folder.join("input")).unwrap();
        let ended = Tidegate::run(&[&folder.join("pipeline.toml")]).end_with(&input).expect(0);
        let path = folder.join("expected");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &ended.stdout).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(ended.stdout, expected, "{}", folder.display());
    }
}
