//! Acknowledging sources and sinks, and a synthetic older engine, whose structs are shorter than those of the SDK.

use std::mem::offset_of;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_abi::{self as abi, Status, Str};

use super::components::seen;
use super::host::{Engine, Given, Instance, Reported, give_back};
use tidegate_sdk::{
    AckHandles, AcknowledgingSink, Batch, Cx, Delivery, Error, Plugin, Replay, Sink, Source, SourceBatch,
    async_trait,
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// A source that says in its batch whether the sink acknowledges for it, and passes handles in both cases.
struct Entries;

#[async_trait]
impl Source for Entries {
    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        let mut builder = Batch::builder();
        builder.push_copy(format!("sink acknowledges: {}", cx.sink_acknowledges()).as_bytes());
        let mut ack_handles = AckHandles::new(&["stream".to_owned(), "group".to_owned()].into());
        ["1-0", "", "1-12"].iter().for_each(|receipt| ack_handles.push(receipt.as_bytes()));
        Ok(Some(SourceBatch::from(builder.finish()).with_ack_handles(ack_handles)))
    }
    fn replay(&self) -> Replay {
        Replay::Redelivery
    }
    fn transaction_domain(&self) -> Result<String, Error> {
        Ok("server 7".into())
    }
}

/// A sink that rejects the entries that it should acknowledge, and reports them as the reason.
struct Acknowledging;

#[async_trait]
impl Sink for Acknowledging {
    async fn write(&mut self, _: &Batch, _: &Cx) -> Result<Delivery, Error> {
        let mut delivery = Delivery::complete();
        delivery.reject(0, "no");
        Ok(delivery)
    }
    fn acknowledging(&mut self) -> Result<&mut dyn AcknowledgingSink, Error> {
        Ok(self)
    }
}

#[async_trait]
impl AcknowledgingSink for Acknowledging {
    fn transaction_domain(&self) -> String {
        "elsewhere".to_owned()
    }
    async fn ack_and_write(
        &mut self,
        batch: &Batch,
        handles: &AckHandles,
        _: &Cx,
    ) -> Result<Delivery, Error> {
        tokio::task::yield_now().await;
        let mut delivery = Delivery::complete();
        let all: Vec<String> =
            handles.range().map(|index| format!("{index}={}", handles.get(index).escape_ascii())).collect();
        for (event, text) in seen(batch).iter().enumerate() {
            delivery.reject(event, format!("{text}: {} {}", handles.scope().join("/"), all.join(" ")));
        }
        delivery.already_done(5);
        delivery.already_done(2);
        Ok(delivery)
    }
}

fn source() -> Instance {
    Engine::new().create(Plugin::source("entries", "reads", "", |_: Nothing| Ok(Entries)))
}

fn sink() -> Instance {
    Engine::new().create(Plugin::sink("acknowledging", "acknowledges", "", |_: Nothing| Ok(Acknowledging)))
}

/// A struct as an older engine has it: it ends before a field that the engine does not know, and all bytes after that
/// are foreign memory.
struct Old<T> {
    table: T,
    size: usize,
}

const STRANGE: u8 = 0xAA;

impl<T> Old<T> {
    fn of(mut table: T, size: usize) -> Self {
        let start = (&raw mut table).cast::<u8>();
        unsafe {
            start.cast::<u32>().write(size as u32);
            start.add(size).write_bytes(STRANGE, size_of::<T>() - size);
        }
        Self { table, size }
    }

    fn is_untouched_after(&self) -> bool {
        let start = (&raw const self.table).cast::<u8>();
        (self.size..size_of::<T>()).all(|at| unsafe { start.add(at).read() } == STRANGE)
    }
}

/// The transaction domain that an instance reports, or the reason why it has none.
fn domain(instance: &Instance) -> Vec<String> {
    unsafe extern "C" fn there(facts: *const abi::Capabilities, text: Str) {
        unsafe { (*(*facts).ctx.cast::<Vec<String>>()).push(format!("in {}", text.text())) }
    }
    unsafe extern "C" fn not(facts: *const abi::Capabilities, why: Str) {
        unsafe { (*(*facts).ctx.cast::<Vec<String>>()).push(format!("not: {}", why.text())) }
    }
    let mut reported: Vec<String> = Vec::new();
    let mut facts: abi::Capabilities = unsafe { abi::sized() };
    facts.ctx = (&raw mut reported).cast();
    facts.transaction_domain = Some(there);
    facts.no_transaction_domain = Some(not);
    unsafe { instance.base.describe.unwrap()(instance.this, &raw mut facts) }
    reported
}

#[test]
fn source_and_sink_name_their_transaction_domain_or_why_there_is_none() {
    assert_eq!(domain(&source()), ["in server 7"]);
    assert_eq!(domain(&sink()), ["in elsewhere"]);
    let other = Engine::new().create(super::components::transactional());
    let reason = "not: it cannot acknowledge events in one transaction with what it writes";
    assert_eq!(domain(&other), [reason]);
}

#[test]
fn source_passes_its_handles_if_the_sink_acknowledges() {
    let source = source();
    assert_eq!(source.open_as(true), Status::OK);
    let (status, _, batch) = source.next();
    assert_eq!(status, Status::OK);
    let ack_handles = unsafe { &*batch.ack_handles };
    let scope = unsafe { std::slice::from_raw_parts(ack_handles.scope, ack_handles.n_scope as usize) };
    let scope: Vec<_> = scope.iter().map(|text| unsafe { text.text() }).collect();
    let ends = unsafe { std::slice::from_raw_parts(ack_handles.end, ack_handles.n as usize) };
    let bytes = unsafe { std::slice::from_raw_parts(ack_handles.bytes, 7) };
    assert_eq!(
        (scope, ends, bytes),
        (vec!["stream".into(), "group".into()], &[3, 3, 7][..], &b"1-01-12"[..])
    );
    assert_eq!((ack_handles.struct_size, ack_handles.first), (40, 0));
    assert_eq!(super::host::events(&batch, None)[0].data, "sink acknowledges: true");
    give_back(&batch);
}

#[test]
fn sink_acknowledges_the_entries_of_its_handles() {
    let sink = sink();
    let given = Given::of(&["a"]);
    let scope = [Str::new("stream")];
    let ack_handles = abi::AckHandles {
        struct_size: size_of::<abi::AckHandles>() as u32,
        n_scope: 1,
        scope: scope.as_ptr(),
        first: 99,
        n: 2,
        bytes: b"onetwo".as_ptr(),
        end: [3, 6].as_ptr(),
    };
    let mut reported = Box::<Reported>::default();
    let report = reported.table();
    let ack_and_write = sink.sink().ack_and_write.unwrap();
    let (status, error) = sink.until_done(|error| unsafe {
        ack_and_write(sink.this, &raw const given.table, &raw const ack_handles, &raw const report, error)
    });
    assert_eq!((status, error.message()), (Status::OK, String::new()));
    let expected = "a None None [] [] the_source/part/7/7000/Some(9) #100: stream 99=one 100=two";
    assert_eq!(reported.rejected, [(0, expected.to_owned())]);
    assert_eq!(reported.elsewhere, [2, 5], "in ascending order");
    assert!(reported.again.is_empty());
}

#[test]
fn source_acknowledges_itself_if_an_older_engine_opens_it() {
    let source = source();
    let mut facts = Old::of(
        unsafe { abi::sized::<abi::Capabilities>() },
        offset_of!(abi::Capabilities, transaction_domain),
    );
    unsafe { source.base.describe.unwrap()(source.this, &raw mut facts.table) }
    assert!(facts.is_untouched_after());
    assert_eq!(facts.table.replay, abi::replay::REDELIVERY, "a field that the engine knows is set");
    // The foreign memory after the struct would mean that the sink acknowledges.
    let open = Old::of(unsafe { abi::sized::<abi::Open>() }, offset_of!(abi::Open, sink_acknowledges));
    let opened = source
        .until_done(|error| unsafe { source.base.open.unwrap()(source.this, &raw const open.table, error) });
    assert_eq!(opened.0, Status::OK);
    let mut batch = Old::of(unsafe { abi::sized::<abi::Batch>() }, offset_of!(abi::Batch, ack_handles));
    let next = source.source().next.unwrap();
    let read = source.until_done(|error| unsafe { next(source.this, 0, &raw mut batch.table, error) });
    assert_eq!((read.0, batch.table.struct_size), (Status::OK, offset_of!(abi::Batch, ack_handles) as u32));
    assert!(batch.is_untouched_after(), "nothing is written after the end of the struct");
    assert_eq!(super::host::events(&batch.table, None)[0].data, "sink acknowledges: false");
    give_back(&batch.table);
}

#[test]
fn sink_writes_for_an_older_engine() {
    let sink = sink();
    let mut facts = Old::of(
        unsafe { abi::sized::<abi::Capabilities>() },
        offset_of!(abi::Capabilities, transaction_domain),
    );
    unsafe { sink.base.describe.unwrap()(sink.this, &raw mut facts.table) }
    assert!(facts.is_untouched_after());
    let mut given = Given::of(&["a"]);
    given.table = Old::of(given.table, offset_of!(abi::Batch, ack_handles)).table;
    let mut reported = Box::<Reported>::default();
    let report = Old::of(reported.table(), offset_of!(abi::Report, already_done));
    let write = sink.sink().write.unwrap();
    let (status, _) = sink.until_done(|error| unsafe {
        write(sink.this, &raw const given.table, &raw const report.table, error)
    });
    assert_eq!((status, &reported.rejected[..]), (Status::OK, &[(0, "no".to_owned())][..]));
}
