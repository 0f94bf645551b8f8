//! The library side of the C ABI: what makes a plugin crate a shared library that any build of the engine loads.
//!
//! Never lets a panic cross the border, never blocks the engine's thread on a component that waits, and never uses
//! memory of the engine beyond the operation it was given for, unless it holds a reference of its own.
//!
//! Read [`export_plugin!`](crate::export_plugin) first, then `call.rs`: the one way in which every function of the
//! border is entered. `work.rs` is how a future becomes an operation that is asked again; `given.rs` and `spelled.rs`
//! are a batch on its way in and out.

#![allow(unsafe_code, reason = "exchanges pointers with the engine through the C ABI")]
#![cfg_attr(not(test), warn(clippy::undocumented_unsafe_blocks))]
#![warn(clippy::match_bool)]

mod call;
mod capabilities;
mod decode;
mod encode;
mod filter;
mod lifecycle;
mod link;
mod log;
mod operation;
mod pending;
mod sink;
mod source;
mod table;
mod threads;

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use table::Library;
/// The C ABI, for the macro.
#[doc(hidden)]
pub use tidegate_abi as abi;

/// Makes a shared library of this crate: exports the one symbol that the engine looks for.
///
/// Takes a function that returns the crate's plugins, the same that a built-in crate has. The library is known by
/// the name and version of the crate. Goes into `lib.rs` of a crate with `crate-type = ["cdylib"]`, once:
///
/// ```standalone_crate
/// use tidegate_sdk::Plugin;
///
/// /// The plugins of this crate.
/// pub fn plugins() -> Vec<Plugin> {
///     Vec::new()
/// }
///
/// tidegate_export::export_plugin!(plugins);
/// # fn main() {
/// #     let table = tidegate_plugin_v1(0, 0);
/// #     assert_eq!(table, tidegate_plugin_v1(0, 0), "the same each time");
/// #     assert_eq!(unsafe { ((*table).n_components, (*table).version.text()) }, (0, env!("CARGO_PKG_VERSION").into()));
/// # }
/// ```
#[macro_export]
macro_rules! export_plugin {
    ($plugins:expr) => {
        /// The entry of the library: a table of its plugins, which is the same each time.
        #[allow(unsafe_code, reason = "the name of the symbol is the contract with the engine")]
        #[unsafe(no_mangle)]
        pub extern "C" fn tidegate_plugin_v1(
            _host_minor: u32,
            _host_features: u64,
        ) -> *const $crate::abi::Module {
            static LIBRARY: $crate::Library = $crate::Library::new();
            LIBRARY.table(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), $plugins)
        }
    };
}
