//! A small engine for tests, which records every call that it receives.

use std::ffi::c_void;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_abi::{self as abi, Base, Buf, Create, Host, Module, Open, Status, Str, View};

use super::super::table::Library;
use tidegate_sdk::{AttributeValue, Plugin};

/// The calls that the engine received, and the instances that woke it up.
#[derive(Default)]
pub(super) struct Heard {
    woken: Mutex<Vec<u64>>,
    bell: Condvar,
    pub(super) log: Mutex<Vec<(u64, u32, String)>>,
    pub(super) progress: Mutex<Vec<(u64, u64)>>,
    pub(super) loudest: Mutex<u32>,
}

/// The engine's side: lives for ever, as the header says.
#[derive(Clone, Copy)]
pub(super) struct Engine {
    pub(super) host: &'static Host,
    pub(super) heard: &'static Heard,
}

impl Engine {
    pub(super) fn new() -> Self {
        let heard: &'static Heard = Box::leak(Box::default());
        *heard.loudest.lock().unwrap() = abi::level::INFO;
        let host = Host {
            struct_size: size_of::<Host>() as u32,
            abi_minor: abi::MINOR,
            version: Str::new("0.0.0"),
            ctx: std::ptr::from_ref(heard).cast_mut().cast(),
            log: Some(log),
            log_level: Some(log_level),
            wake: Some(wake),
            wake_after: None,
            progress: Some(progress),
            get_extension: None,
        };
        Self { host: Box::leak(Box::new(host)), heard }
    }

    /// The number of times that this instance has woken the engine up.
    pub(super) fn wakes(self, inst: u64) -> usize {
        self.heard.woken.lock().unwrap().iter().filter(|woken| **woken == inst).count()
    }

    /// Waits until the instance has woken the engine up more than `before` times.
    pub(super) fn wait(self, inst: u64, before: usize) {
        let woken = self.heard.woken.lock().unwrap();
        let silent = |woken: &mut Vec<u64>| woken.iter().filter(|woken| **woken == inst).count() <= before;
        let waited = self.heard.bell.wait_timeout_while(woken, Duration::from_secs(20), silent).unwrap();
        assert!(!waited.1.timed_out(), "instance {inst} wakes the engine up");
    }
}

unsafe fn heard<'a>(host: *const Host) -> &'a Heard {
    unsafe { &*(*host).ctx.cast::<Heard>() }
}

unsafe extern "C" fn log(host: *const Host, inst: u64, level: u32, message: Str) {
    unsafe { heard(host).log.lock().unwrap().push((inst, level, message.text().into_owned())) }
}

unsafe extern "C" fn log_level(host: *const Host) -> u32 {
    unsafe { *heard(host).loudest.lock().unwrap() }
}

unsafe extern "C" fn wake(host: *const Host, inst: u64) {
    let heard = unsafe { heard(host) };
    heard.woken.lock().unwrap().push(inst);
    heard.bell.notify_all();
}

unsafe extern "C" fn progress(host: *const Host, _inst: u64, done: u64, total: u64) {
    unsafe { heard(host).progress.lock().unwrap().push((done, total)) }
}

/// An instance, as an engine holds it. Ends with it.
pub(super) struct Instance {
    pub(super) engine: Engine,
    pub(super) inst: u64,
    pub(super) this: *mut c_void,
    pub(super) base: &'static Base,
    ops: *const c_void,
}

// The engine may make its calls from any thread.
unsafe impl Send for Instance {}
unsafe impl Sync for Instance {}

/// A library of these plugins.
pub(super) fn library(plugins: Vec<Plugin>) -> &'static Module {
    let library: &'static Library = Box::leak(Box::default());
    unsafe { &*library.table("tests", "1.2.3", || plugins) }
}

impl Engine {
    /// An instance of the first plugin of `library`, or why there is none.
    pub(super) fn create_of(
        self,
        library: &Module,
        inst: u64,
        options: &Value,
    ) -> Result<Instance, Box<abi::Error>> {
        let (component, options) = (unsafe { *library.components }, options.to_string());
        let create = Create {
            struct_size: size_of::<Create>() as u32,
            reserved: 0,
            host: self.host,
            inst,
            event_size: 1 << 20,
            name: Str::new("the_component"),
            options: Str::new(&options),
        };
        let (mut this, mut error) = (std::ptr::null_mut(), abi::Error::empty());
        let make = unsafe { (*component).create.unwrap() };
        let status = unsafe { make(component, &raw const create, &raw mut this, &raw mut error) };
        let (base, ops) = unsafe { (&*(*component).base, (*component).ops) };
        match status {
            Status::OK => Ok(Instance { engine: self, inst, this, base, ops }),
            _ => Err(Box::new(error)),
        }
    }

    /// Instance 1 of this plugin, with no options.
    pub(super) fn create(self, plugin: Plugin) -> Instance {
        self.create_of(library(vec![plugin]), 1, &json!({})).ok().unwrap()
    }
}

impl Instance {
    /// Asks until the answer is another one than "not yet", each time the instance wakes the engine up.
    pub(super) fn until_done(&self, mut ask: impl FnMut(*mut abi::Error) -> Status) -> (Status, abi::Error) {
        loop {
            let (before, mut error) = (self.engine.wakes(self.inst), abi::Error::empty());
            match ask(&raw mut error) {
                Status::PENDING => self.engine.wait(self.inst, before),
                status => return (status, error),
            }
        }
    }

    /// Opens a source, and says whether the sink acknowledges for it.
    pub(super) fn open_as(&self, sink_acknowledges: bool) -> Status {
        let open = Open { sink_acknowledges: sink_acknowledges.into(), ..unsafe { abi::sized() } };
        self.until_done(|error| unsafe { self.base.open.unwrap()(self.this, &raw const open, error) }).0
    }

    pub(super) fn open_at(&self, position: Option<&str>) -> (Status, abi::Error) {
        let position = position.map(|position| abi::Resume {
            partition: Str::new("part"),
            position: Buf::new(position.as_bytes()),
        });
        let open = Open {
            struct_size: size_of::<Open>() as u32,
            n_resume: u32::from(position.is_some()),
            resume: position.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
            sink_acknowledges: 0,
            reserved: 0,
        };
        self.until_done(|error| unsafe { self.base.open.unwrap()(self.this, &raw const open, error) })
    }

    pub(super) fn open(&self) -> Status {
        self.open_at(None).0
    }

    pub(super) fn close(&self) -> (Status, abi::Error) {
        self.until_done(|error| unsafe { self.base.close.unwrap()(self.this, error) })
    }

    pub(super) fn drain(&self) {
        unsafe { self.base.drain.unwrap()(self.this) }
    }

    pub(super) fn stop(&self) {
        unsafe { self.base.stop.unwrap()(self.this) }
    }

    pub(super) fn describe(&self) -> (abi::Capabilities, Vec<String>) {
        unsafe extern "C" fn note(facts: *const abi::Capabilities, text: Str) {
            unsafe { (*(*facts).ctx.cast::<Vec<String>>()).push(text.text().into_owned()) }
        }
        let mut texts: Vec<String> = Vec::new();
        let mut facts: abi::Capabilities = unsafe { abi::sized() };
        facts.ctx = (&raw mut texts).cast();
        facts.output = Some(note);
        facts.explain = Some(note);
        facts.not_transactional = Some(note);
        unsafe { self.base.describe.unwrap()(self.this, &raw mut facts) }
        (facts, texts)
    }

    pub(super) fn source(&self) -> &abi::Source {
        unsafe { &*self.ops.cast() }
    }

    /// Asks once for the next batch.
    pub(super) fn poll_next(&self) -> (Status, abi::Error, abi::Batch) {
        let (mut batch, mut error) = (unsafe { abi::sized::<abi::Batch>() }, abi::Error::empty());
        let status = unsafe { self.source().next.unwrap()(self.this, 0, &raw mut batch, &raw mut error) };
        (status, error, batch)
    }

    pub(super) fn next(&self) -> (Status, abi::Error, abi::Batch) {
        let mut read = unsafe { abi::sized::<abi::Batch>() };
        let (status, error) = self
            .until_done(|error| unsafe { self.source().next.unwrap()(self.this, 0, &raw mut read, error) });
        (status, error, read)
    }

    pub(super) fn commit(&self, position: &str) -> Status {
        let (partition, place) = (Str::new("part"), Buf::new(position.as_bytes()));
        self.until_done(|error| unsafe { self.source().commit.unwrap()(self.this, partition, place, error) })
            .0
    }

    pub(super) fn batch_done(&self, seq: u64, outcome: u32, reason: &str) {
        unsafe { self.source().batch_done.unwrap()(self.this, seq, outcome, Str::new(reason)) }
    }

    fn filter(&self) -> &abi::Filter {
        unsafe { &*self.ops.cast() }
    }

    pub(super) fn process(&self, given: &Given) -> (Status, abi::Error, Box<PutOut>) {
        let mut put = PutOut::new(given);
        let out = put.table();
        let (status, error) = self.until_done(|error| unsafe {
            self.filter().process.unwrap()(self.this, &raw const given.table, &raw const out, error)
        });
        (status, error, put)
    }

    /// Asks once.
    pub(super) fn poll_process(&self, given: &Given) -> (Status, abi::Error) {
        let (mut put, mut error) = (PutOut::new(given), abi::Error::empty());
        let out = put.table();
        let process = self.filter().process.unwrap();
        (unsafe { process(self.this, &raw const given.table, &raw const out, &raw mut error) }, error)
    }

    pub(super) fn sink(&self) -> &abi::Sink {
        unsafe { &*self.ops.cast() }
    }

    pub(super) fn write(&self, given: &Given) -> (Status, abi::Error, Box<Reported>) {
        let mut reported = Box::<Reported>::default();
        let report = reported.table();
        let (status, error) = self.until_done(|error| unsafe {
            self.sink().write.unwrap()(self.this, &raw const given.table, &raw const report, error)
        });
        (status, error, reported)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        unsafe { self.base.destroy.unwrap()(self.this) }
    }
}

/// A batch as an engine gives it, and how often it is held on to.
pub(super) struct Given {
    pub(super) table: abi::Batch,
    holders: Arc<Mutex<isize>>,
    /// True if the engine calls again with the events that a filter defers.
    pub(super) comes_back: bool,
    /// The number of the operation; the third is the last.
    pub(super) attempt: u32,
}

unsafe extern "C" fn retain(owner: *mut c_void) {
    unsafe { *(*owner.cast::<Mutex<isize>>()).lock().unwrap() += 1 }
}

unsafe extern "C" fn release(owner: *mut c_void) {
    unsafe { *(*owner.cast::<Mutex<isize>>()).lock().unwrap() -= 1 }
}

impl Given {
    /// A buffer in which each of these texts is an event; `from` counts from 100.
    pub(super) fn of(texts: &[&str]) -> Self {
        let ends = texts.iter().scan(0, |end, text| {
            *end += text.len() as u32;
            Some(*end)
        });
        let view =
            |(end, text): (u32, &&str)| View { buf: 0, off: end - text.len() as u32, len: text.len() as u32 };
        let views: Vec<View> = ends.zip(texts).map(view).collect();
        Self::spelled(texts.concat().into_bytes(), &views, |_| {})
    }

    /// A buffer and these views of it, one run; `more` adds what else there is.
    pub(super) fn spelled(bytes: Vec<u8>, views: &[View], more: impl FnOnce(&mut abi::Batch)) -> Self {
        let bytes = bytes.leak();
        let buffers = vec![Buf::new(bytes)].leak();
        let from = (100..100 + views.len() as u32).collect::<Vec<u32>>().leak();
        let run = abi::Run {
            end: views.len() as u32,
            attr: 0,
            n_attr: 0,
            reserved: 0,
            first: 7000,
            sequence: 7,
            source: Str::new("the_source"),
            partition: Str::new("part"),
            position: Buf::new(b"9"),
        };
        let runs = vec![run].leak();
        let holders = Arc::new(Mutex::new(0));
        let mut table = abi::Batch {
            n: views.len() as u32,
            n_buf: 1,
            n_run: 1,
            buf: buffers.as_ptr(),
            data: views.to_vec().leak().as_ptr(),
            run: runs.as_ptr(),
            from: from.as_ptr(),
            owner: Arc::as_ptr(&holders).cast_mut().cast(),
            retain: Some(retain),
            release: Some(release),
            ..unsafe { abi::sized() }
        };
        more(&mut table);
        Self { table, holders, comes_back: true, attempt: 1 }
    }

    /// The number of references that the library holds.
    pub(super) fn held(&self) -> isize {
        *self.holders.lock().unwrap()
    }
}

/// An event that was passed to the engine, with all its columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Event {
    pub(super) data: String,
    pub(super) key: Option<String>,
    pub(super) time: Option<i64>,
    pub(super) attributes: Option<Vec<(String, AttributeValue)>>,
    pub(super) from: Option<u32>,
}

/// Reads a batch that was passed to the engine, over the buffers of `given` and its own.
pub(super) fn events(batch: &abi::Batch, given: Option<&abi::Batch>) -> Vec<Event> {
    unsafe fn list<'a, T>(start: *const T, count: u32) -> &'a [T] {
        if start.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(start, count as usize) } }
    }
    unsafe {
        let mut buffers = given.map_or(Vec::new(), |given| list(given.buf, given.n_buf).to_vec());
        buffers.extend(list(batch.buf, batch.n_buf));
        let text = |view: &View| {
            let bytes = &buffers[view.buf as usize].bytes()[view.off as usize..][..view.len as usize];
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        let attrs = list(batch.attr, batch.n_attr);
        let event = |i: usize| Event {
            data: text(&list(batch.data, batch.n)[i]),
            key: list(batch.key, batch.n).get(i).filter(|view| view.buf != abi::NONE).map(text),
            time: list(batch.time, batch.n).get(i).copied().filter(|time| *time != abi::NO_TIME),
            attributes: list(batch.attr_end, batch.n).get(i).map(|end| {
                let start = if i == 0 { 0 } else { list(batch.attr_end, batch.n)[i - 1] };
                attrs[start as usize..*end as usize].iter().map(|attr| attribute(attr, &text)).collect()
            }),
            from: list(batch.from, batch.n).get(i).copied(),
        };
        (0..batch.n as usize).map(event).collect()
    }
}

fn attribute(attr: &abi::Attr, text: &dyn Fn(&View) -> String) -> (String, AttributeValue) {
    let value = unsafe {
        match attr.kind {
            abi::attribute::TEXT => AttributeValue::Text(text(&attr.value.text)),
            abi::attribute::INTEGER => AttributeValue::Integer(attr.value.i),
            abi::attribute::FLOAT => AttributeValue::Float(attr.value.f),
            _ => AttributeValue::Boolean(attr.value.i == 1),
        }
    };
    (text(&attr.name), value)
}

/// Gives the buffers of a batch back.
pub(super) fn give_back(batch: &abi::Batch) {
    if let Some(release) = batch.release {
        unsafe { release(batch.owner) }
    }
}

/// The output of a filter.
pub(super) struct PutOut {
    given: abi::Batch,
    pub(super) emitted: Vec<(u32, Vec<Event>)>,
    /// The number of buffers of its own that each batch brought.
    pub(super) own_buffers: Vec<u32>,
    pub(super) rejected: Vec<(u32, String)>,
    pub(super) left: Option<u32>,
    /// True if the engine calls again with the deferred events.
    comes_back: bool,
    attempt: u32,
}

impl PutOut {
    fn new(given: &Given) -> Box<Self> {
        let (emitted, own_buffers, rejected) = Default::default();
        let Given { comes_back, attempt, .. } = *given;
        Box::new(Self { given: given.table, emitted, own_buffers, rejected, left: None, comes_back, attempt })
    }

    fn table(&mut self) -> abi::Out {
        unsafe extern "C" fn emit(out: *const abi::Out, port: u32, batch: *const abi::Batch) -> Status {
            unsafe {
                let (put, batch) = (&mut *(*out).ctx.cast::<PutOut>(), &*batch);
                put.emitted.push((port, events(batch, Some(&put.given))));
                put.own_buffers.push(batch.n_buf);
                give_back(batch);
            }
            Status::OK
        }
        unsafe extern "C" fn reject(out: *const abi::Out, event: u32, why: *const abi::Error) -> Status {
            unsafe { (*(*out).ctx.cast::<PutOut>()).rejected.push((event, (*why).message())) }
            Status::OK
        }
        unsafe extern "C" fn defer_from(out: *const abi::Out, event: u32) -> Status {
            let put = unsafe { &mut *(*out).ctx.cast::<PutOut>() };
            put.left = Some(event);
            if put.comes_back { Status::OK } else { Status::UNSUPPORTED }
        }
        abi::Out {
            struct_size: size_of::<abi::Out>() as u32,
            attempt: self.attempt,
            ctx: std::ptr::from_mut(self).cast(),
            emit: Some(emit),
            reject: Some(reject),
            defer_from: Some(defer_from),
            is_last_attempt: u32::from(self.attempt == 3),
            reserved: 0,
        }
    }
}

/// The report of a sink.
#[derive(Default)]
pub(super) struct Reported {
    pub(super) rejected: Vec<(u32, String)>,
    pub(super) again: Vec<(u32, abi::Status, u32)>,
    pub(super) failed: Vec<(u32, abi::Status, String)>,
    pub(super) elsewhere: Vec<u32>,
}

impl Reported {
    pub(super) fn table(&mut self) -> abi::Report {
        unsafe extern "C" fn reject(to: *const abi::Report, event: u32, why: *const abi::Error) -> Status {
            unsafe { (*(*to).ctx.cast::<Reported>()).rejected.push((event, (*why).message())) }
            Status::OK
        }
        unsafe extern "C" fn retry(to: *const abi::Report, event: u32, why: *const abi::Error) -> Status {
            unsafe { (*(*to).ctx.cast::<Reported>()).again.push((event, (*why).code, (*why).retry_after_ms)) }
            Status::OK
        }
        unsafe extern "C" fn failed(to: *const abi::Report, event: u32, why: *const abi::Error) -> Status {
            unsafe { (*(*to).ctx.cast::<Reported>()).failed.push((event, (*why).code, (*why).message())) }
            Status::OK
        }
        unsafe extern "C" fn already_done(to: *const abi::Report, event: u32) -> Status {
            unsafe { (*(*to).ctx.cast::<Reported>()).elsewhere.push(event) }
            Status::OK
        }
        abi::Report {
            struct_size: size_of::<abi::Report>() as u32,
            reserved: 0,
            ctx: std::ptr::from_mut(self).cast(),
            reject: Some(reject),
            retry: Some(retry),
            failed: Some(failed),
            already_done: Some(already_done),
        }
    }
}
