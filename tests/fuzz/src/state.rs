//! What is read back after a crash.

use tidegate_runtime::dead_letters::DeadLetter;

/// The bytes are the file of a checkpoint; or its payload, so that the fuzzer comes past the checksum.
pub(crate) fn checkpoint(bytes: &[u8]) {
    tidegate_runtime::fuzzing::checkpoint(bytes);
}

/// The bytes are a line of the dead-letter store.
pub(crate) fn dead_letter(bytes: &[u8]) {
    let Ok(letter) = serde_json::from_slice::<DeadLetter>(bytes) else { return };
    let line = serde_json::to_vec(&letter).expect("a letter is written to memory");
    assert!(!line.contains(&b'\n'), "a letter is one line");
    let again = serde_json::from_slice::<DeadLetter>(&line).expect("what is kept is read back");
    assert_eq!(again, letter);
}
