//! State that is read after a crash.

use tidegate_runtime::dead_letters::DeadLetter;

/// The bytes are the file of a checkpoint, and also its payload, so that the fuzzer passes the checksum.
pub(crate) fn checkpoint(bytes: &[u8]) {
    tidegate_runtime::fuzzing::checkpoint(bytes);
}

/// The bytes are a line of the dead-letter store.
pub(crate) fn dead_letter(bytes: &[u8]) {
    let Ok(dead_letter) = serde_json::from_slice::<DeadLetter>(bytes) else { return };
    let line = serde_json::to_vec(&dead_letter).expect("a dead letter is written to memory");
    assert!(!line.contains(&b'\n'), "a dead letter is one line");
    let again = serde_json::from_slice::<DeadLetter>(&line).expect("a stored dead letter can be read");
    assert_eq!(again, dead_letter);
}
