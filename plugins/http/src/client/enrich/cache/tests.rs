//! Tests of the bounds of the cache.

use super::*;

fn key(url: &str) -> Key {
    Key { url: url.into(), body: None }
}

#[test]
fn answers_grow_old() {
    let (mut cache, now) = (Cache::new(10, 1000, Duration::from_secs(5)), Instant::now());
    cache.insert(key("a"), Some(Bytes::from_static(b"1")), now);
    cache.insert(key("b"), None, now);
    assert_eq!(cache.get(&key("a"), now), Some(Some(Bytes::from_static(b"1"))));
    assert_eq!(
        cache.get(&key("b"), now + Duration::from_secs(4)),
        Some(None),
        "that there is none is kept too"
    );
    assert_eq!(cache.get(&key("a"), now + Duration::from_secs(5)), None);
    assert_eq!(cache.get(&key("c"), now), None);
}

#[test]
fn number_and_bytes_have_a_limit() {
    let (mut cache, now) = (Cache::new(10, 1000, Duration::from_secs(5)), Instant::now());
    for number in 0..100 {
        cache.insert(key(&format!("{number}")), Some(Bytes::from(vec![0; 90])), now);
        assert!(cache.young.responses.len() + cache.old.responses.len() <= 10);
        assert!(cache.young.bytes + cache.old.bytes <= 1000);
        assert!(cache.get(&key("0"), now).is_some(), "what is used stays, at {number}");
    }
    assert!(cache.get(&key("50"), now).is_none());
    cache.insert(key("large"), Some(Bytes::from(vec![0; 501])), now);
    assert!(cache.get(&key("large"), now).is_none());
}
