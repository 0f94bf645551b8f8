//! The tables of a library, read by their own word for their size, so that what an older one does not have is absent and
//! what a newer one has more is not looked at.

use tidegate_abi as abi;

/// A library's functions for one of its plugins.
#[derive(Clone, Copy)]
pub(crate) struct Tables {
    pub(crate) component: &'static abi::Component,
    pub(crate) caps: u32,
    pub(crate) base: abi::Base,
    pub(crate) ops: Ops,
}

/// What it does, by its kind.
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

    /// Why a source or a sink that says nothing of a domain has none: one that was built against 1.0 cannot say more.
    pub(crate) fn no_domain(&self) -> &'static str {
        match self.ops {
            Ops::Source(_) => "no sink can acknowledge its events together with what it writes",
            _ => "it cannot acknowledge events in one transaction with what it writes",
        }
    }

    pub(crate) fn source(&self) -> &abi::Source {
        match &self.ops {
            Ops::Source(table) => table,
            _ => unreachable!("the handshake has paired kinds and tables"),
        }
    }

    pub(crate) fn filter(&self) -> &abi::Filter {
        match &self.ops {
            Ops::Filter(table) => table,
            _ => unreachable!("the handshake has paired kinds and tables"),
        }
    }

    pub(crate) fn sink(&self) -> &abi::Sink {
        match &self.ops {
            Ops::Sink(table) => table,
            _ => unreachable!("the handshake has paired kinds and tables"),
        }
    }
}

/// A table, as far as it goes: what is beyond its own word for its size is zero, that is, absent.
///
/// # Errors
/// It is shorter than `least`, what the first version had.
///
/// # Safety
/// `table` is null, or points to as many bytes as its first field says. All zero is a value of `T`, which is a struct of
/// functions and numbers.
pub(crate) unsafe fn read<T: Copy>(table: *const T, least: usize, what: &str) -> Result<T, String> {
    if table.is_null() {
        return Err(format!("{what} is NULL"));
    }
    if !table.is_aligned() {
        return Err(format!("{what} is not where a table can be"));
    }
    // SAFETY: the first field of every table is its size.
    let size = unsafe { table.cast::<u32>().read() } as usize;
    if size < least {
        return Err(format!("{what} says that it has {size} bytes, and has to have {least}"));
    }
    // SAFETY: as the caller promises.
    Ok(unsafe { abi::read(table) })
}
