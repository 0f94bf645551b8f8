//! Forwards `tracing` events and panics of the library to the log of the engine.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};
use std::panic::PanicHookInfo;

use tidegate_abi::{self as abi, Status, Str, level};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// The limit for a message, in bytes.
const LONGEST: usize = 8 << 10;

thread_local! {
    /// The instance whose call runs on this thread; 0 for the library.
    static INSTANCE: Cell<u64> = const { Cell::new(0) };
    /// True while a panic of this thread is caught and reported as an error.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
    /// The message of the last panic of this thread, with its place.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Attributes log lines of this thread to an instance, until the guard is dropped.
pub(super) fn within(inst: u64) -> impl Drop {
    struct Back(u64);
    impl Drop for Back {
        fn drop(&mut self) {
            INSTANCE.set(self.0);
        }
    }
    Back(INSTANCE.replace(inst))
}

/// Keeps a panic of this thread for [`last_panic`] instead of logging it, until the guard is dropped.
pub(super) fn expecting_a_panic() -> impl Drop {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            EXPECTED.set(self.0);
        }
    }
    Back(EXPECTED.replace(true))
}

/// The last panic of this thread with its place in the code, if [`init`] has been called.
pub(super) fn last_panic() -> Option<String> {
    PANIC.take()
}

/// Called once, before everything else: installs the log and the panic hook.
pub(super) unsafe extern "C" fn init(host: *const abi::Host, _error: *mut abi::Error) -> Status {
    // SAFETY: the host is valid for the life of the process.
    let host: &'static abi::Host = unsafe { &*host };
    // A program that links this crate may have a subscriber already, which stays.
    let _ = tracing::subscriber::set_global_default(Forward(host));
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match EXPECTED.get() {
        // Where panics abort, there is no return to report the panic, so it is logged here.
        true if cfg!(panic = "unwind") => PANIC.set(Some(described(panic))),
        expected if host.log.is_some() => {
            let who = if expected { "the plugin" } else { "a thread" };
            say(host, level::ERROR, &format!("{who} panicked: {}", described(panic)));
        }
        _ => before(panic),
    }));
    Status::OK
}

/// The message of a panic.
pub(super) fn said(payload: &dyn Any) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "without a message".to_owned(),
    }
}

fn described(panic: &PanicHookInfo<'_>) -> String {
    let said = said(panic.payload());
    match panic.location() {
        Some(place) => format!("{said} ({}:{})", place.file(), place.line()),
        None => said,
    }
}

fn say(host: &'static abi::Host, level: u32, message: &str) {
    if let Some(log) = host.log {
        // SAFETY: the functions of the engine may be called from any thread, with their host.
        unsafe { log(host, INSTANCE.get(), level, Str::new(message)) }
    }
}

/// Forwards events to the engine. Spans are ignored.
pub(super) struct Forward(pub(super) &'static abi::Host);

impl Subscriber for Forward {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level of the engine may change, so each event checks it.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // SAFETY: as in `say`.
        let heard = self.0.log_level.map_or(level::INFO, |log_level| unsafe { log_level(self.0) });
        metadata.is_event() && number(*metadata.level()) <= heard
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut message = line.message + &line.fields;
        if message.len() > LONGEST {
            let end = (0..=LONGEST).rfind(|end| message.is_char_boundary(*end)).unwrap_or_default();
            message.truncate(end);
        }
        say(self.0, number(*event.metadata().level()), &message);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn number(level: Level) -> u32 {
    match level {
        Level::ERROR => level::ERROR,
        Level::WARN => level::WARN,
        Level::INFO => level::INFO,
        Level::DEBUG => level::DEBUG,
        Level::TRACE => level::TRACE,
    }
}

/// An event as a line: the message, then the fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            name => {
                let _ = write!(self.fields, " {name}={value:?}");
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
