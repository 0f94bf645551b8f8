//! What the engine does for libraries: the table of functions that each is given, and who is behind an instance's number.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tidegate_abi::{self as abi, Str};
use tidegate_sdk::Progress;
use tokio::time::{Instant, Sleep};

/// No line of a library's log is longer, in bytes.
const LOG_LINE: usize = 8 << 10;

/// Everything that instances share: one a process, which lives as long as the code that was loaded, which is for ever.
pub(crate) struct HostTable {
    table: abi::Host,
    next: AtomicU64,
    /// Numbers are never given twice, so one whose instance is gone finds nothing.
    signals: Mutex<HashMap<u64, Arc<Wakers>>>,
}

/// What is under way on an instance: its main operation, and the commit of a source beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Work = 0,
    Commit = 1,
}

/// How a library reaches the tasks that wait for an instance.
pub(crate) struct Wakers {
    component: String,
    slots: [WakeSlot; 2],
    /// When the instance wants to be woken by itself: the earliest time of those it has asked for.
    alarm: Mutex<Option<Instant>>,
    progress: Mutex<Option<Arc<Progress>>>,
}

#[derive(Default)]
struct WakeSlot {
    woken: AtomicBool,
    waker: AtomicWaker,
}

impl HostTable {
    /// A hub that is never dropped.
    pub(crate) fn leaked() -> &'static Self {
        let hub = Box::leak(Box::new(Self {
            // SAFETY: `Host` begins with its size.
            table: unsafe { abi::sized() },
            next: AtomicU64::new(1),
            signals: Mutex::default(),
        }));
        hub.table = abi::Host {
            struct_size: size_of::<abi::Host>() as u32,
            abi_minor: abi::MINOR,
            version: Str::new(env!("CARGO_PKG_VERSION")),
            ctx: (&raw const *hub).cast_mut().cast(),
            log: Some(log),
            log_level: Some(log_level),
            wake: Some(wake),
            wake_after: Some(wake_after),
            progress: Some(progress),
            get_extension: Some(get_extension),
        };
        hub
    }

    /// The table that libraries are given.
    pub(crate) fn table(&'static self) -> &'static abi::Host {
        &self.table
    }

    /// A number for a new instance.
    pub(crate) fn register(&self, component: &str) -> (u64, Arc<Wakers>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let signals = Arc::new(Wakers {
            component: component.to_owned(),
            slots: Default::default(),
            alarm: Mutex::default(),
            progress: Mutex::default(),
        });
        self.lock().insert(number, Arc::clone(&signals));
        (number, signals)
    }

    /// Forgets a number.
    pub(crate) fn unregister(&self, number: u64) {
        self.lock().remove(&number);
    }

    fn find(&self, number: u64) -> Option<Arc<Wakers>> {
        self.lock().get(&number).cloned()
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, HashMap<u64, Arc<Wakers>>> {
        self.signals.lock()
    }
}

impl Wakers {
    /// The name of the component, for the log.
    pub(crate) fn component(&self) -> &str {
        &self.component
    }

    /// Says that a call begins: only what is told from now on counts as a wake.
    pub(crate) fn calling(&self, slot: Slot) {
        self.slots[slot as usize].woken.store(false, Ordering::SeqCst);
    }

    /// Waits until the instance was woken since the call began, or wants to be by itself.
    pub(crate) async fn woken(&self, slot: Slot) {
        let waiting = &self.slots[slot as usize];
        let mut sleep: Option<Pin<Box<Sleep>>> = None;
        std::future::poll_fn(|task| {
            waiting.waker.register(task.waker());
            if waiting.woken.swap(false, Ordering::SeqCst) {
                return Poll::Ready(());
            }
            // It stays set until it is time: another wake may come before, and the other slot may wait for it, too.
            let Some(at) = *self.alarm() else { return Poll::Pending };
            if sleep.as_ref().is_none_or(|sleep| sleep.deadline() != at) {
                sleep = Some(Box::pin(tokio::time::sleep_until(at)));
            }
            let Some(sleep) = &mut sleep else { return Poll::Pending };
            if sleep.as_mut().poll(task).is_pending() {
                return Poll::Pending;
            }
            self.alarm().take_if(|alarm| *alarm <= at);
            self.wake();
            waiting.woken.store(false, Ordering::SeqCst);
            Poll::Ready(())
        })
        .await;
    }

    fn alarm(&self) -> parking_lot::MutexGuard<'_, Option<Instant>> {
        self.alarm.lock()
    }

    fn wake_at(&self, at: Instant) {
        let mut alarm = self.alarm();
        *alarm = Some(alarm.map_or(at, |earlier| earlier.min(at)));
        drop(alarm);
        // Whoever waits looks at the alarm, and goes on waiting until then.
        self.slots.iter().for_each(|waiting| waiting.waker.wake());
    }

    /// Where a source's progress goes.
    pub(crate) fn tell_progress_to(&self, progress: &Arc<Progress>) {
        *self.progress.lock() = Some(Arc::clone(progress));
    }

    fn wake(&self) {
        for waiting in &self.slots {
            waiting.woken.store(true, Ordering::SeqCst);
            waiting.waker.wake();
        }
    }
}

/// The hub behind the table that a library hands back.
///
/// # Safety
/// `host` is the table that this library was given, or null.
unsafe fn hub<'a>(host: *const abi::Host) -> Option<&'a HostTable> {
    // SAFETY: the table lives for ever, and its context is the hub, which does too.
    unsafe { host.as_ref().and_then(|host| host.ctx.cast::<HostTable>().as_ref()) }
}

unsafe extern "C" fn log(host: *const abi::Host, inst: u64, level: u32, message: Str) {
    // SAFETY: the caller hands back its table, and a text that is valid for the call.
    let (hub, message) = unsafe { (hub(host), message.text()) };
    let signals = hub.and_then(|hub| hub.find(inst));
    let component = signals.as_ref().map_or("plugin", |signals| signals.component());
    let mut end = message.len().min(LOG_LINE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let message = &message[..end];
    match level {
        abi::level::ERROR => tracing::error!(component, "{message}"),
        abi::level::WARN => tracing::warn!(component, "{message}"),
        abi::level::INFO => tracing::info!(component, "{message}"),
        abi::level::DEBUG => tracing::debug!(component, "{message}"),
        _ => tracing::trace!(component, "{message}"),
    }
}

unsafe extern "C" fn log_level(_host: *const abi::Host) -> u32 {
    use tracing::level_filters::LevelFilter;
    match LevelFilter::current() {
        LevelFilter::OFF => 0,
        LevelFilter::ERROR => abi::level::ERROR,
        LevelFilter::WARN => abi::level::WARN,
        LevelFilter::INFO => abi::level::INFO,
        LevelFilter::DEBUG => abi::level::DEBUG,
        LevelFilter::TRACE => abi::level::TRACE,
    }
}

unsafe extern "C" fn wake(host: *const abi::Host, inst: u64) {
    // SAFETY: the caller hands back its table.
    if let Some(signals) = unsafe { hub(host) }.and_then(|hub| hub.find(inst)) {
        signals.wake();
    }
}

unsafe extern "C" fn wake_after(host: *const abi::Host, inst: u64, nanoseconds: u64) {
    // SAFETY: the caller hands back its table.
    let Some(signals) = unsafe { hub(host) }.and_then(|hub| hub.find(inst)) else { return };
    // What is beyond the clock never comes.
    if let Some(at) = Instant::now().checked_add(Duration::from_nanos(nanoseconds)) {
        signals.wake_at(at);
    }
}

unsafe extern "C" fn progress(host: *const abi::Host, inst: u64, done: u64, total: u64) {
    // SAFETY: the caller hands back its table.
    let Some(signals) = (unsafe { hub(host) }).and_then(|hub| hub.find(inst)) else { return };
    let progress = signals.progress.lock().clone();
    if let Some(progress) = progress {
        progress.set(done, total);
    }
}

unsafe extern "C" fn get_extension(_host: *const abi::Host, _id: *const c_char) -> *const c_void {
    std::ptr::null()
}

#[cfg(test)]
mod tests;
