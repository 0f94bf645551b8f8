//! What an instance says of itself, written for the engine.

use tidegate_abi::{self as abi, Str, replay};

use crate::Replay;

/// The engine's list of facts.
pub(super) struct Facts(*mut abi::Facts);

impl Facts {
    /// # Safety
    /// `facts` is valid as long as this is, and nobody else writes to it.
    pub(super) unsafe fn new(facts: *mut abi::Facts) -> Self {
        Self(facts)
    }

    /// A source.
    pub(super) fn source(&mut self, replay: Replay) {
        let replay = match replay {
            Replay::Never => replay::NEVER,
            Replay::Redelivery => replay::REDELIVERY,
            Replay::Position => replay::POSITION,
        };
        // SAFETY: as `new` was promised.
        unsafe {
            (*self.0).replay = replay;
            // Whether there is a committer, and whether batches carry a function to call, shows only later.
            (*self.0).commits = u32::from(replay != replay::NEVER);
            (*self.0).settles = 1;
        }
    }

    /// A filter that waits.
    pub(super) fn waits(&mut self) {
        // SAFETY: as `new` was promised.
        unsafe { (*self.0).waits = 1 }
    }

    /// Whether several instances of the same options may share the work.
    pub(super) fn parallel(&mut self, is: bool) {
        // SAFETY: as `new` was promised.
        unsafe { (*self.0).parallel = is.into() }
    }

    /// The next output of a filter.
    pub(super) fn output(&mut self, name: &str) {
        // SAFETY: as `new` was promised.
        unsafe { self.say((*self.0).output, name) }
    }

    /// How it will do what it is asked for.
    pub(super) fn explain(&mut self, text: &str) {
        // SAFETY: as `new` was promised.
        unsafe { self.say((*self.0).explain, text) }
    }

    /// Whether a sink is transactional, or why not.
    pub(super) fn transactional(&mut self, is: Result<(), String>) {
        // SAFETY: as `new` was promised.
        unsafe {
            match is {
                Ok(()) => (*self.0).transactional = 1,
                Err(reason) => self.say((*self.0).why_not, &reason),
            }
        }
    }

    /// Where acknowledgements are kept, or what is written: or why that is of no use. An engine of 1.0 does not ask.
    pub(super) fn domain(&mut self, is: Result<String, String>) {
        // SAFETY: as `new` was promised.
        unsafe {
            if !abi::has!(abi::Facts, (*self.0).struct_size, no_domain) {
                return;
            }
            match is {
                Ok(domain) => self.say((*self.0).domain, &domain),
                Err(reason) => self.say((*self.0).no_domain, &reason),
            }
        }
    }

    fn say(&self, to: Option<unsafe extern "C" fn(*const abi::Facts, Str)>, text: &str) {
        if let Some(to) = to {
            // SAFETY: the functions belong to the list, and copy the text.
            unsafe { to(self.0, Str::new(text)) }
        }
    }
}
