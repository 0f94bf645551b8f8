//! Filters `jq` in a row that are done in one pass over each event.

use std::sync::Arc;

use tidegate_query::COMPILE_STACK;
use tidegate_sdk::{Batch, Fused, Output, Passed};

use super::{Jq, put};
use crate::fast::{Answer, Candidates, FusedProgram, range};
use crate::room::on_stack;

/// Filters in a row, of which all but the last only select.
pub(super) struct FusedJq {
    program: FusedProgram,
    /// The bytes that the event may have for each of them.
    bytes: usize,
    /// The events and bytes that the last one may make of it.
    limit: (usize, usize),
    answer: Answer,
    /// Of the first of them.
    candidates: Option<Arc<Candidates>>,
    found: Vec<usize>,
}

impl FusedJq {
    /// As many of `filters` as can be fused; `None` if that is less than two.
    pub(super) fn new<'a>(filters: impl Iterator<Item = &'a Jq>) -> Option<Self> {
        let fast = |jq: &&Jq| jq.query.fast().is_ok() && jq.limit.events > 0;
        let filters: Vec<&Jq> = filters.take_while(fast).collect();
        if filters.len() < 2 {
            return None;
        }
        let queries: Vec<&str> = filters.iter().map(|jq| jq.query.text()).collect();
        let program = on_stack(COMPILE_STACK, || FusedProgram::new(&queries)).ok()??;
        let (last, selections) = filters[..program.queries()].split_last()?;
        let bytes = selections.iter().map(|jq| jq.limit.bytes.as_usize()).min()?;
        let limit = (last.limit.events, last.limit.bytes.as_usize());
        let candidates = filters[0].candidates.clone();
        Some(Self { program, bytes, limit, answer: Answer::default(), candidates, found: Vec::new() })
    }

    /// Adds the results of the filters for event `event`. False if they are to be called one by one.
    fn one(&mut self, batch: &Batch, event: usize, out: &mut Output, passed: &mut [Passed]) -> bool {
        let span = batch.spans()[event];
        let buffer = &batch.buffers()[span.buffer as usize];
        let (events, bytes) = self.limit;
        match self.program.run(buffer, range(span), bytes, (&mut self.answer, passed)) {
            Some(results) if results.len() <= events && span.length as usize <= self.bytes => {
                put(out.to(0), event, span, results);
                true
            }
            _ => false,
        }
    }
}

impl Fused for FusedJq {
    fn filters(&self) -> usize {
        self.program.queries()
    }

    fn process(&mut self, batch: &Batch, out: &mut Output, passed: &mut [Passed]) -> bool {
        if let Some(candidates) = &self.candidates {
            candidates.find(batch, &mut self.found);
        }
        let found = std::mem::take(&mut self.found);
        let done = if self.candidates.is_some() {
            found.iter().all(|event| self.one(batch, *event, out, passed))
        } else {
            (0..batch.len()).all(|event| self.one(batch, event, out, passed))
        };
        self.found = found;
        done
    }
}
