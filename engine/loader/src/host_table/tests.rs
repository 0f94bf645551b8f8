//! Wakes: none is lost, whenever it comes, and none reaches anybody else.

use super::*;

/// No wake takes longer: one that does is lost. Where the clock is virtual, it stands still unless every task waits, so an
/// alarm does not go off before the test waits for it.
const SOON: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(20);

fn wake_of(hub: &'static HostTable, number: u64) {
    // SAFETY: the table is the hub's.
    unsafe { wake(hub.table(), number) }
}

fn alarm_of(hub: &'static HostTable, number: u64, after: Duration) {
    // SAFETY: as above.
    unsafe { wake_after(hub.table(), number, u64::try_from(after.as_nanos()).unwrap()) }
}

async fn comes(signals: &Wakers, slot: Slot) -> bool {
    tokio::time::timeout(SOON, signals.woken(slot)).await.is_ok()
}

async fn is_silent(signals: &Wakers, slot: Slot) -> bool {
    tokio::time::timeout(SHORT, signals.woken(slot)).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn wake_counts_during_and_after_the_call_and_not_before_it() {
    let hub = HostTable::leaked();
    let (number, signals) = hub.register("c");
    wake_of(hub, number);
    signals.calling(Slot::Work);
    assert!(is_silent(&signals, Slot::Work).await, "the call that followed has seen all that there was");
    wake_of(hub, number);
    assert!(comes(&signals, Slot::Work).await, "between the call and the wait");
    signals.calling(Slot::Work);
    let wait = comes(&signals, Slot::Work);
    let (came, ()) = tokio::join!(wait, async { wake_of(hub, number) });
    assert!(came, "while it waits");
    assert!(is_silent(&signals, Slot::Work).await, "once is once");
}

#[tokio::test(start_paused = true)]
async fn one_wake_is_for_both_calls_that_are_under_way() {
    let hub = HostTable::leaked();
    let (number, signals) = hub.register("c");
    signals.calling(Slot::Work);
    signals.calling(Slot::Commit);
    wake_of(hub, number);
    assert!(comes(&signals, Slot::Work).await && comes(&signals, Slot::Commit).await);
}

/// Guards against an alarm that was lost when another wake came first: the operation then never went on.
#[tokio::test(start_paused = true)]
async fn an_alarm_outlives_a_wake_that_comes_first() {
    let hub = HostTable::leaked();
    let (number, signals) = hub.register("c");
    signals.calling(Slot::Work);
    alarm_of(hub, number, SHORT);
    let wait = comes(&signals, Slot::Work);
    let (came, ()) = tokio::join!(wait, async { wake_of(hub, number) });
    assert!(came);
    signals.calling(Slot::Work);
    assert!(comes(&signals, Slot::Work).await, "the alarm is still to come");
}

/// Guards against an alarm that only one of two waiting calls got, and not the one that had set it.
#[tokio::test(start_paused = true)]
async fn an_alarm_is_for_both_calls_that_are_under_way() {
    let hub = HostTable::leaked();
    let (number, signals) = hub.register("c");
    signals.calling(Slot::Work);
    signals.calling(Slot::Commit);
    alarm_of(hub, number, SHORT);
    let (work, commit) = tokio::join!(comes(&signals, Slot::Work), comes(&signals, Slot::Commit));
    assert!(work && commit);
    signals.calling(Slot::Work);
    assert!(is_silent(&signals, Slot::Work).await, "it rings once");
}

#[tokio::test(start_paused = true)]
async fn the_earliest_of_two_alarms_counts() {
    let hub = HostTable::leaked();
    let (number, signals) = hub.register("c");
    signals.calling(Slot::Work);
    alarm_of(hub, number, SHORT);
    alarm_of(hub, number, Duration::from_secs(3600));
    assert!(comes(&signals, Slot::Work).await);
    alarm_of(hub, number, Duration::from_nanos(u64::MAX));
    assert!(is_silent(&signals, Slot::Work).await);
}

#[tokio::test(start_paused = true)]
async fn unknown_instances_wake_no_task() {
    let hub = HostTable::leaked();
    let (gone, _) = hub.register("gone");
    hub.unregister(gone);
    let (number, signals) = hub.register("c");
    assert_ne!(gone, number, "a number is never given twice");
    signals.calling(Slot::Work);
    for stale in [gone, 0, number + 1, u64::MAX] {
        wake_of(hub, stale);
        alarm_of(hub, stale, Duration::ZERO);
        // SAFETY: the table is the hub's.
        unsafe {
            progress(hub.table(), stale, 1, 2);
            log(hub.table(), stale, abi::level::INFO, Str::new("stale"));
            wake(std::ptr::null(), stale);
        }
    }
    assert!(is_silent(&signals, Slot::Work).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_after_a_wake_sees_its_cause() {
    let hub = HostTable::leaked();
    let (number, signals) = hub.register("c");
    let ready = Arc::new(AtomicU64::new(0));
    let theirs = Arc::clone(&ready);
    const ROUNDS: u64 = 20_000;
    let thread = std::thread::spawn(move || {
        for round in 1..=ROUNDS {
            while theirs.load(Ordering::SeqCst).is_multiple_of(2) {
                std::hint::spin_loop();
            }
            // As a library does it: first what there is to go on with, then the wake.
            theirs.store(round * 2, Ordering::SeqCst);
            wake_of(hub, number);
        }
    });
    for round in 1..=ROUNDS {
        ready.store(round * 2 - 1, Ordering::SeqCst);
        loop {
            signals.calling(Slot::Work);
            if ready.load(Ordering::SeqCst) == round * 2 {
                break;
            }
            assert!(comes(&signals, Slot::Work).await, "the wake of round {round} is lost");
        }
    }
    thread.join().unwrap();
}
