use std::any::Any;

use tidegate_sdk::{Batch, Error, Kind, Outcome};

use super::*;

/// Filter that keeps numbers from this one on, and rejects 13.
struct Least(u8);

struct FusedLeast(Vec<u8>);

impl Filter for Least {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        let mut made = batch.derive();
        for (event, payload) in batch.payloads().enumerate() {
            match payload[0] {
                13 => out.reject(event, "unlucky"),
                number if number >= self.0 => made.keep(event),
                _ => {}
            }
        }
        out.emit(made.finish());
        Ok(())
    }

    fn fuse(&self, downstream: &[&dyn Filter]) -> Option<Box<dyn Fused>> {
        let downstream = downstream.iter().map_while(|filter| <dyn Any>::downcast_ref::<Self>(*filter));
        Some(Box::new(FusedLeast([self].into_iter().chain(downstream).map(|least| least.0).collect())))
    }
}

impl Fused for FusedLeast {
    fn filters(&self) -> usize {
        self.0.len()
    }

    fn process(&mut self, batch: &Batch, out: &mut Output, passed: &mut [Passed]) -> bool {
        let mut made = batch.derive();
        for (event, payload) in batch.payloads().enumerate() {
            if payload[0] == 13 {
                out.emit(made.finish());
                return false;
            }
            let through = self.0.iter().take_while(|least| payload[0] >= **least).count();
            for passed in &mut passed[..through.min(self.0.len() - 1)] {
                passed.events += 1;
                passed.bytes += payload.len();
            }
            if through == self.0.len() {
                made.keep(event);
            }
        }
        out.emit(made.finish());
        true
    }
}

struct Other;

impl Filter for Other {
    fn process(&mut self, _: &Batch, out: &mut Output) -> Result<(), Error> {
        out.keep_all();
        Ok(())
    }
}

/// Returns the emissions of a chain for batches of these numbers, and the events in and out of each component.
fn run(filters: Vec<Box<dyn Filter>>, batches: &[&[u8]]) -> (Vec<String>, Vec<(u64, u64)>) {
    let link = |(node, filter): (usize, Box<dyn Filter>)| {
        let metrics = Arc::new(ComponentMetrics::new(&node.to_string(), Kind::Filter, ""));
        Link::new(node, filter, metrics, RetryOptions::default())
    };
    let mut chain = Chain::new(filters.into_iter().enumerate().map(link).collect());
    let mut left = Vec::new();
    for numbers in batches {
        let batch = tidegate_testkit::batch(numbers.iter().map(|number| [*number]));
        let tracked = TrackedBatch::root(batch, |outcome| assert_eq!(outcome, Outcome::Delivered));
        let mut passage = Passage::of(tracked);
        assert!(chain.advance(&mut passage).is_ok(), "no filter fails");
        for piece in passage.emissions {
            let (kind, node, tracked) = match piece {
                Emission::Events { node, tracked, .. } => ("events", node, tracked),
                Emission::Rejected { node, tracked, .. } => ("rejected", node, tracked),
            };
            let numbers = tracked.batch().payloads().map(|payload| payload[0]).collect::<Vec<_>>();
            left.push(format!("{kind} {node} {numbers:?}"));
            tracked.done();
        }
    }
    let counts = chain.links.iter().map(|link| {
        let counts = link.metrics.status().counts;
        (counts.events_in, counts.events_out)
    });
    (left, counts.collect())
}

fn least(numbers: &[u8]) -> Vec<Box<dyn Filter>> {
    numbers.iter().map(|least| Box::new(Least(*least)) as _).collect()
}

#[test]
fn fused_filters_are_counted_like_single_ones() {
    let (left, counts) = run(least(&[2, 4, 6]), &[&[1, 2, 3, 4, 5, 6, 7]]);
    assert_eq!(left, ["events 2 [6, 7]"]);
    assert_eq!(counts, [(7, 6), (6, 4), (4, 2)]);
}

#[test]
fn filters_that_cannot_process_a_batch_fused_process_it_one_by_one() {
    let (left, counts) = run(least(&[2, 4]), &[&[1, 5, 13], &[3, 4], &[13]]);
    assert_eq!(left, ["rejected 0 [13]", "events 1 [5]", "events 1 [4]", "rejected 0 [13]"]);
    assert_eq!(counts, [(6, 3), (3, 2)]);
}

#[test]
fn only_filters_that_know_one_another_are_fused() {
    let mut filters = least(&[2, 4]);
    filters.push(Box::new(Other));
    filters.extend(least(&[6, 7]));
    let (left, counts) = run(filters, &[&[1, 3, 5, 6, 7]]);
    assert_eq!(left, ["events 4 [7]"]);
    assert_eq!(counts, [(5, 4), (4, 3), (3, 3), (3, 2), (2, 1)]);
}
