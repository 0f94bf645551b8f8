//! The tables of a library, read as far as their `struct_size` reaches. Fields that an older library does not have are
//! absent, and fields that only a newer one has are ignored.

use tidegate_abi as abi;

/// A library's functions for one of its plugins.
#[derive(Clone, Copy)]
pub(crate) struct Tables {
    pub(crate) component: &'static abi::Component,
    pub(crate) caps: u32,
    pub(crate) base: abi::Base,
    pub(crate) ops: Ops,
}

/// The functions of its kind.
#[derive(Clone, Copy)]
pub(crate) enum Ops {
    Source(abi::Source),
    Filter(abi::Filter),
    Sink(abi::Sink),
}

impl Tables {
    /// True if its calls may block.
    pub(crate) fn blocks(&self) -> bool {
        self.caps & abi::cap::BLOCKING != 0
    }

    /// The reason why a source or sink that names no transaction domain has none.
    pub(crate) fn no_transaction_domain(&self) -> &'static str {
        match self.ops {
            Ops::Source(_) => "no sink can acknowledge its events together with what it writes",
            _ => "it cannot acknowledge events in one transaction with what it writes",
        }
    }

    pub(crate) fn source(&self) -> &abi::Source {
        match &self.ops {
            Ops::Source(table) => table,
            _ => unreachable!("the handshake has matched kinds and tables"),
        }
    }

    pub(crate) fn filter(&self) -> &abi::Filter {
        match &self.ops {
            Ops::Filter(table) => table,
            _ => unreachable!("the handshake has matched kinds and tables"),
        }
    }

    pub(crate) fn sink(&self) -> &abi::Sink {
        match &self.ops {
            Ops::Sink(table) => table,
            _ => unreachable!("the handshake has matched kinds and tables"),
        }
    }
}
