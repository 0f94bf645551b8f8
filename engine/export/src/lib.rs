//! The library side of the C ABI: makes a shared library of a plugin crate, which any build of the engine loads.
//!
//! No panic crosses the ABI, no component that waits blocks a thread of the engine, and memory of the engine is used after
//! an operation only if it is retained.
//!
//! Start with [`export_plugin!`](crate::export_plugin), then read `call.rs`, through which every function of the ABI is
//! entered. `operation.rs` turns a future into an operation that the engine polls; `component` holds the functions of
//! each kind of component; `batch` converts batches of the engine and for the engine.

#![allow(unsafe_code, reason = "exchanges pointers with the engine through the C ABI")]
#![cfg_attr(not(test), warn(clippy::undocumented_unsafe_blocks))]
#![warn(clippy::match_bool)]

mod batch;
mod call;
mod capabilities;
mod component;
mod lifecycle;
mod link;
mod log;
mod operation;
mod pending;
mod table;
mod threads;

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use table::Library;
/// The C ABI, for the macro.
#[doc(hidden)]
pub use tidegate_abi as abi;

/// Makes a shared library of this crate: exports the symbol that the engine looks up.
///
/// Takes a function that returns the plugins of the crate, as a built-in crate has it. The library has the name and
/// version of the crate. Use it once, in `lib.rs` of a crate with `crate-type = ["cdylib"]`:
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
        /// The entry point of the library. Returns the same table of its plugins each time.
        #[allow(unsafe_code, reason = "the ABI defines the name of the symbol")]
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
