//! The capabilities of an instance, written into the struct of the engine.

use tidegate_abi::{self as abi, Str, replay};

use tidegate_sdk::{ConfigError, Error, Exclusive, Replay};

/// The capabilities of one instance.
pub(super) struct Capabilities {
    to: *mut abi::Capabilities,
    /// The same struct as far as the engine has it: a function that an older engine does not have is absent.
    table: abi::Capabilities,
}

impl Capabilities {
    /// # Safety
    /// `to` points to the struct of the engine until [`finish`](Self::finish), and nothing else writes to it.
    pub(super) unsafe fn new(to: *mut abi::Capabilities) -> Self {
        // SAFETY: the caller guarantees it.
        Self { to, table: unsafe { abi::read(to) } }
    }

    /// Writes the numbers into the struct of the engine.
    pub(super) fn finish(self) {
        // SAFETY: the caller of `new` guarantees it.
        unsafe { abi::write(self.to, &self.table) }
    }

    /// Sets what a source can replay.
    pub(super) fn source(&mut self, replay: Replay) {
        self.table.replay = match replay {
            Replay::Never => replay::NEVER,
            Replay::Redelivery => replay::REDELIVERY,
            Replay::Position => replay::POSITION,
        };
        // Whether the source has a committer, and whether its batches have callbacks, is known only later.
        self.table.wants_commit = u32::from(replay != Replay::Never);
        self.table.wants_batch_done = 1;
    }

    /// Marks a filter as one that waits.
    pub(super) fn waits(&mut self) {
        self.table.waits = 1;
    }

    /// Sets whether several instances with the same options may share the work.
    pub(super) fn parallel(&mut self, is: bool) {
        self.table.parallel = is.into();
    }

    /// Adds the next output of a filter.
    pub(super) fn output(&self, name: &str) {
        self.pass(self.table.output, name);
    }

    /// Sets the explanation for `check --explain`.
    pub(super) fn explain(&self, text: &str) {
        self.pass(self.table.explain, text);
    }

    /// Sets whether a sink is transactional, or why not.
    pub(super) fn transactional(&mut self, is: Result<(), Error>) {
        match is {
            Ok(()) => self.table.transactional = 1,
            Err(why) => self.pass(self.table.not_transactional, why.message()),
        }
    }

    /// Sets the transaction domain, or why there is none.
    pub(super) fn transaction_domain(&self, domain: Result<String, Error>) {
        match domain {
            Ok(domain) => self.pass(self.table.transaction_domain, &domain),
            Err(why) => self.pass(self.table.no_transaction_domain, why.message()),
        }
    }

    /// Adds the resources that no other component can use.
    pub(super) fn exclusive(&self, claims: &[Exclusive]) {
        let Some(add) = self.table.exclusive else { return };
        for claim in claims {
            let (resource, help) = (claim.encode(), claim.help.as_deref().unwrap_or_default());
            let of_same_name = u32::from(claim.of_same_name);
            // SAFETY: the functions belong to the struct, and copy the texts.
            unsafe {
                add(self.to, Str::new(&claim.pointer), Str::new(&resource), of_same_name, Str::new(help));
            }
        }
    }

    /// Adds the warnings about options.
    pub(super) fn warnings(&self, warnings: &[ConfigError]) {
        let Some(add) = self.table.warn else { return };
        for warning in warnings {
            let help = Str::new(warning.help.as_deref().unwrap_or_default());
            let range = warning.range.clone().unwrap_or_default();
            let (from, end) = (range.start as u32, range.end as u32);
            let (pointer, message) = (Str::new(&warning.pointer), Str::new(&warning.message));
            // SAFETY: the functions belong to the struct, and copy the texts.
            unsafe { add(self.to, pointer, message, help, from, end) }
        }
    }

    fn pass(&self, to: Option<unsafe extern "C" fn(*const abi::Capabilities, Str)>, text: &str) {
        if let Some(to) = to {
            // SAFETY: the functions belong to the struct, and copy the text.
            unsafe { to(self.to, Str::new(text)) }
        }
    }
}
