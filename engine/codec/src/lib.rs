//! The encoding of a batch that crosses into a library or leaves the process.
//!
//! A batch is encoded as [`Columns`], the columns of the C ABI. A table of the ABI points to them ([`Columns::read`],
//! [`Columns::set`]), and shared memory holds them one after the other ([`Packer`], [`Unpacker`]). [`Encoder`] makes them
//! from a batch; [`Incoming`] checks them and makes a batch. Both sides of a boundary use the same code, so a new column is
//! added to each of these once.

#![allow(unsafe_code, reason = "reads columns that came from the other side")]
#![cfg_attr(not(test), warn(clippy::undocumented_unsafe_blocks))]
#![warn(clippy::match_bool)]

mod attributes;
mod columns;
mod decode;
mod encode;
mod handles;
mod limits;
mod runs;
mod shared;

pub use columns::{Columns, column, read_table, text};
pub use decode::{Incoming, Names};
pub use encode::{Encoder, Place};
pub use handles::{EncodedHandles, read_handles};
pub use limits::{EVENTS, MetadataLimit, NAME, POSITION};
pub use runs::RunEntry;
pub use shared::copy_ranges::CopyRanges;
pub use shared::pack::{Packer, Scratch};
pub use shared::unpack::Unpacker;
