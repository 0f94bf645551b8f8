//! The state of one poll over its pages. Pure: it takes pages, and returns the next step.

#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use reqwest::Url;

use super::cursor::CursorValues;
use super::pages::{Page, PageKey, Pages, Place};

/// The longest link or cursor, in bytes: it becomes a part of the position.
const LONGEST: usize = 16 << 10;

/// The number of consecutive unusable pages that end a poll.
const BAD_PAGES: u32 = 3;

/// The number of consecutive equal pages that end a poll: a server that does not know the parameter sends the same page
/// for ever.
const EQUAL_PAGES: u32 = 10;

/// The longest cycle of numbered pages that is noticed. Longer ones end at `max_pages`.
const CYCLE: usize = 64;

/// The number of polls that start at an unreadable page, before one starts at the first page again.
const RESUMES: u32 = 3;

/// A poll in progress: the next page, and what is known of the pages before it.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The number of pages since the first one.
    pub(super) taken: u64,
    /// The next page; `None` is the first.
    pub(super) next: Option<PageKey>,
    /// The cursor's values in the pages so far.
    pub(super) seen: CursorValues,
    /// The number of polls that stopped at this page, because it is unreadable.
    pub(super) stuck: u32,
    /// The number of pages requested in this poll.
    pub(super) requested: u64,
    /// Set if this page is requested for the second time, because the first response was unusable.
    pub(super) again: bool,
    /// Set if any page of this poll was usable.
    pub(super) useful: bool,
    /// Hashes of the links and cursors that were followed.
    followed: HashSet<u64>,
    last_body: Option<u64>,
    /// Hashes of the last pages, newest first.
    recent: VecDeque<u64>,
    last_count: u64,
    equal: u32,
    unusable: u32,
    /// The largest number of events of one page.
    largest: u64,
}

/// The step after a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Request the next page.
    More,
    /// End the poll, which is complete.
    End,
    /// End the poll, which is incomplete.
    Incomplete(Incomplete),
}

/// The end of an incomplete poll.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Incomplete {
    /// The reason: a lower-case sentence without a full stop.
    pub(super) reason: String,
    /// Set if the next poll can continue, given a cursor.
    pub(super) resumes: bool,
    /// Set if the configuration or the server has to change.
    pub(super) needs_help: bool,
}

impl Incomplete {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), resumes: false, needs_help: false }
    }

    fn resuming(reason: impl Into<String>) -> Self {
        Self { resumes: true, ..Self::new(reason) }
    }

    pub(super) fn needing_help(reason: impl Into<String>) -> Self {
        Self { needs_help: true, ..Self::new(reason) }
    }
}

/// The pagination and the limits of a walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct WalkContext<'a> {
    pub(super) pages: &'a Pages,
    /// The URL of the first page.
    pub(super) base: &'a Url,
    pub(super) max_pages: u64,
}

impl Walk {
    /// Returns a walk that starts at `next`.
    pub(super) fn at(next: Option<PageKey>, taken: u64, seen: CursorValues, stuck: u32) -> Self {
        Self { taken, next, seen, stuck, ..Self::default() }
    }

    /// Returns the walk as the next poll continues it.
    pub(super) fn resumed(self) -> Self {
        Self { requested: 0, again: false, useful: false, unusable: 0, ..self }
    }

    /// Returns whether the next page is not the first one.
    pub(super) fn is_later(&self) -> bool {
        self.next.is_some()
    }

    /// Returns whether this body repeats the page before, so that its events have been emitted. If the server refers
    /// from page to page, two pages may be equal; then it is a repeat only if it refers to a page that was visited.
    pub(super) fn is_repeat(&self, context: &WalkContext<'_>, page: &Page<'_>) -> bool {
        let same = self.last_body.is_some()
            && !page.body.trim_ascii().is_empty()
            && self.last_body == Some(hash(page.body));
        if !same || context.pages.are_numbered() {
            return same && self.last_count > 0;
        }
        let next = context.pages.after(self.next.as_ref(), context.base, page);
        next.is_ok_and(|next| next.is_some_and(|next| self.was_followed(&next)))
    }

    /// Continues after a readable page.
    pub(super) fn go_on(&mut self, context: &WalkContext<'_>, page: &Page<'_>) -> Step {
        if matches!(context.pages, Pages::Link { .. }) {
            // A link back to this page or the first one is a cycle.
            self.followed.insert(hash(page.url.as_str().as_bytes()));
        }
        let next = context.pages.after(self.next.as_ref(), context.base, page);
        let repeat = self.is_repeat(context, page);
        self.equal = if repeat { self.equal + 1 } else { 0 };
        // Only pages are compared, so a single response is not hashed.
        let is_single = matches!(context.pages, Pages::One);
        self.last_body = (!is_single).then(|| hash(page.body));
        self.remember(self.last_body.filter(|_| context.pages.are_numbered() && page.count > 0));
        self.last_count = page.count;
        self.largest = self.largest.max(page.count);
        (self.stuck, self.unusable, self.again) = (0, 0, false);
        self.taken += 1;
        self.requested += 1;
        if let Some(fault) = &page.lead.fault {
            return Step::Incomplete(Incomplete::needing_help(fault.clone()));
        }
        if page.lead.stops {
            return Step::End;
        }
        let next = match next {
            Ok(Some(next)) => next,
            Ok(None) if self.taken == 1 && context.pages.say_more(page) => {
                return Step::Incomplete(Incomplete::new(
                    "the response says that there is more and has no `Link` header; choose another `kind` of `pagination`",
                ));
            }
            Ok(None) => return Step::End,
            Err(reason) => return Step::Incomplete(Incomplete::needing_help(reason)),
        };
        if self.equal >= EQUAL_PAGES {
            let name = context.pages.parameter().map_or("", |parameter| parameter.name.as_str());
            let reason =
                format!("{} pages in a row are the same; does the server know `{name}`?", self.equal + 1);
            return Step::Incomplete(Incomplete::needing_help(reason));
        }
        if self.is_cycle() {
            return Step::Incomplete(Incomplete::new(in_circles(context.pages)));
        }
        if self.was_followed(&next) {
            // Many servers repeat the last cursor after the last page.
            let over = self.next.as_ref() == Some(&next) && page.count == 0;
            return if over {
                Step::End
            } else {
                Step::Incomplete(Incomplete::new(in_circles(context.pages)))
            };
        }
        self.proceed(context, next)
    }

    /// Continues after an unreadable page.
    pub(super) fn pass_over(&mut self, context: &WalkContext<'_>, page: &Page<'_>, reason: &str) -> Step {
        self.unusable += 1;
        self.taken += 1;
        self.requested += 1;
        let next = context.pages.beyond(self.next.as_ref(), context.base, page, self.largest);
        let Some(next) = next.filter(|next| self.unusable < BAD_PAGES && !self.was_followed(next)) else {
            self.taken -= 1;
            self.stuck += 1;
            let can_resume = self.is_later() && self.stuck < RESUMES;
            return Step::Incomplete(if can_resume {
                Incomplete::resuming(reason)
            } else {
                Incomplete::new(reason)
            });
        };
        self.again = false;
        self.proceed(context, next)
    }

    /// Returns whether a refused page is after the last one, because the page before was not full.
    pub(super) fn is_past_the_end(&self, pages: &Pages) -> bool {
        let full = pages.size().unwrap_or_default().max(self.largest);
        pages.are_numbered() && self.is_later() && self.last_count < full
    }

    fn proceed(&mut self, context: &WalkContext<'_>, next: PageKey) -> Step {
        if let PageKey::Link(text) | PageKey::Cursor(text) = &next {
            let length = text.len();
            if length > LONGEST {
                return Step::Incomplete(Incomplete::needing_help(format!(
                    "the link or cursor of the next page has {length} bytes, over {LONGEST}"
                )));
            }
            self.followed.insert(hash(text.as_bytes()));
        }
        self.next = Some(next);
        if self.requested >= context.max_pages {
            let reason = format!("`max_pages` ({}) are read and there is more", context.max_pages);
            return Step::Incomplete(Incomplete::resuming(reason));
        }
        Step::More
    }

    fn remember(&mut self, body: Option<u64>) {
        let Some(body) = body else { return self.recent.clear() };
        self.recent.truncate(3 * CYCLE);
        self.recent.push_front(body);
    }

    /// Returns whether the last pages are the same two or more, three times in a row. Equal pages have a rule of their
    /// own.
    fn is_cycle(&self) -> bool {
        let pages = &self.recent;
        let Some(newest) = pages.front() else { return false };
        let lengths = 2..=CYCLE.min(pages.len() / 3);
        lengths.filter(|length| pages[*length] == *newest).any(|length| {
            let repeats = (0..2 * length).all(|at| pages[at] == pages[at + length]);
            repeats && (1..length).any(|at| pages[at] != *newest)
        })
    }

    fn was_followed(&self, next: &PageKey) -> bool {
        match next {
            PageKey::Link(text) | PageKey::Cursor(text) => self.followed.contains(&hash(text.as_bytes())),
            PageKey::Number(_) | PageKey::Offset(_) => self.next.as_ref() == Some(next),
        }
    }
}

fn in_circles(pages: &Pages) -> String {
    let mut reason = "the pages go in circles: this one leads to one that was read".to_owned();
    if let Some(parameter) = pages.parameter().filter(|parameter| parameter.place == Place::Query) {
        let name = &parameter.name;
        reason.push_str(&format!(
            "; if the server does not look at `{name}` in the query, say with `body_path` where it belongs in the body"
        ));
    }
    reason
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
