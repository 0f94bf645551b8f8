//! One instance of a plugin in this process, and how a call of it is made.
//!
//! Calls never overlap: a lock is held around each, or the instance's thread makes them all. What a call is given lives in
//! a box that outlasts whoever waits for it, because a library may hold on to it until the operation ends.

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

use crate::host_table::{HostTable, Slot, Wakers};
use crate::instance::thread::Thread;
use crate::library::tables::Tables;
use crate::link::{Capabilities, Fault, InstanceContext};

/// How long a call that has taken too long may go on once it was told to stop.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How an instance's calls are made.
#[derive(Clone, Copy)]
pub(crate) struct CallMode {
    /// On a thread of their own.
    pub(crate) thread: bool,
    /// How long one may take there.
    pub(crate) call_time: Duration,
}

/// A call with what it is given and what it answers.
pub(crate) trait Call: Send + 'static {
    /// What is called, for messages: `write`.
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

/// What the thread and late callers need of an instance.
pub(crate) struct Core {
    pub(crate) tables: Tables,
    this: *mut c_void,
    number: u64,
    signals: Arc<Wakers>,
    hub: &'static HostTable,
    /// SharedBatch around each call.
    calls: Mutex<()>,
    /// False once the instance is destroyed.
    alive: RwLock<bool>,
    drained: AtomicBool,
    /// What calls were given that nobody waits for any more.
    abandoned: Mutex<Vec<Box<dyn Any + Send>>>,
}

// SAFETY: the contract lets calls come from different threads, and `calls` keeps them apart.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

impl Instance {
    /// Makes one.
    pub(crate) fn create(
        tables: &Tables,
        hub: &'static HostTable,
        manner: CallMode,
        options: &Value,
        who: &InstanceContext,
    ) -> Result<Self, ConfigError> {
        let options = options.to_string();
        let (number, signals) = hub.register(&who.component);
        let create = abi::Create {
            struct_size: size_of::<abi::Create>() as u32,
            reserved: 0,
            host: hub.table(),
            inst: number,
            event_size: who.event_size as u64,
            name: Str::new(&who.component),
            options: Str::new(&options),
        };
        let (mut this, mut error) = (std::ptr::null_mut(), abi::Error::empty());
        let function = tables.component.create.expect("the handshake has seen it");
        // SAFETY: the table is that of the function, and what it is given is valid for the call.
        let status = unsafe { function(tables.component, &raw const create, &raw mut this, &raw mut error) };
        if status != Status::OK {
            hub.unregister(number);
            return Err(config_error(status, &error));
        }
        let core = Core {
            tables: *tables,
            this,
            number,
            signals,
            hub,
            calls: Mutex::default(),
            alive: RwLock::new(true),
            drained: AtomicBool::new(false),
            abandoned: Mutex::default(),
        };
        let mut instance = Self { core: Arc::new(core), thread: None, call_time: manner.call_time };
        if manner.thread || tables.blocks() {
            let thread = Thread::start(&who.component);
            let thread =
                thread.map_err(|error| ConfigError::at("", format!("no thread can be started: {error}")))?;
            instance.thread = Some(thread);
        }
        Ok(instance)
    }

    /// What it says of itself.
    pub(crate) fn facts(&self) -> Capabilities {
        let mut told = CapabilitiesReport::default();
        // SAFETY: `Capabilities` begins with its size.
        let mut facts: abi::Capabilities = unsafe { abi::sized() };
        facts.ctx = (&raw mut told).cast();
        facts.output = Some(add_output);
        facts.explain = Some(set_explain);
        facts.not_transactional = Some(set_why_not);
        facts.transaction_domain = Some(set_domain);
        facts.no_transaction_domain = Some(set_no_domain);
        facts.exclusive = Some(report::add_exclusive);
        facts.warn = Some(report::add_warning);
        if let Some(describe) = self.core.tables.base.describe {
            // SAFETY: the instance is there, nothing else is under way, and the facts are valid for the call.
            unsafe { describe(self.core.this, &raw mut facts) };
        }
        let CapabilitiesReport { outputs, explain, why_not, domain, exclusive, warnings } = told;
        let why_not =
            why_not.unwrap_or_else(|| "it cannot store a position in one transaction with the events".into());
        Capabilities {
            replay: match facts.replay {
                abi::replay::POSITION => Replay::Position,
                abi::replay::REDELIVERY => Replay::Redelivery,
                _ => Replay::Never,
            },
            commits: facts.wants_commit != 0,
            settles: facts.wants_batch_done != 0,
            waits: facts.waits != 0,
            parallel: facts.parallel != 0,
            transactional: if facts.transactional != 0 { Ok(()) } else { Err(why_not) },
            domain: domain.unwrap_or_else(|| Err(self.core.tables.no_domain().into())),
            outputs,
            explain,
            exclusive,
            warnings,
        }
    }

    /// Whether its calls are made here, rather than on its thread.
    pub(crate) fn is_inline(&self) -> bool {
        self.thread.is_none()
    }

    /// The part that can be shared.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Makes a call until it answers something else than "not yet".
    ///
    /// # Errors
    /// What it answers, or how it broke. [`Status::END`] is no error.
    pub(crate) async fn perform<C: Call>(&self, slot: Slot, cx: &Cx, call: C) -> Result<(C, Status), Fault> {
        let job = Box::new(Job { call, error: abi::Error::empty() });
        let mut parked = Parked { core: &self.core, job: Some(job) };
        loop {
            let job = parked.job.take().expect("it is there between calls");
            let (job, status) = match &self.thread {
                None => self.core.call(slot, job),
                Some(thread) => self.on_thread(thread, slot, job).await?,
            };
            if status != Status::PENDING {
                let Job { call, error } = *job;
                return match status {
                    Status::OK | Status::END => Ok((call, status)),
                    status => Err(fault(status, &error)),
                };
            }
            parked.job = Some(job);
            self.woken(slot, cx).await;
        }
    }

    /// Makes a call of a plugin that does not wait.
    ///
    /// # Errors
    /// What it answers, or how it broke.
    pub(crate) fn call_plain<C: Call>(&self, call: C) -> Result<C, Fault> {
        let (job, status) = self.core.call(Slot::Work, Box::new(Job { call, error: abi::Error::empty() }));
        match status {
            Status::OK => Ok(job.call),
            Status::PENDING => {
                self.core.abandon(job);
                Err(Fault::Broken(format!(
                    "answered `{}` with TG_PENDING, and says that it never waits",
                    C::NAME
                )))
            }
            status => Err(fault(status, &job.error)),
        }
    }

    async fn on_thread<C: Call>(
        &self,
        thread: &Thread,
        slot: Slot,
        job: Box<Job<C>>,
    ) -> Result<(Box<Job<C>>, Status), Fault> {
        let (answer, mut answered) = oneshot::channel();
        let core = Arc::clone(&self.core);
        let handed_over = thread.run(move || {
            let done = core.call(slot, job);
            if let Err((job, _)) = answer.send(done) {
                core.abandon(job);
            }
        });
        if !handed_over {
            return Err(Fault::Broken("takes no calls any more".into()));
        }
        if let Ok(answer) = tokio::time::timeout(self.call_time, &mut answered).await {
            return answer.map_err(|_| Fault::Broken("takes no calls any more".into()));
        }
        self.core.stop();
        match tokio::time::timeout(LAST_WORD, answered).await {
            Ok(Ok((_, Status::CANCELLED) | (_, Status::PENDING))) | Err(_) | Ok(Err(_)) => {}
            Ok(Ok((job, status))) => return Ok((job, status)),
        }
        Err(Fault::Broken(format!("did not return from `{}` within {:?}", C::NAME, self.call_time)))
    }

    /// Waits until it is time for another call, and tells the instance when the pipeline begins to drain.
    async fn woken(&self, slot: Slot, cx: &Cx) {
        // InstanceContext may block has waited already, and need not wake anybody.
        const BREATH: Duration = Duration::from_millis(1);
        let patience = if self.core.tables.blocks() { BREATH } else { Duration::MAX };
        let drained = slot == Slot::Commit || self.core.drained.load(Ordering::Relaxed);
        tokio::select! {
            () = self.core.signals.woken(slot) => {}
            () = cx.stopping(), if !drained => self.drain(),
            () = tokio::time::sleep(patience) => {}
        }
    }

    /// Tells the instance that the pipeline drains.
    pub(crate) fn drain(&self) {
        if self.core.drained.swap(true, Ordering::Relaxed) {
            return;
        }
        let core = Arc::clone(&self.core);
        let drain = move || {
            let _one_at_a_time = core.lock();
            if let Some(drain) = core.tables.base.drain {
                // SAFETY: the instance is there, and no other call is under way.
                unsafe { drain(core.this) };
            }
        };
        match &self.thread {
            None => drain(),
            Some(thread) => drop(thread.run(drain)),
        }
    }

    /// Where a source's progress goes.
    pub(crate) fn tell_progress_to(&self, cx: &Cx) {
        self.core.signals.tell_progress_to(cx.progress());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.core.stop();
        let core = Arc::clone(&self.core);
        match &self.thread {
            None => core.destroy(),
            // Behind the call that it may still be in.
            Some(thread) => drop(thread.run(move || core.destroy())),
        }
    }
}

impl Core {
    fn lock(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.calls.lock()
    }

    fn call<C: Call>(&self, slot: Slot, mut job: Box<Job<C>>) -> (Box<Job<C>>, Status) {
        let _one_at_a_time = self.lock();
        self.signals.calling(slot);
        job.error = abi::Error::empty();
        let Job { call, error } = &mut *job;
        // SAFETY: the instance is there, and no other call is under way.
        let status = unsafe { call.run(self.this, error) };
        (job, status)
    }

    /// Tells a source how all events of one of its batches ended, unless it is gone.
    pub(crate) fn settled(&self, sequence: u64, outcome: u32, reason: &str) {
        let alive = self.alive.read();
        if let (true, Some(batch_done)) = (*alive, self.tables.source().batch_done) {
            // SAFETY: the instance is there as long as `alive` is held, and this call may come beside others.
            unsafe { batch_done(self.this, sequence, outcome, Str::new(reason)) };
        }
    }

    fn stop(&self) {
        if let Some(stop) = self.tables.base.stop {
            // SAFETY: the instance is there until `destroy`, and this call may come beside others.
            unsafe { stop(self.this) };
        }
    }

    fn destroy(&self) {
        let _one_at_a_time = self.lock();
        *self.alive.write() = false;
        let destroy = self.tables.base.destroy.expect("the handshake has seen it");
        // SAFETY: no call is under way, and none comes after this.
        unsafe { destroy(self.this) };
        self.hub.unregister(self.number);
        self.abandoned.lock().clear();
    }

    fn abandon(&self, job: Box<dyn Any + Send>) {
        self.abandoned.lock().push(job);
    }
}

/// What a call is given, while nobody makes it.
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

/// What an answer that is not success means.
fn fault(status: Status, error: &abi::Error) -> Fault {
    let message = match error.message() {
        message if message.is_empty() => format!("it failed with code {}, and says no more", status.0),
        message => message,
    };
    let class = match status {
        Status::RETRY | Status::CANCELLED => Class::Retry,
        Status::BUSY => Class::Busy,
        Status::AMBIGUOUS => Class::Ambiguous,
        Status::MISCONFIGURED => Class::Misconfigured,
        Status::REJECT => Class::Reject,
        Status::REPLAY => Class::Replay,
        Status::PANIC => return Fault::Broken(format!("panicked: {message}")),
        Status(unknown) if unknown > 0 => {
            return Fault::Broken(format!("answered with {unknown}, which means nothing"));
        }
        _ => Class::Fatal,
    };
    let error_after = Duration::from_millis(error.retry_after_ms.into());
    let built = Error::new(class, message);
    Fault::Error(if error_after.is_zero() { built } else { built.after(error_after) })
}

/// What a library says by the error of a call back: why an event was rejected, or is to be tried again.
pub(crate) fn said(error: &abi::Error) -> Error {
    match fault(error.code, error) {
        Fault::Error(error) => error,
        Fault::Broken(why) => Error::retry(why),
    }
}

fn config_error(status: Status, error: &abi::Error) -> ConfigError {
    let message = match error.message() {
        message if message.is_empty() => "the plugin refuses these options, and does not say why".into(),
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

/// What an instance has said of itself by calling back.
#[derive(Default)]
struct CapabilitiesReport {
    outputs: Vec<String>,
    explain: Option<String>,
    why_not: Option<String>,
    domain: Option<Result<String, String>>,
    exclusive: Vec<Exclusive>,
    warnings: Vec<ConfigError>,
}

/// No filter has more outputs.
const OUTPUTS: usize = 1024;

/// # Safety
/// `facts` are those that `describe` was given.
unsafe fn told<'a>(facts: *const abi::Capabilities) -> Option<&'a mut CapabilitiesReport> {
    // SAFETY: their context is the place that was made for it, and nobody else looks at it during the call.
    unsafe { facts.as_ref().and_then(|facts| facts.ctx.cast::<CapabilitiesReport>().as_mut()) }
}

unsafe extern "C" fn add_output(facts: *const abi::Capabilities, name: Str) {
    // SAFETY: the caller hands back the facts, and a text that is valid for the call.
    if let (Some(told), Ok(name)) =
        unsafe { (told(facts), crate::boundary::import_batch::text(name, "an output")) }
        && told.outputs.len() < OUTPUTS
    {
        told.outputs.push(name);
    }
}

unsafe extern "C" fn set_explain(facts: *const abi::Capabilities, text: Str) {
    // SAFETY: as above.
    if let (Some(told), Ok(text)) =
        unsafe { (told(facts), crate::boundary::import_batch::text(text, "what it explains")) }
    {
        told.explain = Some(text);
    }
}

unsafe extern "C" fn set_why_not(facts: *const abi::Capabilities, text: Str) {
    // SAFETY: as above.
    if let (Some(told), Ok(text)) =
        unsafe { (told(facts), crate::boundary::import_batch::text(text, "why not")) }
    {
        told.why_not = Some(text);
    }
}

unsafe extern "C" fn set_domain(facts: *const abi::Capabilities, text: Str) {
    // SAFETY: as above.
    if let (Some(told), Ok(text)) =
        unsafe { (told(facts), crate::boundary::import_batch::text(text, "a domain")) }
    {
        told.domain = Some(Ok(text));
    }
}

unsafe extern "C" fn set_no_domain(facts: *const abi::Capabilities, why: Str) {
    // SAFETY: as above.
    if let (Some(told), Ok(why)) =
        unsafe { (told(facts), crate::boundary::import_batch::text(why, "why not")) }
    {
        told.domain = Some(Err(why));
    }
}
