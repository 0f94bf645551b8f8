//! The state of the polls as the log and the health checks show it.

use tidegate_sdk::Cx;

use super::walk::Cut;

/// The number of polls in a row that may be cut before the source is unhealthy.
const CUTS: u32 = 2;

/// Counts what went wrong in a row.
#[derive(Debug, Default)]
pub(super) struct Report {
    cuts: u32,
    /// The line of the last cut about the poll after it: a change of it is always in the log.
    next: &'static str,
    /// Answers that were of no use, and why the last one was.
    unusable: u32,
    reason: String,
    /// Whether any page has led to another.
    led: bool,
    warned: bool,
}

impl Report {
    /// An answer was of use.
    pub(super) fn usable(&mut self) {
        self.unusable = 0;
    }

    /// An answer is of no use. The first of a row is worth a line, then ever fewer of them.
    pub(super) fn unusable(&mut self, cx: &Cx, reason: &str) {
        self.unusable = self.unusable.saturating_add(1);
        reason.clone_into(&mut self.reason);
        if self.unusable.is_power_of_two() {
            tracing::warn!(
                component = cx.component(),
                answers = self.unusable,
                "an answer is of no use: {reason}"
            );
        }
    }

    /// A page led to another.
    pub(super) fn led(&mut self) {
        self.led = true;
    }

    /// A first page does not say where the next one is, as if the server did not know of pages.
    pub(super) fn leads_nowhere(&mut self, cx: &Cx, lead: &str) {
        if !self.led && !self.warned {
            self.warned = true;
            tracing::warn!(
                component = cx.component(),
                "the answer has no {lead}, so it is taken for the only page; if there are more, the `pagination` is not \
                 the server's"
            );
        }
    }

    /// A poll was read to its end; `useful` says whether any answer of it was of use.
    pub(super) fn complete(&mut self, cx: &Cx, useful: bool) {
        if self.cuts > 0 && useful {
            tracing::info!(component = cx.component(), "a poll was read to its end again");
        }
        self.cuts = 0;
        if useful {
            cx.complaint().clear();
        } else {
            self.complain_of_answers(cx);
        }
    }

    /// A poll was cut after `pages` pages; `next` says what the next one does.
    pub(super) fn cut(&mut self, cx: &Cx, cut: &Cut, pages: u64, useful: bool, next: &'static str) {
        self.cuts = self.cuts.saturating_add(1);
        if !useful {
            return self.complain_of_answers(cx);
        }
        let (cuts, reason) = (self.cuts, &cut.reason);
        let changed = std::mem::replace(&mut self.next, next) != next;
        if cuts.is_power_of_two() || changed {
            tracing::warn!(
                component = cx.component(),
                pages,
                cuts,
                "the poll is not read to its end: {reason}; {next}"
            );
        }
        if cut.needs_help || cuts >= CUTS {
            cx.complaint()
                .set(format!("polls are not read to their end ({cuts} in a row): {reason}; {next}"));
        }
    }

    fn complain_of_answers(&self, cx: &Cx) {
        cx.complaint().set(format!("no answer of the last poll was of use: {}", self.reason));
    }
}
