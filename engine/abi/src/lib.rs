//! The border between Tidegate and its plugins: the layout of `include/tidegate_plugin.h`, in Rust.
//!
//! Holds no behaviour beyond filling in an error and reading a text, so that whatever is built on it can change while it
//! does not. The header says what everything means; it is the contract, and this only mirrors it. A test compares every
//! size and offset of the two with a C compiler, and with the layouts that were frozen, one a minor.
//!
//! Read [`Module`] first, what a library is; then [`Batch`], what crosses the border all the time.

#![allow(unsafe_code, reason = "pointers that came across the border are read here")]

mod layout;
mod module;
mod status;
mod text;
mod vtables;

#[cfg(test)]
mod tests;

pub use layout::{Attr, AttrValue, Batch, Place, Receipts, Record, Refused, Run, View};
pub use module::{Claim, Component, Create, Entry, Facts, Host, Module, Open};
pub use status::{Error, Status, cap, flag, kind, level, outcome, replay};
pub use text::{Buf, Str};
pub use vtables::{Base, Filter, Keep, Out, Records, Report, Sink, Source, State};

/// The minor version of the ABI that this crate mirrors.
pub const MINOR: u32 = 1;

/// The name of the one symbol that a library exports.
pub const ENTRY: &str = "tidegate_plugin_v1";

/// The extension by which a filter hands over what it remembers: [`State`].
pub const STATE: &std::ffi::CStr = c"tidegate.state/1";

/// [`View::buf`]: there is none.
pub const NONE: u32 = u32::MAX;

/// [`Batch::time`]: there is none.
pub const NO_TIME: i64 = i64::MIN;

/// The answer of `route` for an event that is dropped on purpose.
pub const PORT_DROP: u16 = 0xFFFF;

/// The answer of `route` for an event that was rejected.
pub const PORT_REJECTED: u16 = 0xFFFE;

/// The types of an attribute.
pub mod attribute {
    /// Text in the batch's buffers.
    pub const TEXT: u32 = 1;
    /// A whole number.
    pub const INTEGER: u32 = 2;
    /// A number with a fraction.
    pub const FLOAT: u32 = 3;
    /// 0 or 1.
    pub const BOOLEAN: u32 = 4;
}

/// A value of `T` that is all zero, and says its size in its first field.
///
/// # Safety
/// `T` is a struct of this crate that begins with `struct_size`: each of them may be all zero.
pub unsafe fn sized<T>() -> T {
    // SAFETY: all zero is a value of each of these structs: integers, null pointers and `None` functions.
    let mut value = unsafe { std::mem::zeroed::<T>() };
    // SAFETY: the first field is a `u32`, and the struct is at least as large.
    unsafe { (&raw mut value).cast::<u32>().write(size_of::<T>() as u32) };
    value
}

/// A struct of the other side, as far as it goes by its own word for its size: a field that it does not have is zero.
///
/// # Safety
/// `from` points to as many bytes as its first field says. All zero is a value of `T`, which is a struct of this crate
/// that begins with `struct_size`.
pub unsafe fn read<T: Copy>(from: *const T) -> T {
    // SAFETY: as the caller promises: `size` bytes are there, and no more than `T` holds are taken.
    unsafe {
        let mut copy = std::mem::zeroed::<T>();
        let size = from.cast::<u32>().read() as usize;
        let size = size.min(size_of::<T>());
        std::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut copy).cast::<u8>(), size);
        copy
    }
}

/// Whether `size`, a struct's own word for its size, covers the field of `$type` with this name.
#[macro_export]
macro_rules! has {
    ($type:ty, $size:expr, $field:ident) => {
        $size as usize > core::mem::offset_of!($type, $field)
    };
}
