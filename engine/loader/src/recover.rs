//! What makes a component whole again when its instance breaks: another one is made, told where to go on, and given again
//! what the first has not answered for. The events at which it breaks each time are rejected.
//!
//! One path for every library and every isolation: only who runs the instance differs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tidegate_sdk::{Cx, Error};
use tokio::time::Instant;

use crate::link::{Facts, Fault, Home, Link, Who};

mod filter;
mod sink;
mod source;

pub(crate) use filter::{SafeFilter, SafePlain};
pub(crate) use sink::SafeSink;
pub(crate) use source::SafeSource;

/// The pause before an instance that broke for the second time in a row is made anew; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After so long without a break, the next one counts as the first.
const FORGIVEN: Duration = Duration::from_secs(60);

/// What it takes to make an instance.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) home: Arc<dyn Home>,
    pub(crate) options: Value,
    pub(crate) facts: Facts,
    /// The plugin's name, until the component's is known.
    pub(crate) plugin: String,
    /// An instance that breaks is not made anew: the component fails for good.
    pub(crate) strict: bool,
}

impl Recipe {
    async fn make(&self, cx: &Cx) -> Result<Link, Error> {
        let who = Who { component: cx.component().to_owned(), event_size: cx.event_size() };
        let made = match self.home.is_quick() {
            true => self.home.create(&self.options, &who),
            false => {
                let recipe = self.clone();
                let making = cx.spawn_blocking(move || recipe.home.create(&recipe.options, &who));
                making.await.map_err(|_| Error::retry("no instance can be made at the moment"))?
            }
        };
        // It was made before, so what keeps it from being made again is not in the options.
        made.map(|(link, _)| link).map_err(|error| Error::retry(format!("no instance can be made: {error}")))
    }
}

/// How often an instance broke lately.
struct Breaks {
    strict: bool,
    row: u32,
    last: Option<Instant>,
}

impl Breaks {
    /// Of an instance of this recipe.
    fn new(recipe: &Recipe) -> Self {
        Self { strict: recipe.strict, row: 0, last: None }
    }

    /// Tells of a break at a whole batch, or at a part of one. While the culprit is looked for, breaks are to be
    /// expected: they are no reason to wait, and not worth a line each.
    fn of(&mut self, whole: bool, component: &str, why: &str) -> Result<Duration, Error> {
        if whole || self.strict {
            return self.another(component, why);
        }
        tracing::debug!(component, "the plugin {why}; looking for the event at which it does");
        Ok(Duration::ZERO)
    }

    /// The event is found that it was for, so the plugin is not to blame for what comes next.
    fn explained(&mut self) {
        self.row = 0;
    }

    /// Tells of a break, and says how long to wait before the next instance is made.
    fn another(&mut self, component: &str, why: &str) -> Result<Duration, Error> {
        if self.strict {
            return Err(Error::fatal(format!("the plugin {why}")));
        }
        if self.last.is_none_or(|last| last.elapsed() > FORGIVEN) {
            self.row = 0;
        }
        self.row += 1;
        self.last = Some(Instant::now());
        tracing::warn!(component, "the plugin {why}; starting it anew");
        Ok(match self.row {
            1 => Duration::ZERO,
            row => FIRST_PAUSE.saturating_mul(1 << (row - 2).min(16)).min(LONGEST_PAUSE),
        })
    }
}

/// Lets go of an instance that broke.
fn unless_broken<L: ?Sized, T>(link: &mut Option<Box<L>>, result: Result<T, Fault>) -> Result<T, Fault> {
    if matches!(result, Err(Fault::Broken(_))) {
        *link = None;
    }
    result
}

/// What a break means while the instance did something that no event is to blame for.
fn blameless(result: Result<(), Fault>, doing: &str) -> Result<(), Error> {
    result.map_err(|fault| match fault {
        Fault::Error(error) => error,
        Fault::Broken(why) => Error::retry(format!("the plugin {why} while it {doing}")),
    })
}

fn reason(why: &str) -> String {
    format!("the plugin {why}, each time that it is given this event")
}

fn gave_up(why: &str) -> Error {
    Error::retry(format!("the plugin {why}, at too many events of one batch for it to be the events"))
}
