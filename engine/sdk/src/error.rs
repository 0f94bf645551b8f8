//! Errors, with the class that decides what happens next.

pub(crate) mod config_errors;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// The class of an error, which decides the engine's reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A failure that may pass: tried again with growing pauses (full jitter).
    Retry,
    /// Not an error but "not now": tried again after the pause that was asked for, and not counted as a try.
    Busy,
    /// Bytes were sent and no answer came, so the outcome is unknown. Tried again, so it may be done twice.
    Ambiguous,
    /// Something outside must be changed (a password, a right, a type). Tried again at the longest pause, and the component is
    /// reported unhealthy. Nothing is dropped.
    Misconfigured,
    /// These events are bad and will never go through: each goes to the dead letters.
    Reject,
    /// The sink's record is not the expected one: its server has lost data. The graph restarts from the stored record.
    Replay,
    /// The component cannot go on, and another try would end the same: the pipeline fails.
    Fatal,
    /// The instance of a plugin broke: it panicked, crashed, hung, or broke the contract. Only for the engine, which restarts
    /// the instance.
    #[doc(hidden)]
    Broken,
}

/// The reason why a source, filter or sink could not do its work, and the class that decides what happens next.
///
/// Messages are lower-case sentences without a full stop, and hold no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    class: Class,
    message: String,
    after: Option<Duration>,
}

impl Error {
    /// An error of this class.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), after: None }
    }

    /// [`Class::Retry`].
    pub fn retry(message: impl Into<String>) -> Self {
        Self::new(Class::Retry, message)
    }

    /// [`Class::Busy`], to be tried again after `pause`.
    pub fn busy(message: impl Into<String>, pause: Duration) -> Self {
        Self::new(Class::Busy, message).after(pause)
    }

    /// [`Class::Ambiguous`].
    pub fn ambiguous(message: impl Into<String>) -> Self {
        Self::new(Class::Ambiguous, message)
    }

    /// [`Class::Misconfigured`].
    pub fn misconfigured(message: impl Into<String>) -> Self {
        Self::new(Class::Misconfigured, message)
    }

    /// [`Class::Reject`]: all the events that were asked for.
    pub fn reject(message: impl Into<String>) -> Self {
        Self::new(Class::Reject, message)
    }

    /// [`Class::Replay`].
    pub fn replay(message: impl Into<String>) -> Self {
        Self::new(Class::Replay, message)
    }

    /// [`Class::Fatal`].
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(Class::Fatal, message)
    }

    /// [`Class::Broken`]. The message is the end of a sentence that begins with the plugin.
    #[doc(hidden)]
    pub fn broken(message: impl Into<String>) -> Self {
        Self::new(Class::Broken, message)
    }

    /// The same error, not to be tried again before `pause` has passed (a server's Retry-After).
    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        self.after = Some(pause);
        self
    }

    /// The same error with another message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// The same error with its context first: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The requested pause.
    pub fn retry_after(&self) -> Option<Duration> {
        self.after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The reason why a component cannot be built from its configuration, shown under the place in the pipeline file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// JSON pointer to the option, such as `/retry/base`; empty for the component as a whole.
    pub pointer: String,
    /// Bytes of that option's text to underline (a query's bad token), if the option is text.
    pub range: Option<Range<usize>>,
    /// The problem: a lower-case sentence without a full stop.
    pub message: String,
    /// The way to correct it.
    pub help: Option<String>,
    /// Further errors of the same options: see [`ConfigErrors`](crate::ConfigErrors).
    pub more: Vec<ConfigError>,
}

impl ConfigError {
    /// An error at the option `pointer`.
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), range: None, message: message.into(), help: None, more: Vec::new() }
    }

    /// The same error, underlining only these bytes of the option's text.
    #[must_use]
    pub fn range(mut self, range: Range<usize>) -> Self {
        self.range = Some(range);
        self
    }

    /// The same error, with a way to correct it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// This error and all further ones.
    pub fn each(&self) -> impl Iterator<Item = &ConfigError> {
        std::iter::once(self).chain(&self.more)
    }

    /// This error and all further ones, each on its own.
    pub fn split(mut self) -> impl Iterator<Item = ConfigError> {
        let more = std::mem::take(&mut self.more);
        std::iter::once(self).chain(more)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            formatter.write_str(&self.message)
        } else {
            write!(formatter, "{}: {}", self.pointer, self.message)
        }
    }
}

impl std::error::Error for ConfigError {}
