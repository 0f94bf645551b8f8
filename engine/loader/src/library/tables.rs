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
    /// Whether its calls may block.
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

/// Reads a table as far as its `struct_size` reaches. Fields beyond that are zero, that is, absent.
///
/// # Errors
/// It ends before `least`, the end of its last required field.
///
/// # Safety
/// `table` is null, or points to as many bytes as its first field says. All zero is a valid `T`, which is a struct of
/// functions and numbers.
pub(crate) unsafe fn read<T: Copy>(table: *const T, least: usize, what: &str) -> Result<T, String> {
    if table.is_null() {
        return Err(format!("{what} is NULL"));
    }
    if !table.is_aligned() {
        return Err(format!("{what} is not aligned"));
    }
    // SAFETY: the first field of every table is its size.
    let size = unsafe { table.cast::<u32>().read() } as usize;
    if size < least {
        return Err(format!("{what} says that it has {size} bytes, and has to have {least}"));
    }
    // SAFETY: the caller guarantees it.
    Ok(unsafe { abi::read(table) })
}
