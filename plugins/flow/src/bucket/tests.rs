use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_burst_passes_and_then_one_an_interval() {
    let rate = Rate::new(10, Duration::from_secs(1), 3).unwrap();
    let mut full = 0;
    let passed: Vec<bool> = (0..5).map(|_| rate.admit(&mut full, SECOND).is_ok()).collect();
    assert_eq!(passed, [true, true, true, false, false]);
    assert_eq!(rate.admit(&mut full, SECOND), Err(SECOND / 10));
    assert_eq!(rate.admit(&mut full, SECOND + SECOND / 10), Ok(()));
    // A long silence does not save up more than the burst.
    let passed = (0..9).filter(|_| rate.admit(&mut full, 100 * SECOND).is_ok()).count();
    assert_eq!(passed, 3);
}

#[test]
fn impossible_rates_are_refused() {
    assert!(Rate::new(0, Duration::from_secs(1), 1).is_none());
    assert!(Rate::new(2 * SECOND, Duration::from_secs(1), 1).is_none());
    assert!(Rate::new(1, Duration::ZERO, 1).is_none());
    assert!(Rate::new(1, Duration::from_secs(1), 0).is_none());
}

#[test]
fn buckets_are_bounded_and_the_last_half_is_remembered() {
    let mut buckets = Buckets::new(Rate::new(1, Duration::from_secs(3600), 1).unwrap(), 10);
    for key in 0..1000 {
        assert!(buckets.admit(key, 0));
        assert!(buckets.young.len() + buckets.old.len() <= 10);
        for recent in key.saturating_sub(4)..=key {
            assert!(!buckets.admit(recent, 0), "{recent} was seen with {key}");
        }
    }
}

proptest! {
    /// In no stretch of time does more pass than a burst and what the rate allows in it.
    #[test]
    fn never_more_than_the_rate(pauses in prop::collection::vec(0u64..SECOND, 1..200), events in 1u64..50, burst in 1u64..20) {
        let rate = Rate::new(events, Duration::from_secs(1), burst).unwrap();
        let (mut full, mut now, mut passed) = (0, 0, Vec::new());
        for pause in pauses {
            now += pause;
            while rate.admit(&mut full, now).is_ok() {
                passed.push(now);
            }
            let wait = rate.admit(&mut full, now).unwrap_err();
            prop_assert!(rate.admit(&mut full.clone(), now + wait - 1).is_err());
            prop_assert!(rate.admit(&mut full.clone(), now + wait).is_ok());
        }
        for (index, start) in passed.iter().enumerate() {
            let allowed = burst + (now - start) / (SECOND / events);
            prop_assert!((passed.len() - index) as u64 <= allowed);
        }
    }
}
