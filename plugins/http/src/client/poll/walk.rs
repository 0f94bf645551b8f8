//! One poll over its pages. Pure: it looks at what came, and says what is asked next and when the poll is over.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use reqwest::Url;

use super::cursor::Seen;
use super::pages::{Next, Page, Pages};

/// The longest link or cursor that is followed, in bytes: it becomes a part of the position.
const LONGEST: usize = 16 << 10;

/// The number of pages in a row that may be of no use, or the same, before a poll is cut.
const BAD_PAGES: u32 = 3;

/// The number of pages in a row that may be the same: a server that does not know the parameter sends one for ever.
const EQUAL_PAGES: u32 = 10;

/// The number of polls that begin at a page that cannot be read, before one begins at the first page again.
const RESUMES: u32 = 3;

/// A poll under way: the page that is to be asked for, and what is known of those before it.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The number of pages that were taken, since the first one.
    pub(super) taken: u64,
    /// The page to ask for; `None` is the first.
    pub(super) next: Option<Next>,
    /// The cursor's values in the pages so far.
    pub(super) seen: Seen,
    /// The number of polls that were cut at this page, because it cannot be read.
    pub(super) stuck: u32,
    /// The number of pages of this poll.
    pub(super) asked: u64,
    /// Whether this page has been asked for a second time, because the first answer was of no use.
    pub(super) again: bool,
    /// Whether any page of this poll was of use.
    pub(super) useful: bool,
    /// Hashes of the links and cursors that were followed.
    followed: HashSet<u64>,
    last_body: Option<u64>,
    last_count: u64,
    equal: u32,
    unusable: u32,
    /// The most events of one page.
    largest: u64,
}

/// What follows a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next page.
    More,
    /// Nothing: the poll was read to its end.
    End,
    /// Nothing for now: the poll was not read to its end.
    Cut(Cut),
}

/// A poll that was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The reason: a lower-case sentence without a full stop.
    pub(super) reason: String,
    /// Where the next poll can go on, if the cursor keeps the place.
    pub(super) resumes: bool,
    /// Somebody has to change something.
    pub(super) needs_help: bool,
}

impl Cut {
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

/// The limits of a walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    pub(super) pages: &'a Pages,
    /// The address of the first page.
    pub(super) base: &'a Url,
    pub(super) max_pages: u64,
}

impl Walk {
    /// A walk that begins, or goes on, at `next`.
    pub(super) fn at(next: Option<Next>, taken: u64, seen: Seen, stuck: u32) -> Self {
        Self { taken, next, seen, stuck, ..Self::default() }
    }

    /// The same walk in the next poll.
    pub(super) fn resumed(self) -> Self {
        Self { asked: 0, again: false, useful: false, unusable: 0, ..self }
    }

    /// Whether the first page was taken.
    pub(super) fn is_later(&self) -> bool {
        self.next.is_some()
    }

    /// Whether this body is the page before once more, so that its events have been delivered in this poll. Where the
    /// server leads from page to page, two pages may be equal; there it is a repeat only if it leads where it was led
    /// from.
    pub(super) fn is_repeat(&self, way: &Way<'_>, page: &Page<'_>) -> bool {
        let same = !page.body.trim_ascii().is_empty() && self.last_body == Some(hash(page.body));
        if !same || way.pages.are_numbered() {
            return same && self.last_count > 0;
        }
        let next = way.pages.after(self.next.as_ref(), way.base, page);
        next.is_ok_and(|next| next.is_some_and(|next| self.was_followed(&next)))
    }

    /// Goes on after a page that could be read.
    pub(super) fn go_on(&mut self, way: &Way<'_>, page: &Page<'_>) -> Step {
        if matches!(way.pages, Pages::Link { .. }) {
            // A link back to the page that it is on, or to the first one, goes in circles.
            self.followed.insert(hash(page.url.as_str().as_bytes()));
        }
        let next = way.pages.after(self.next.as_ref(), way.base, page);
        let repeat = self.is_repeat(way, page);
        self.equal = if repeat { self.equal + 1 } else { 0 };
        self.last_body = Some(hash(page.body));
        self.last_count = page.count;
        self.largest = self.largest.max(page.count);
        (self.stuck, self.unusable, self.again) = (0, 0, false);
        self.taken += 1;
        self.asked += 1;
        let next = match next {
            Ok(Some(next)) => next,
            Ok(None) if self.taken == 1 && way.pages.say_more(page) => {
                return Step::Cut(Cut::new(
                    "the answer says that there is more and has no `Link` header; choose another `kind` of `pagination`",
                ));
            }
            Ok(None) => return Step::End,
            Err(reason) => return Step::Cut(Cut::needing_help(reason)),
        };
        if self.equal >= EQUAL_PAGES {
            let name = way.pages.parameter().map_or("", |parameter| parameter.name.as_str());
            let reason =
                format!("{} pages in a row are the same; does the server know `{name}`?", self.equal + 1);
            return Step::Cut(Cut::needing_help(reason));
        }
        if self.was_followed(&next) {
            // Many servers repeat the last cursor once there is nothing more.
            let over = self.next.as_ref() == Some(&next) && page.count == 0;
            return if over { Step::End } else { Step::Cut(Cut::new(in_circles(way.pages))) };
        }
        self.proceed(way, next)
    }

    /// Goes on after a page that could not be read, for `reason`.
    pub(super) fn pass_over(&mut self, way: &Way<'_>, page: &Page<'_>, reason: &str) -> Step {
        self.unusable += 1;
        self.taken += 1;
        self.asked += 1;
        let next = way.pages.beyond(self.next.as_ref(), way.base, page, self.largest);
        let Some(next) = next.filter(|next| self.unusable < BAD_PAGES && !self.was_followed(next)) else {
            self.taken -= 1;
            self.stuck += 1;
            let can_resume = self.is_later() && self.stuck < RESUMES;
            return Step::Cut(if can_resume { Cut::resuming(reason) } else { Cut::new(reason) });
        };
        self.again = false;
        self.proceed(way, next)
    }

    /// Whether a page that the server refuses lies behind the last one: the page before was not full.
    pub(super) fn is_past_the_end(&self, pages: &Pages) -> bool {
        let full = pages.size().unwrap_or_default().max(self.largest);
        pages.are_numbered() && self.is_later() && self.last_count < full
    }

    fn proceed(&mut self, way: &Way<'_>, next: Next) -> Step {
        if let Next::Link(text) | Next::Cursor(text) = &next {
            let length = text.len();
            if length > LONGEST {
                return Step::Cut(Cut::needing_help(format!(
                    "the link or cursor of the next page has {length} bytes, over {LONGEST}"
                )));
            }
            self.followed.insert(hash(text.as_bytes()));
        }
        self.next = Some(next);
        if self.asked >= way.max_pages {
            let reason = format!("`max_pages` ({}) are read and there is more", way.max_pages);
            return Step::Cut(Cut::resuming(reason));
        }
        Step::More
    }

    fn was_followed(&self, next: &Next) -> bool {
        match next {
            Next::Link(text) | Next::Cursor(text) => self.followed.contains(&hash(text.as_bytes())),
            Next::Number(_) | Next::Offset(_) => self.next.as_ref() == Some(next),
        }
    }
}

fn in_circles(pages: &Pages) -> String {
    let mut reason = "the pages go in circles: this one leads to one that was read".to_owned();
    if let Some(parameter) = pages.parameter().filter(|parameter| parameter.pointer.is_none()) {
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
