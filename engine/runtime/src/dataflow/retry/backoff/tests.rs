use proptest::prelude::*;

use super::*;

fn backoff() -> Backoff {
    let seconds = tidegate_sdk::Duration::seconds;
    Backoff::new(&RetryOptions { base: seconds(1), cap: seconds(30), attempts: None })
}

#[test]
fn pauses_double_up_to_the_cap() {
    let mut backoff = backoff();
    let error = Error::retry("x");
    let pauses: Vec<u64> = (0..7).map(|_| backoff.pause(&error, 1.0).as_secs()).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    assert_eq!(backoff.pause(&error, 0.0), Duration::ZERO);
    backoff.reset();
    assert_eq!(backoff.pause(&error, 0.5).as_millis(), 500);
}

#[test]
fn requested_pause_is_kept() {
    let mut backoff = backoff();
    let asked = Error::retry("x").after(Duration::from_secs(120));
    assert_eq!(backoff.pause(&asked, 0.1).as_secs(), 120);
    assert_eq!(backoff.failures(), 1);
    assert_eq!(backoff.pause(&Error::busy("x", Duration::from_secs(3)), 0.5).as_secs(), 3);
    assert_eq!(backoff.failures(), 1);
}

#[test]
fn a_misconfiguration_is_not_tried_often() {
    assert!(backoff().pause(&Error::misconfigured("x"), 0.0).as_secs() >= 15);
}

#[test]
fn pause_never_overflows() {
    let mut backoff = backoff();
    for _ in 0..100 {
        assert!(backoff.pause(&Error::retry("x"), 1.0).as_secs() <= 30);
    }
}

proptest! {
    /// A pause is never over the cap unless the server asked for more, never under what it asked for, and
    /// grows no faster than it doubles.
    #[test]
    fn pauses_keep_to_their_bounds(
        (base, cap) in (1_u64..10_000, 1_u64..1_000_000),
        failures in prop::collection::vec((0_u8..4, 0_u64..2_000_000, 0.0..=1.0_f64), 1..60),
    ) {
        let millis = Duration::from_millis;
        let mut backoff = Backoff::new(&RetryOptions {
            base: tidegate_sdk::Duration(millis(base)), cap: tidegate_sdk::Duration(millis(cap)), attempts: None
        });
        let mut counted = 0_u32;
        for (kind, asked, chance) in failures {
            let asked = millis(asked);
            let error = match kind {
                0 => Error::retry("x"),
                1 => Error::retry("x").after(asked),
                2 => Error::misconfigured("x"),
                _ => Error::busy("x", asked),
            };
            let pause = backoff.pause(&error, chance);
            let grown = millis(base).saturating_mul(1 << counted.min(31));
            match kind {
                0 => prop_assert!(pause <= grown.min(millis(cap))),
                1 => prop_assert!(pause >= asked && pause <= asked.max(grown.min(millis(cap)))),
                2 => prop_assert!(pause >= millis(cap) / 2 && pause <= millis(cap)),
                _ => prop_assert_eq!(pause, asked.max(millis(1))),
            }
            counted += u32::from(kind != 3);
            prop_assert_eq!(backoff.failures(), counted);
        }
    }
}
