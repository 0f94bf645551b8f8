use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use tidegate_sdk::Size;

use super::dead_letter::{DeadLetter, Raw};
use super::index::{DeadLetterIndex, files};
use super::store::{Store, folder, remove};

fn dead_letter(payload: &[u8]) -> DeadLetter {
    DeadLetter {
        id: 0,
        time: 1,
        component: "parse".into(),
        reason: "malformed".into(),
        source: "lines".into(),
        partition: String::new(),
        sequence: 2,
        index: 3,
        attempts: 1,
        length: payload.len() as u64,
        timestamp: Some(-5),
        key: Some(Raw(payload.to_vec())),
        attributes: [("path".to_owned(), Value::from("/x")), ("port".to_owned(), Value::from(80))].into(),
        payload: payload.to_vec(),
    }
}

fn open(place: &Path) -> Store {
    Store::open(place.to_owned(), Size(0)).unwrap()
}

fn all(place: &Path) -> Vec<DeadLetter> {
    let mut all = Vec::new();
    let push = |dead_letter| {
        all.push(dead_letter);
        Ok(())
    };
    DeadLetterIndex::open(place).unwrap().each(push).unwrap();
    all
}

#[test]
fn dead_letters_are_numbered_and_read_after_reopening() {
    let data = tempfile::tempdir().unwrap();
    let place = folder(data.path(), "p");
    for payloads in [[b"text".as_slice(), b"\xff\x00"], [b"{}", b""]] {
        open(&place).append(&mut payloads.map(dead_letter)).unwrap();
    }
    let dead_letters = all(&place);
    assert_eq!(dead_letters.iter().map(|dead_letter| dead_letter.id).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(dead_letters[1], DeadLetter { id: 2, ..dead_letter(b"\xff\x00") });
    assert_eq!(dead_letters[2], DeadLetter { id: 3, ..dead_letter(b"{}") });
    assert_eq!(DeadLetterIndex::open(&place).unwrap().unreadable(), 0);
    assert!(DeadLetterIndex::open(&folder(data.path(), "other")).unwrap().is_empty());
}

#[test]
fn torn_line_is_skipped_and_not_joined_by_the_next() {
    let data = tempfile::tempdir().unwrap();
    let place = folder(data.path(), "p");
    open(&place).append(&mut [dead_letter(b"one")]).unwrap();
    let path = files(&place).unwrap().remove(0);
    let mut torn = fs::read(&path).unwrap();
    torn.extend_from_slice(br#"{"id":2,"time"#);
    fs::write(&path, torn).unwrap();
    open(&place).append(&mut [dead_letter(b"two")]).unwrap();
    let dead_letters = all(&place);
    assert_eq!(
        dead_letters.iter().map(|dead_letter| dead_letter.payload.clone()).collect::<Vec<_>>(),
        [b"one", b"two"]
    );
    assert_eq!(DeadLetterIndex::open(&place).unwrap().unreadable(), 1);
}

#[test]
fn dead_letters_of_the_first_version_are_read() {
    let line = br#"{"id":1,"time":2,"component":"c","reason":"r","source":"s","partition":"","sequence":0,"index":0,"attempts":1,"length":1,"payload_base64":"/w=="}"#;
    let dead_letter: DeadLetter = serde_json::from_slice(line).unwrap();
    assert_eq!(
        (dead_letter.payload.as_slice(), dead_letter.key, dead_letter.timestamp),
        (b"\xff".as_slice(), None, None)
    );
}

#[test]
fn full_store_reports_what_to_do_and_accepts_removals() {
    let data = tempfile::tempdir().unwrap();
    let place = folder(data.path(), "p");
    let mut store = Store::open(place.clone(), Size(400)).unwrap();
    store.append(&mut [dead_letter(&[b'x'; 500])]).unwrap();
    let error = store.append(&mut [dead_letter(b"more")]).unwrap_err().to_string();
    assert!(error.contains("holds 400B, which is `[pipeline] dead_letters.size`"), "{error}");
    store.remove(&[1]).unwrap();
    store.compact().unwrap();
    store.append(&mut [dead_letter(b"more")]).unwrap();
    assert_eq!(all(&place).len(), 1);
}

#[test]
fn failed_write_leaves_no_empty_file() {
    let data = tempfile::tempdir().unwrap();
    let place = folder(data.path(), "p");
    let mut store = open(&place);
    // A file that can only be read makes each write fail, as a full disk does.
    let (path, _) = store.create().unwrap();
    store.file = Some((path.clone(), File::open(&path).unwrap()));
    assert!(store.append(&mut [dead_letter(b"one")]).is_err());
    assert!(files(&place).unwrap().is_empty());
    let mut again = [DeadLetter { id: 1, ..dead_letter(b"one") }];
    store.append(&mut again).unwrap();
    assert_eq!(all(&place).len(), 1);
}

#[test]
fn removed_dead_letters_are_deleted_and_numbers_are_not_reused() {
    let data = tempfile::tempdir().unwrap();
    let place = folder(data.path(), "p");
    open(&place).append(&mut [b"a", b"b", b"c"].map(|payload| dead_letter(payload))).unwrap();
    assert_eq!(remove(data.path(), "p", &BTreeSet::from([2, 9])).unwrap(), 1);
    assert_eq!(all(&place).iter().map(|dead_letter| dead_letter.id).collect::<Vec<_>>(), [1, 3]);
    let raw: String = files(&place).unwrap().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(!raw.contains("\"payload\":\"b\"") && !raw.contains("removed"), "{raw}");
    assert_eq!(remove(data.path(), "p", &BTreeSet::from([1, 3])).unwrap(), 2);
    assert!(all(&place).is_empty());
    open(&place).append(&mut [dead_letter(b"d")]).unwrap();
    assert!(all(&place)[0].id > 3, "{:?}", all(&place));
    let lock = crate::storage::lock::hold(&data.path().join("p")).unwrap();
    let error = remove(data.path(), "p", &BTreeSet::from([4])).unwrap_err();
    assert!(error.contains("runs this pipeline") && error.contains("stop it first"), "{error}");
    drop(lock);
}

#[test]
fn only_complete_events_can_be_replayed() {
    assert_eq!(dead_letter(b"x").unreplayable(), None);
    let cut = DeadLetter { length: 9, ..dead_letter(b"x") };
    assert!(cut.unreplayable().unwrap().contains("only its beginning"));
    let refused = DeadLetter { component: "lines".into(), ..dead_letter(b"x") };
    assert!(refused.unreplayable().unwrap().contains("never was an event"));
}

proptest! {
    // Each step waits for the disk.
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// After any appends, replacements, removals, compactions and reopenings, and a crash at any point of a compaction, the store
    /// reads like a map.
    #[test]
    fn store_behaves_like_a_map(steps in prop::collection::vec((0_u8..5, 0_u64..20), 1..40)) {
        let data = tempfile::tempdir().unwrap();
        let place = folder(data.path(), "p");
        let mut store = open(&place);
        let mut model = BTreeMap::new();
        for (action, pick) in steps {
            let known = model.keys().copied().nth(pick as usize % model.len().max(1));
            match (action, known) {
                (1, Some(id)) => {
                    store.append(&mut [DeadLetter { id, attempts: pick as u32, ..dead_letter(b"again") }]).unwrap();
                    model.insert(id, (b"again".to_vec(), pick as u32));
                }
                (2, Some(id)) => {
                    store.remove(&[id]).unwrap();
                    model.remove(&id);
                }
                (3, _) => {
                    // A crash may stop it before any of the files is deleted that it has replaced.
                    let before: Vec<_> = files(&place).unwrap().into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
                    store.compact().unwrap();
                    let deleted: Vec<_> = before.into_iter().filter(|(_, path)| !path.exists()).collect();
                    let kept = (pick as usize).min(deleted.len());
                    for (bytes, path) in deleted.into_iter().rev().take(kept) {
                        fs::write(path, bytes).unwrap();
                    }
                    store = open(&place);
                }
                (4, _) => store = open(&place),
                _ => {
                    let mut new = [dead_letter(b"new")];
                    store.append(&mut new).unwrap();
                    prop_assert!(model.insert(new[0].id, (b"new".to_vec(), 1)).is_none());
                }
            }
            let read: BTreeMap<_, _> =
                all(&place).into_iter().map(|dead_letter| (dead_letter.id, (dead_letter.payload, dead_letter.attempts))).collect();
            prop_assert_eq!(&read, &model);
        }
    }
}
