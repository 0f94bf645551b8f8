//! An instance of a plugin in this process, and its calls.
//!
//! Calls never overlap: each holds a lock, or the thread of the instance makes all of them. The arguments of a call live in a
//! box that outlives the caller, because a library may use them until the operation ends.

pub(crate) mod filter;
pub(crate) mod in_process;
pub(crate) mod lifecycle;
mod report;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod state;
pub(crate) mod thread;

use parking_lot::{Mutex, RwLock};
use std::any::Any;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tidegate_abi::{self as abi, Status, Str};
use tidegate_sdk::{Class, ConfigError, Cx, Error, Exclusive, Replay};
use tokio::sync::oneshot;

use crate::factory::{Capabilities, InstanceContext};
use crate::host_table::{HostTable, Slot, Wakers};
use crate::instance::thread::Thread;
use crate::library::tables::Tables;

/// Time for a call that exceeded its limit to return after `stop`.
const LAST_WORD: Duration = Duration::from_secs(1);

/// The way in which the calls of an instance are made.
#[derive(Clone, Copy)]
pub(crate) struct CallMode {
    /// True if on a thread of their own.
    pub(crate) thread: bool,
    /// The time limit of a call on a thread.
    pub(crate) call_time: Duration,
}

/// A call with its arguments and results.
pub(crate) trait Call: Send + 'static {
    /// The name of the function, for messages: `write`.
    const NAME: &'static str;

    /// Makes the call.
    ///
    /// # Safety
    /// `this` is an instance of the plugin that this call is for.
    unsafe fn run(&mut self, this: *mut c_void, error: &mut abi::Error) -> Status;
}

struct Job<C> {
    call: C,
    error: abi::Error,
}

/// An instance. Dropping it stops and destroys it.
pub(crate) struct Instance {
    core: Arc<Core>,
    thread: Option<Thread>,
    call_time: Duration,
}

/// The part of an instance that its thread and late callers share.
pub(crate) struct Core {
    pub(crate) tables: Tables,
    this: *mut c_void,
    number: u64,
    signals: Arc<Wakers>,
    host: &'static HostTable,
    /// Held during each call.
    calls: Mutex<()>,
    /// False once the instance is destroyed.
    alive: RwLock<bool>,
    drained: AtomicBool,
    /// The arguments of calls that are no longer awaited.
    abandoned: Mutex<Vec<Box<dyn Any + Send>>>,
}

// SAFETY: the contract lets calls come from different threads, and `calls` keeps them apart.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

impl Instance {
    /// Creates an instance.
    pub(crate) fn create(
        tables: &Tables,
        host: &'static HostTable,
        mode: CallMode,
        options: &Value,
        context: &InstanceContext,
    ) -> Result<Self, ConfigError> {
        let options = options.to_string();
        let (number, signals) = host.register(&context.component);
        let create = abi::Create {
            struct_size: size_of::<abi::Create>() as u32,
            reserved: 0,
            host: host.table(),
            inst: number,
            event_size: context.event_size as u64,
            name: Str::new(&context.component),
            options: Str::new(&options),
        };
        let (mut this, mut error) = (std::ptr::null_mut(), abi::Error::empty());
        let function = tables.component.create.expect("the handshake has checked it");
        // SAFETY: the function belongs to the table, and the arguments are valid for the call.
        let status = unsafe { function(tables.component, &raw const create, &raw mut this, &raw mut error) };
        if status != Status::OK {
            host.unregister(number);
            return Err(config_error(status, &error));
        }
        let core = Core {
            tables: *tables,
            this,
            number,
            signals,
            host,
            calls: Mutex::default(),
            alive: RwLock::new(true),
            drained: AtomicBool::new(false),
            abandoned: Mutex::default(),
        };
        let mut instance = Self { core: Arc::new(core), thread: None, call_time: mode.call_time };
        if mode.thread || tables.blocks() {
            let thread = Thread::start(&context.component);
            let thread = thread
                .map_err(|error| ConfigError::at("", format!("a thread cannot be started: {error}")))?;
            instance.thread = Some(thread);
        }
        Ok(instance)
    }

    /// The capabilities of the instance.
    pub(crate) fn capabilities(&self) -> Capabilities {
        let mut report = CapabilitiesReport::default();
        // SAFETY: the first field of `Capabilities` is its size.
        let mut facts: abi::Capabilities = unsafe { abi::sized() };
        facts.ctx = (&raw mut report).cast();
        facts.output = Some(add_output);
        facts.explain = Some(set_explain);
        facts.not_transactional = Some(set_not_transactional);
        facts.transaction_domain = Some(set_transaction_domain);
        facts.no_transaction_domain = Some(set_no_transaction_domain);
        facts.exclusive = Some(report::add_exclusive);
        facts.warn = Some(report::add_warning);
        if let Some(describe) = self.core.tables.base.describe {
            // SAFETY: the instance exists, no other call is in progress, and the struct is valid for the call.
            unsafe { describe(self.core.this, &raw mut facts) };
        }
        let CapabilitiesReport { outputs, explain, why_not, domain, exclusive, warnings } = report;
        let why_not =
            why_not.unwrap_or_else(|| "it cannot store a position in one transaction with the events".into());
        Capabilities {
            replay: match facts.replay {
                abi::replay::POSITION => Replay::Position,
                abi::replay::REDELIVERY => Replay::Redelivery,
                _ => Replay::Never,
            },
            wants_commit: facts.wants_commit != 0,
            wants_batch_done: facts.wants_batch_done != 0,
            waits: facts.waits != 0,
            parallel: facts.parallel != 0,
            transactional: if facts.transactional != 0 { Ok(()) } else { Err(why_not) },
            transaction_domain: domain
                .unwrap_or_else(|| Err(self.core.tables.no_transaction_domain().into())),
            outputs,
            explain,
            exclusive,
            warnings,
        }
    }

    /// True if its calls are made inline rather than on its thread.
    pub(crate) fn is_inline(&self) -> bool {
        self.thread.is_none()
    }

    /// The shared part.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Repeats a call until it returns another status than "pending".
    ///
    /// # Errors
    /// The error that it returns, or how it broke. [`Status::END`] is not an error.
    pub(crate) async fn perform<C: Call>(&self, slot: Slot, cx: &Cx, call: C) -> Result<(C, Status), Error> {
        let job = Box::new(Job { call, error: abi::Error::empty() });
        let mut parked = Parked { core: &self.core, job: Some(job) };
        loop {
            let job = parked.job.take().expect("the job is parked between calls");
            let (job, status) = match &self.thread {
                None => self.core.call(slot, job),
                Some(thread) => self.on_thread(thread, slot, job).await?,
            };
            if status != Status::PENDING {
                let Job { call, error } = *job;
                return match status {
                    Status::OK | Status::END => Ok((call, status)),
                    status => Err(error_of(status, &error)),
                };
            }
            parked.job = Some(job);
            self.woken(slot, cx).await;
        }
    }

    /// Makes a call of a plugin that does not wait.
    ///
    /// # Errors
    /// The error that it returns, or how it broke.
    pub(crate) fn call_plain<C: Call>(&self, call: C) -> Result<C, Error> {
        let (job, status) = self.core.call(Slot::Work, Box::new(Job { call, error: abi::Error::empty() }));
        match status {
            Status::OK => Ok(job.call),
            Status::PENDING => {
                self.core.abandon(job);
                Err(Error::broken(format!("returned TG_PENDING from `{}` although it never waits", C::NAME)))
            }
            status => Err(error_of(status, &job.error)),
        }
    }

    async fn on_thread<C: Call>(
        &self,
        thread: &Thread,
        slot: Slot,
        job: Box<Job<C>>,
    ) -> Result<(Box<Job<C>>, Status), Error> {
        let (answer, mut answered) = oneshot::channel();
        let core = Arc::clone(&self.core);
        let is_running = thread.run(move || {
            let done = core.call(slot, job);
            if let Err((job, _)) = answer.send(done) {
                core.abandon(job);
            }
        });
        if !is_running {
            return Err(Error::broken("takes no more calls"));
        }
        if let Ok(answer) = tokio::time::timeout(self.call_time, &mut answered).await {
            return answer.map_err(|_| Error::broken("takes no more calls"));
        }
        self.core.stop();
        match tokio::time::timeout(LAST_WORD, answered).await {
            Ok(Ok((_, Status::CANCELLED) | (_, Status::PENDING))) | Err(_) | Ok(Err(_)) => {}
            Ok(Ok((job, status))) => return Ok((job, status)),
        }
        Err(Error::broken(format!("did not return from `{}` within {:?}", C::NAME, self.call_time)))
    }

    /// Waits until the call has to be repeated, and calls `drain` when the pipeline begins to drain.
    async fn woken(&self, slot: Slot, cx: &Cx) {
        // A plugin that blocks has waited already, and does not have to wake the engine.
        const BREATH: Duration = Duration::from_millis(1);
        let patience = if self.core.tables.blocks() { BREATH } else { Duration::MAX };
        let drained = slot == Slot::Commit || self.core.drained.load(Ordering::Relaxed);
        tokio::select! {
            () = self.core.signals.woken(slot) => {}
            () = cx.stopping(), if !drained => self.drain(),
            () = tokio::time::sleep(patience) => {}
        }
    }

    /// Calls `drain`, once.
    pub(crate) fn drain(&self) {
        if self.core.drained.swap(true, Ordering::Relaxed) {
            return;
        }
        let core = Arc::clone(&self.core);
        let drain = move || {
            let _guard = core.lock();
            if let Some(drain) = core.tables.base.drain {
                // SAFETY: the instance exists, and no other call is in progress.
                unsafe { drain(core.this) };
            }
        };
        match &self.thread {
            None => drain(),
            Some(thread) => drop(thread.run(drain)),
        }
    }

    /// Sets the destination of a source's progress.
    pub(crate) fn report_progress_to(&self, cx: &Cx) {
        self.core.signals.report_progress_to(cx.progress());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.core.stop();
        let core = Arc::clone(&self.core);
        match &self.thread {
            None => core.destroy(),
            // After the call that may still be in progress.
            Some(thread) => drop(thread.run(move || core.destroy())),
        }
    }
}

impl Core {
    fn lock(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.calls.lock()
    }

    fn call<C: Call>(&self, slot: Slot, mut job: Box<Job<C>>) -> (Box<Job<C>>, Status) {
        let _guard = self.lock();
        self.signals.calling(slot);
        job.error = abi::Error::empty();
        let Job { call, error } = &mut *job;
        // SAFETY: the instance exists, and no other call is in progress.
        let status = unsafe { call.run(self.this, error) };
        (job, status)
    }

    /// Calls `batch_done` of a source that is not destroyed.
    pub(crate) fn batch_done(&self, sequence: u64, outcome: u32, reason: &str) {
        let alive = self.alive.read();
        if let (true, Some(batch_done)) = (*alive, self.tables.source().batch_done) {
            // SAFETY: the instance exists while `alive` is held, and this call may overlap others.
            unsafe { batch_done(self.this, sequence, outcome, Str::new(reason)) };
        }
    }

    fn stop(&self) {
        if let Some(stop) = self.tables.base.stop {
            // SAFETY: the instance exists until `destroy`, and this call may overlap others.
            unsafe { stop(self.this) };
        }
    }

    fn destroy(&self) {
        let _guard = self.lock();
        *self.alive.write() = false;
        let destroy = self.tables.base.destroy.expect("the handshake has checked it");
        // SAFETY: no call is in progress, and none comes after this.
        unsafe { destroy(self.this) };
        self.host.unregister(self.number);
        self.abandoned.lock().clear();
    }

    fn abandon(&self, job: Box<dyn Any + Send>) {
        self.abandoned.lock().push(job);
    }
}

/// The arguments of a call between its repetitions.
struct Parked<'a, C: Call> {
    core: &'a Core,
    job: Option<Box<Job<C>>>,
}

impl<C: Call> Drop for Parked<'_, C> {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            self.core.abandon(job);
        }
    }
}

/// The error for a status that is not success.
fn error_of(status: Status, error: &abi::Error) -> Error {
    let message = match error.message() {
        message if message.is_empty() => format!("it failed with code {} and without a message", status.0),
        message => message,
    };
    let class = match status {
        Status::RETRY | Status::CANCELLED => Class::Retry,
        Status::BUSY => Class::Busy,
        Status::AMBIGUOUS => Class::Ambiguous,
        Status::MISCONFIGURED => Class::Misconfigured,
        Status::REJECT => Class::Reject,
        Status::REPLAY => Class::Replay,
        Status::PANIC => return Error::broken(format!("panicked: {message}")),
        Status(unknown) if unknown > 0 => {
            return Error::broken(format!("returned {unknown}, which is not a status"));
        }
        _ => Class::Fatal,
    };
    let pause = Duration::from_millis(error.retry_after_ms.into());
    let built = Error::new(class, message);
    if pause.is_zero() { built } else { built.after(pause) }
}

/// The error that a library passes to a callback: the reason to reject or retry an event.
pub(crate) fn passed_error(error: &abi::Error) -> Error {
    let error = error_of(error.code, error);
    if error.class() == Class::Broken { Error::retry(error.message()) } else { error }
}

fn config_error(status: Status, error: &abi::Error) -> ConfigError {
    let message = match error.message() {
        message if message.is_empty() => "the plugin refuses these options without a message".into(),
        message if status == Status::PANIC => format!("the plugin panicked: {message}"),
        message => message,
    };
    let mut built = ConfigError::at(error.path(), message);
    if error.range_from < error.range_to {
        built = built.range(error.range_from as usize..error.range_to as usize);
    }
    match error.help() {
        help if help.is_empty() => built,
        help => built.help(help),
    }
}

/// The report of an instance through callbacks of `describe`.
#[derive(Default)]
struct CapabilitiesReport {
    outputs: Vec<String>,
    explain: Option<String>,
    why_not: Option<String>,
    domain: Option<Result<String, String>>,
    exclusive: Vec<Exclusive>,
    warnings: Vec<ConfigError>,
}

/// The limit for outputs of a filter.
const OUTPUTS: usize = 1024;

/// The report that callbacks of `describe` fill in.
///
/// # Safety
/// `to` is the struct that `describe` received.
unsafe fn collected<'a>(to: *const abi::Capabilities) -> Option<&'a mut CapabilitiesReport> {
    // SAFETY: its context is the report, which no other code accesses during the call.
    unsafe { to.as_ref().and_then(|to| to.ctx.cast::<CapabilitiesReport>().as_mut()) }
}

/// Passes a text of `describe` to the report of the instance. A text that is too long or not UTF-8 is ignored.
///
/// # Safety
/// `to` is the struct that `describe` received, and the text is valid for the call.
unsafe fn report(
    to: *const abi::Capabilities,
    text: Str,
    what: &str,
    set: impl FnOnce(&mut CapabilitiesReport, String),
) {
    // SAFETY: the caller guarantees it.
    let (report, text) = unsafe { (collected(to), tidegate_codec::text(text, what)) };
    if let (Some(report), Ok(text)) = (report, text) {
        set(report, text);
    }
}

unsafe extern "C" fn add_output(to: *const abi::Capabilities, name: Str) {
    let add = |report: &mut CapabilitiesReport, name: String| {
        if report.outputs.len() < OUTPUTS {
            report.outputs.push(name);
        }
    };
    // SAFETY: the plugin passes the struct that it received, and a text that is valid for the call.
    unsafe { report(to, name, "an output", add) }
}

unsafe extern "C" fn set_explain(to: *const abi::Capabilities, text: Str) {
    // SAFETY: as above.
    unsafe { report(to, text, "an explanation", |report, text| report.explain = Some(text)) }
}

unsafe extern "C" fn set_not_transactional(to: *const abi::Capabilities, why: Str) {
    // SAFETY: as above.
    unsafe { report(to, why, "a reason", |report, why| report.why_not = Some(why)) }
}

unsafe extern "C" fn set_transaction_domain(to: *const abi::Capabilities, name: Str) {
    // SAFETY: as above.
    unsafe { report(to, name, "a transaction domain", |report, name| report.domain = Some(Ok(name))) }
}

unsafe extern "C" fn set_no_transaction_domain(to: *const abi::Capabilities, why: Str) {
    // SAFETY: as above.
    unsafe { report(to, why, "a reason", |report, why| report.domain = Some(Err(why))) }
}
