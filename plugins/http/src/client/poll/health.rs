//! The health of the polls, for the log and the health checks.

use tidegate_sdk::Cx;

use super::walk::Incomplete;

/// The number of consecutive incomplete polls that make the source unhealthy.
const CUTS: u32 = 2;

/// Counts consecutive failures.
#[derive(Debug, Default)]
pub(super) struct PollHealth {
    cuts: u32,
    /// The last message about the next poll. A change is always logged.
    next: &'static str,
    /// The number of consecutive unusable responses, and the reason of the last one.
    unusable: u32,
    reason: String,
    /// Set after a page that led to another one.
    led: bool,
    warned: bool,
}

impl PollHealth {
    /// Records a usable response.
    pub(super) fn usable(&mut self) {
        self.unusable = 0;
    }

    /// Records an unusable response. The first of a row is logged, then fewer and fewer.
    pub(super) fn unusable(&mut self, cx: &Cx, reason: &str) {
        self.unusable = self.unusable.saturating_add(1);
        reason.clone_into(&mut self.reason);
        if self.unusable.is_power_of_two() {
            tracing::warn!(
                component = cx.component(),
                responses = self.unusable,
                "a response is unusable: {reason}"
            );
        }
    }

    /// Records a page that led to another one.
    pub(super) fn led(&mut self) {
        self.led = true;
    }

    /// Records a first page without any reference to the next one, as if the server did not use this pagination.
    pub(super) fn leads_nowhere(&mut self, cx: &Cx, lead: &str) {
        if !self.led && !self.warned {
            self.warned = true;
            tracing::warn!(
                component = cx.component(),
                "the response has no {lead}, so it is taken for the only page; if there are more, the `pagination` is not \
                 the server's"
            );
        }
    }

    /// Records a complete poll; `useful` is set if any of its responses was usable.
    pub(super) fn complete(&mut self, cx: &Cx, useful: bool) {
        if self.cuts > 0 && useful {
            tracing::info!(component = cx.component(), "a poll was complete again");
        }
        self.cuts = 0;
        if useful {
            cx.complaint().clear();
        } else {
            self.complain_of_answers(cx);
        }
    }

    /// Records an incomplete poll of `pages` pages; `next` describes the next poll.
    pub(super) fn cut(&mut self, cx: &Cx, cut: &Incomplete, pages: u64, useful: bool, next: &'static str) {
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
                "the poll is incomplete: {reason}; {next}"
            );
        }
        if cut.needs_help || cuts >= CUTS {
            cx.complaint().set(format!("polls are incomplete ({cuts} in a row): {reason}; {next}"));
        }
    }

    fn complain_of_answers(&self, cx: &Cx) {
        cx.complaint().set(format!("no response of the last poll was usable: {}", self.reason));
    }
}
