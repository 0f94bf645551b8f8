//! The functions of the engine for libraries, and the registry from instance numbers to wakers.

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

/// The limit for a line of a library's log, in bytes.
const LOG_LINE: usize = 8 << 10;

/// The table of functions and the registry. There is one per process, and it lives as long as the loaded code: for ever.
pub(crate) struct HostTable {
    table: abi::Host,
    next: AtomicU64,
    /// Numbers are not reused, so the number of a destroyed instance finds nothing.
    wakers: Mutex<HashMap<u64, Arc<Wakers>>>,
}

/// The operations that an instance may have at the same time: its main operation, and the commit of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Work = 0,
    Commit = 1,
}

/// Wakes the tasks that wait for an instance.
pub(crate) struct Wakers {
    component: String,
    slots: [WakeSlot; 2],
    /// The earliest time for which the instance has requested a wake.
    alarm: Mutex<Option<Instant>>,
    progress: Mutex<Option<Arc<Progress>>>,
}

#[derive(Default)]
struct WakeSlot {
    woken: AtomicBool,
    waker: AtomicWaker,
}

impl HostTable {
    /// Creates a table that is never dropped.
    pub(crate) fn leaked() -> &'static Self {
        let table = Box::leak(Box::new(Self {
            // SAFETY: the first field of `Host` is its size.
            table: unsafe { abi::sized() },
            next: AtomicU64::new(1),
            wakers: Mutex::default(),
        }));
        table.table = abi::Host {
            struct_size: size_of::<abi::Host>() as u32,
            abi_minor: abi::MINOR,
            version: Str::new(env!("CARGO_PKG_VERSION")),
            ctx: (&raw const *table).cast_mut().cast(),
            log: Some(log),
            log_level: Some(log_level),
            wake: Some(wake),
            wake_after: Some(wake_after),
            progress: Some(progress),
            get_extension: Some(get_extension),
        };
        table
    }

    /// The table that libraries receive.
    pub(crate) fn table(&'static self) -> &'static abi::Host {
        &self.table
    }

    /// Registers a new instance.
    pub(crate) fn register(&self, component: &str) -> (u64, Arc<Wakers>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let wakers = Arc::new(Wakers {
            component: component.to_owned(),
            slots: Default::default(),
            alarm: Mutex::default(),
            progress: Mutex::default(),
        });
        self.lock().insert(number, Arc::clone(&wakers));
        (number, wakers)
    }

    /// Removes an instance.
    pub(crate) fn unregister(&self, number: u64) {
        self.lock().remove(&number);
    }

    fn find(&self, number: u64) -> Option<Arc<Wakers>> {
        self.lock().get(&number).cloned()
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, HashMap<u64, Arc<Wakers>>> {
        self.wakers.lock()
    }
}

impl Wakers {
    /// The name of the component, for the log.
    pub(crate) fn component(&self) -> &str {
        &self.component
    }

    /// Marks the start of a call: earlier wakes no longer count.
    pub(crate) fn calling(&self, slot: Slot) {
        self.slots[slot as usize].woken.store(false, Ordering::SeqCst);
    }

    /// Waits for a wake since the call began, or for the alarm.
    pub(crate) async fn woken(&self, slot: Slot) {
        let waiting = &self.slots[slot as usize];
        let mut sleep: Option<Pin<Box<Sleep>>> = None;
        std::future::poll_fn(|task| {
            waiting.waker.register(task.waker());
            if waiting.woken.swap(false, Ordering::SeqCst) {
                return Poll::Ready(());
            }
            // The alarm stays set until it is due: a wake may come first, and the other slot may wait for the alarm as well.
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
        // The waiting tasks read the alarm, and wait for it.
        self.slots.iter().for_each(|waiting| waiting.waker.wake());
    }

    /// Sets the destination of a source's progress.
    pub(crate) fn report_progress_to(&self, progress: &Arc<Progress>) {
        *self.progress.lock() = Some(Arc::clone(progress));
    }

    fn wake(&self) {
        for waiting in &self.slots {
            waiting.woken.store(true, Ordering::SeqCst);
            waiting.waker.wake();
        }
    }
}

/// The host table that a library passes back.
///
/// # Safety
/// `host` is the table that the library received, or null.
unsafe fn table<'a>(host: *const abi::Host) -> Option<&'a HostTable> {
    // SAFETY: the table and its context live for ever.
    unsafe { host.as_ref().and_then(|host| host.ctx.cast::<HostTable>().as_ref()) }
}

unsafe extern "C" fn log(host: *const abi::Host, inst: u64, level: u32, message: Str) {
    // SAFETY: the library passes its table, and a text that is valid for the call.
    let (table, message) = unsafe { (table(host), message.text()) };
    let wakers = table.and_then(|table| table.find(inst));
    let component = wakers.as_ref().map_or("plugin", |wakers| wakers.component());
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
    // SAFETY: the library passes its table.
    if let Some(wakers) = unsafe { table(host) }.and_then(|table| table.find(inst)) {
        wakers.wake();
    }
}

unsafe extern "C" fn wake_after(host: *const abi::Host, inst: u64, nanoseconds: u64) {
    // SAFETY: the library passes its table.
    let Some(wakers) = unsafe { table(host) }.and_then(|table| table.find(inst)) else { return };
    // A time that the clock cannot represent never comes.
    if let Some(at) = Instant::now().checked_add(Duration::from_nanos(nanoseconds)) {
        wakers.wake_at(at);
    }
}

unsafe extern "C" fn progress(host: *const abi::Host, inst: u64, done: u64, total: u64) {
    // SAFETY: the library passes its table.
    let Some(wakers) = (unsafe { table(host) }).and_then(|table| table.find(inst)) else { return };
    let progress = wakers.progress.lock().clone();
    if let Some(progress) = progress {
        progress.set(done, total);
    }
}

unsafe extern "C" fn get_extension(_host: *const abi::Host, _id: *const c_char) -> *const c_void {
    std::ptr::null()
}

#[cfg(test)]
mod tests;
