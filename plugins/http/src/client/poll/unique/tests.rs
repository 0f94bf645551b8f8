//! Tests of remembering and forgetting.

use super::*;

#[test]
fn remembers_the_last_ones_within_bounds() {
    let mut unique = Unique::new(10);
    for number in 0..1000_u32 {
        assert!(unique.insert(&number.to_be_bytes()));
        assert!(unique.young.len() + unique.old.len() <= 20);
        for before in number.saturating_sub(9)..=number {
            let kept = unique
                .young
                .iter()
                .chain(&unique.old)
                .any(|hash| *hash == unique.hasher.hash_one(before.to_be_bytes().as_slice()));
            assert!(kept, "{before} is among the last ten at {number}");
        }
    }
    assert!(unique.insert(&0_u32.to_be_bytes()), "what is long gone is new");
}

#[test]
fn values_that_keep_occurring_are_never_forgotten() {
    let mut unique = Unique::new(10);
    unique.insert(b"again");
    for number in 0..1000_u32 {
        unique.insert(&number.to_be_bytes());
        if number % 9 == 0 {
            assert!(!unique.insert(b"again"), "at {number}");
        }
    }
}
