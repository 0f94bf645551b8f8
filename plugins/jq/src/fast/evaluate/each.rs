//! The elements of arrays: their query is evaluated over each as over an event of its own.

use super::{Beyond, Event, Expression};
use crate::fast::expression::Each;
use crate::fast::found::{Found, State};
use crate::fast::scan;

impl<'a> Event<'a> {
    /// Hands what is to be evaluated for each result of `expression` to `work`, with the event or the element that
    /// it is about.
    pub(in crate::fast) fn results(
        self,
        expression: &Expression,
        mut work: impl FnMut(Event<'_>, &Expression) -> Result<(), Beyond>,
    ) -> Result<(), Beyond> {
        self.each_result(expression, &mut work)
    }

    fn each_result(
        self,
        expression: &Expression,
        work: &mut dyn FnMut(Event<'_>, &Expression) -> Result<(), Beyond>,
    ) -> Result<(), Beyond> {
        match expression {
            Expression::Each(place, each) => self.elements(self.finds.found[*place], each, work),
            Expression::Guarded(guards, value) if matches!(**value, Expression::Each(..)) => {
                if self.pass(guards)? { self.each_result(value, work) } else { Ok(()) }
            }
            other => work(self, other),
        }
    }

    fn elements(
        self,
        array: Found,
        each: &Each,
        work: &mut dyn FnMut(Event<'_>, &Expression) -> Result<(), Beyond>,
    ) -> Result<(), Beyond> {
        if array.state != State::Present || self.text[array.start()] != b'[' {
            return Err(Beyond);
        }
        let mut finds = self.finds.lend(each.number);
        let mut next = scan::first_element(self.text, array.range());
        let mut done = Ok(());
        while let (Some(at), Ok(())) = (next, done) {
            done = scan::scan_element(self.text, (at, array.range().end), &each.wanted, &mut finds).and_then(
                |after| {
                    next = after;
                    let element = Event { text: self.text, finds: &finds };
                    each.results.iter().try_for_each(|result| element.each_result(result, work))
                },
            );
        }
        self.finds.give_back(each.number, finds);
        done
    }
}
