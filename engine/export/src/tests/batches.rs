//! Batches there and back, with every column.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_abi::{self as abi, Attr, AttrValue, Buf, Run, Status, Str, View, attribute};

use super::components::{async_filter, filter, seen, sink, source};
use super::host::{Engine, Event, Given, PutOut, events, give_back};
use tidegate_sdk::{
    AsyncFilter, AttributeValue, Attributes, Batch, Component, Cx, Delivery, Error, Output, Plugin, Position,
    Size, SourceBatch, SourceRejection, async_trait,
};

fn view(off: u32, len: u32) -> View {
    View { buf: 0, off, len }
}

const NO_KEY: View = View { buf: abi::NONE, off: 0, len: 0 };

/// Three events of two batches of one source, with all there can be: in the one buffer "onetwothreekeynametext".
fn full() -> Given {
    let text = |kind, value| Attr { name: view(14, 4), kind, value };
    let attrs = vec![
        text(attribute::TEXT, AttrValue { text: view(18, 4) }),
        text(attribute::INTEGER, AttrValue { i: -5 }),
        text(attribute::FLOAT, AttrValue { f: 0.5 }),
        text(attribute::BOOLEAN, AttrValue { i: 1 }),
    ]
    .leak();
    let run = |end, sequence, attr| Run {
        end,
        attr,
        n_attr: 1,
        reserved: 0,
        first: 10 * sequence,
        sequence,
        source: Str::new("s"),
        partition: Str::new("p"),
        position: Buf::new(b"9"),
    };
    let runs = vec![run(1, 1, 3), run(2, 2, 2), run(3, 1, 3)].leak();
    Given::spelled(b"onetwothreekeynametext".to_vec(), &[view(0, 3), view(3, 3), view(6, 5)], |batch| {
        batch.key = vec![NO_KEY, view(11, 3), NO_KEY].leak().as_ptr();
        batch.time = vec![abi::NO_TIME, abi::NO_TIME, 77].leak().as_ptr();
        batch.attr_end = vec![1, 1, 2].leak().as_ptr();
        (batch.attr, batch.n_attr) = (attrs.as_ptr(), 4);
        (batch.run, batch.n_run) = (runs.as_ptr(), 3);
        batch.from = vec![4, 0, 8].leak().as_ptr();
    })
}

const FULL: [&str; 3] = [
    r#"one None None [("name", Text("text"))] [("name", Boolean(true))] s/p/1/10/Some(9) #4"#,
    r#"two Some("key") None [] [("name", Float(0.5))] s/p/2/20/Some(9) #0"#,
    r#"three None Some(77) [("name", Integer(-5))] [("name", Boolean(true))] s/p/1/10/Some(9) #8"#,
];

#[test]
fn a_sink_sees_every_column() {
    let saw = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&saw);
    let plugin = sink(move |batch, _| {
        note.lock().unwrap().extend(seen(&batch));
        let runs = batch.runs();
        assert!(Arc::ptr_eq(&runs[0].origin, &runs[2].origin), "two runs of one batch share their origin");
        let mut delivery = Delivery::complete();
        delivery.reject(1, "bad");
        delivery.retry([0, 2], Error::busy("full", std::time::Duration::from_millis(1500)));
        Box::pin(async { Ok(delivery) })
    });
    let given = full();
    let (status, _, reported) = Engine::new().create(plugin).write(&given);
    assert_eq!(status, Status::OK);
    assert_eq!(*saw.lock().unwrap(), FULL);
    assert_eq!(reported.rejected, [(1, "bad".to_owned())]);
    assert_eq!(reported.again, [(0, Status::BUSY, 1500), (2, Status::BUSY, 1500)]);
    assert_eq!(given.held(), 0);
}

#[test]
fn events_that_failed_alone_keep_their_reasons() {
    let plugin = sink(|_, _| {
        let mut delivery = Delivery::complete();
        delivery.failed(0, Error::retry("too long"));
        delivery.failed(2, Error::ambiguous("no answer"));
        Box::pin(async { Ok(delivery) })
    });
    let (status, _, reported) = Engine::new().create(plugin).write(&full());
    assert_eq!((status, reported.again.len()), (Status::OK, 0));
    let failed =
        [(0, "too long"), (2, "no answer")].map(|(event, why)| (event, Status::AMBIGUOUS, why.to_owned()));
    assert_eq!(reported.failed, failed);
}

/// The output of a filter for the full batch. The function also checks the batch that the component received.
fn filtered(make: impl Fn(&Batch) -> Batch + Clone + Send + Sync + 'static) -> Box<PutOut> {
    let plugin = filter(move |batch, out| {
        assert_eq!(seen(batch), FULL, "a filter sees every column");
        out.emit_to(1, make(batch));
        Ok(())
    });
    let given = full();
    let (status, error, put) = Engine::new().create(plugin).process(&given);
    assert_eq!((status, error.message().as_str()), (Status::OK, ""));
    assert_eq!(given.held(), 0);
    put
}

fn event(data: &str, key: Option<&str>, time: Option<i64>, from: u32) -> Event {
    Event { data: data.into(), key: key.map(str::to_owned), time, attributes: None, from: Some(from) }
}

#[test]
fn kept_events_are_passed_by_reference() {
    let put = filtered(|batch| batch.select([2, 1]));
    assert_eq!(
        put.emitted,
        [(1, vec![event("three", None, Some(77), 2), event("two", Some("key"), None, 1)])]
    );
    assert_eq!(put.own_buffers, [0], "no bytes of its own, and no attributes to say");
}

#[test]
fn written_events_are_in_a_buffer_of_the_filter() {
    let put = filtered(|batch| {
        let mut builder = batch.derive();
        builder.write(1, b"TWO");
        builder.key(b"K");
        builder.write_shared(2, batch.shared_payload(0).slice(1..));
        builder.keep(0);
        builder.timestamp(5);
        builder.finish()
    });
    let expected = vec![
        event("TWO", Some("K"), None, 1),
        event("ne", None, Some(77), 2),
        event("one", None, Some(5), 0),
    ];
    assert_eq!(put.emitted, [(1, expected)]);
    assert_eq!(put.own_buffers, [1], "a part of a buffer of the input batch is not a buffer of the filter");
}

#[test]
fn a_filter_sets_attributes() {
    let put = filtered(|batch| {
        let own = Arc::new(Attributes::default().with("name", "new").with("count", 3));
        batch.select([0, 1, 2]).with_own_attributes(vec![Some(Arc::clone(&own)), None, Some(own)])
    });
    let own = Some(vec![("name".to_owned(), "new".into()), ("count".to_owned(), AttributeValue::Integer(3))]);
    let said: Vec<_> = put.emitted[0].1.iter().map(|event| event.attributes.clone()).collect();
    assert_eq!(said, [own.clone(), Some(vec![]), own]);
}

#[test]
fn pieces_that_are_put_together_keep_their_index() {
    let put = filtered(|batch| Batch::concat(&[batch.select([1]), batch.clone(), Batch::builder().finish()]));
    let from: Vec<_> = put.emitted[0].1.iter().map(|event| (event.data.as_str(), event.from)).collect();
    assert_eq!(from, [("two", Some(1)), ("one", Some(0)), ("two", Some(1)), ("three", Some(2))]);
    assert_eq!(put.own_buffers, [0]);
}

#[test]
fn events_from_elsewhere_are_refused() {
    let plugin = filter(|_, out| {
        let mut builder = Batch::builder();
        builder.push_copy(b"made up");
        out.emit(builder.finish());
        Ok(())
    });
    let (status, error, put) = Engine::new().create(plugin).process(&full());
    assert_eq!((status, put.emitted.len()), (Status::FATAL, 0));
    assert!(error.message().contains("not made of its input"), "{}", error.message());
}

#[test]
fn a_filter_that_waits_may_leave_the_rest() {
    let plugin = async_filter(|batch, cx| {
        Box::pin(async move {
            cx.spawn(async {}).await.unwrap();
            Ok((batch.select([0]), Some(1)))
        })
    });
    let filter = Engine::new().create(plugin);
    assert_eq!((filter.open(), filter.describe().0.waits), (Status::OK, 1));
    let (status, _, put) = filter.process(&full());
    assert_eq!((status, put.left), (Status::OK, Some(1)));
    assert_eq!(put.emitted, [(0, vec![event("one", None, None, 0)])]);
    assert_eq!(filter.close().0, Status::OK);
}

#[test]
fn deferred_events_are_processed_at_once_if_the_engine_does_not_call_again() {
    // Rejects the first of what it is given, and leaves the rest if it may.
    struct OneByOne;
    #[async_trait]
    impl AsyncFilter for OneByOne {
        async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error> {
            cx.spawn(async {}).await.map_err(|error| Error::fatal(error.to_string()))?;
            out.reject(0, "first");
            let end = if batch.len() > 1 && out.defer_from(1) { 1 } else { batch.len() };
            out.emit(batch.select(1..end));
            Ok(())
        }
    }
    let plugin =
        Plugin::any_filter("one", "", "", |_: Options| Ok(Component::AsyncFilter(Box::new(OneByOne))));
    let (filter, mut given) = (Engine::new().create(plugin), full());
    given.comes_back = false;
    let (status, error, put) = filter.process(&given);
    assert_eq!((status, error.message().as_str(), put.left), (Status::OK, "", Some(1)));
    assert_eq!(put.rejected, [(0, "first".to_owned()), (1, "first".to_owned())]);
    assert_eq!(put.emitted, [(0, vec![event("three", None, Some(77), 2)])]);
    assert_eq!(given.held(), 0);
}

#[test]
fn filter_knows_its_attempt() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let plugin = filter(move |_, out| {
        note.lock().unwrap().push((out.attempt().number, out.attempt().last));
        Ok(())
    });
    let filter = Engine::new().create(plugin);
    for attempt in [0, 1, 2, 3] {
        let mut given = full();
        given.attempt = attempt;
        assert_eq!(filter.process(&given).0, Status::OK);
    }
    assert_eq!(*seen.lock().unwrap(), [(1, false), (1, false), (2, false), (3, true)]);
}

/// No options.
#[derive(Deserialize, JsonSchema)]
struct Options {}

#[test]
fn bytes_outlive_the_operation_if_they_are_kept() {
    let kept: Arc<Mutex<Vec<Batch>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let plugin = filter(move |batch, out| {
        keep.lock().unwrap().push(batch.clone());
        out.reject(0, "no");
        Ok(())
    });
    let given = Given::of(&["one", "two"]);
    let filter = Engine::new().create(plugin);
    let (status, _, put) = filter.process(&given);
    assert_eq!((status, put.rejected), (Status::OK, vec![(0, "no".to_owned())]));
    drop(filter);
    assert_eq!(given.held(), 1);
    let batch = kept.lock().unwrap().pop().unwrap();
    assert_eq!(batch.payload(1), b"two");
    std::thread::spawn(|| drop(batch)).join().unwrap();
    assert_eq!(given.held(), 0);
}

#[test]
fn bytes_that_cannot_be_kept_are_copied() {
    let kept: Arc<Mutex<Vec<Batch>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let plugin = filter(move |batch, _| {
        keep.lock().unwrap().push(batch.clone());
        Ok(())
    });
    let mut bytes = b"one".to_vec();
    let table = |bytes: &[u8]| {
        Given::spelled(Vec::new(), &[view(0, 3)], |batch| {
            batch.buf = vec![Buf::new(bytes)].leak().as_ptr();
            batch.retain = None;
        })
    };
    let given = table(&bytes);
    assert_eq!(Engine::new().create(plugin).process(&given).0, Status::OK);
    bytes.fill(b'x');
    assert_eq!(kept.lock().unwrap()[0].payload(0), b"one");
}

/// A source's batch with every column.
fn read() -> SourceBatch {
    let own = Arc::new(Attributes::default().with("line", 1));
    let common = Arc::new(Attributes::default().with("path", "/a").with("line", 0));
    let mut builder = Batch::builder().with_attributes(common);
    builder.push(Bytes::from_static(b"one"));
    builder.attributes(own);
    builder.push_copy(b"two");
    builder.key(b"key");
    builder.timestamp(77);
    builder.set_partition("part".into());
    builder.set_position(Position::new(&12));
    let rejected = SourceRejection { payload: "long".into(), length: 400, reason: "too long".into() };
    SourceBatch::from(builder.finish()).with_rejected(vec![rejected])
}

#[test]
fn source_passes_every_column() {
    let plugin = source(|cx| {
        assert_eq!((cx.component(), cx.event_size()), ("the_component", Size(1 << 20).as_usize()));
        cx.progress().set(3, 10);
        Box::pin(async { Ok(Some(read())) })
    });
    let engine = Engine::new();
    let source = engine.create(plugin);
    assert_eq!(source.open(), Status::OK);
    let (status, _, batch) = source.next();
    assert_eq!((status, batch.seq, batch.n, batch.n_run), (Status::OK, 0, 2, 0));
    assert_eq!(unsafe { (batch.partition.text(), batch.position.bytes()) }, ("part".into(), &b"12"[..]));
    let said = |line| Some(vec![("line".to_owned(), AttributeValue::Integer(line))]);
    let none = Some(vec![]);
    let one = Event { data: "one".into(), attributes: said(1), ..Event::default() };
    let two =
        Event { data: "two".into(), key: Some("key".into()), time: Some(77), attributes: none, from: None };
    assert_eq!(events(&batch, None), [one, two]);
    assert_eq!((batch.n_attr, batch.n_common), (3, 2));
    let refused = unsafe { &*batch.refused };
    let buffers = unsafe { std::slice::from_raw_parts(batch.buf, batch.n_buf as usize) };
    assert_eq!(unsafe { buffers[refused.data.buf as usize].bytes() }, b"long");
    assert_eq!((batch.n_refused, refused.length), (1, 400));
    assert_eq!(unsafe { refused.reason.text() }, "too long");
    let first = buffers[0];
    // The next one does not touch the bytes of this one, which outlive even the source.
    let (_, _, second) = source.next();
    assert_eq!(second.seq, 1);
    drop(source);
    assert_eq!(unsafe { first.bytes() }, b"one");
    give_back(&batch);
    give_back(&second);
    assert_eq!(*engine.heard.progress.lock().unwrap(), [(3, 10)]);
}
