//! The C ABI between Tidegate and its plugins: the layout of `include/tidegate_plugin.h` in Rust.
//!
//! The header is the contract and documents the meaning of every field; this crate mirrors its layout and adds no
//! behaviour beyond reading and writing structs, texts and errors. A test compares every size and offset of the two with
//! a C compiler, and with the layout of each released minor version.
//!
//! Start with [`Module`], the table of a library, then [`Batch`], the data of most calls.

#![allow(unsafe_code, reason = "reads pointers that came from the other side")]
#![cfg_attr(not(test), warn(clippy::undocumented_unsafe_blocks))]
#![warn(clippy::match_bool)]

mod instance;
mod layout;
mod module;
mod status;
mod text;
mod vtables;

#[cfg(test)]
mod tests;

pub use instance::{Capabilities, Claim, Open};
pub use layout::{AckHandles, Attr, AttrValue, Batch, Record, Refused, Resume, Run, View};
pub use module::{Component, Create, Entry, Host, Module};
pub use status::{Error, Status, cap, flag, kind, level, outcome, replay};
pub use text::{Buf, Str};
pub use vtables::{Base, Filter, Out, Records, Report, Sink, Source, State, StateWriter};

/// The minor version of the ABI that this crate mirrors.
pub const MINOR: u32 = 0;

/// The name of the only symbol that a library exports.
pub const ENTRY: &str = "tidegate_plugin_v1";

/// The name of the extension with which a filter saves and restores its state: [`State`].
pub const STATE: &std::ffi::CStr = c"tidegate.state/1";

/// [`View::buf`] of an absent view.
pub const NONE: u32 = u32::MAX;

/// [`Batch::time`] of an event without a time.
pub const NO_TIME: i64 = i64::MIN;

/// The result of `route` for an event that is dropped on purpose.
pub const PORT_DROP: u16 = 0xFFFF;

/// The result of `route` for a rejected event.
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

/// Returns a `T` that is all zero except for its size in the first field.
///
/// # Safety
/// `T` is a struct of this crate whose first field is `struct_size`: each of them may be all zero.
pub unsafe fn sized<T>() -> T {
    // SAFETY: all zero is a valid value of these structs: integers, null pointers and `None` functions.
    let mut value = unsafe { std::mem::zeroed::<T>() };
    // SAFETY: the first field is a `u32`, and the struct is at least as large.
    unsafe { (&raw mut value).cast::<u32>().write(size_of::<T>() as u32) };
    value
}

/// Copies a struct of the other side as far as its `struct_size` reaches. A field beyond that is zero.
///
/// # Safety
/// `from` points to as many bytes as its first field says. All zero is a valid `T`, and `T` is a struct of this crate
/// whose first field is `struct_size`.
pub unsafe fn read<T: Copy>(from: *const T) -> T {
    // SAFETY: the caller guarantees `size` bytes, and no more than `T` holds are copied.
    unsafe {
        let mut copy = std::mem::zeroed::<T>();
        let size = from.cast::<u32>().read() as usize;
        let size = size.min(size_of::<T>());
        std::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut copy).cast::<u8>(), size);
        copy
    }
}

/// Copies a struct of the other side as [`read`] does, after checking that it is there.
///
/// # Errors
/// It is NULL or not aligned, or it ends before `least`, the end of its last required field.
///
/// # Safety
/// `table` is NULL, or points to as many bytes as its first field says. All zero is a valid `T`, and `T` is a struct of this
/// crate whose first field is `struct_size`.
pub unsafe fn read_checked<T: Copy>(table: *const T, least: usize, what: &str) -> Result<T, String> {
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
    Ok(unsafe { read(table) })
}

/// Copies `value` into a struct of the other side as far as that one's `struct_size` reaches, which stays as it is.
///
/// # Safety
/// `to` points to as many bytes as its first field says, and no one else accesses them. `T` is a struct of this crate
/// whose first field is `struct_size`.
pub unsafe fn write<T: Copy>(to: *mut T, value: &T) {
    const HEAD: usize = size_of::<u32>();
    // SAFETY: the caller guarantees `size` bytes, and no more than `T` holds are copied.
    unsafe {
        let size = to.cast::<u32>().read() as usize;
        let rest = size.min(size_of::<T>()).saturating_sub(HEAD);
        let from = std::ptr::from_ref(value).cast::<u8>().add(HEAD);
        std::ptr::copy_nonoverlapping(from, to.cast::<u8>().add(HEAD), rest);
    }
}

/// The number of bytes from the start of `$type` to the end of its field `$field`: the `struct_size` that a struct needs
/// for this field to be present.
#[macro_export]
macro_rules! size_through {
    ($type:ty, $field:ident) => {
        core::mem::offset_of!($type, $field) + $crate::field_size(|of: &$type| &of.$field)
    };
}

/// The size of the field that `_field` returns.
#[doc(hidden)]
pub const fn field_size<T, F>(_field: fn(&T) -> &F) -> usize {
    size_of::<F>()
}
