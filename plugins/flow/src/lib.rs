//! Which events go on, and how fast: the filters `dedupe`, `throttle` and `sample`, and the sink `blackhole`.
//!
//! Never changes an event, and never keeps one: what is remembered of an event is a hash of its key, and how
//! many are remembered has a limit.
//!
//! Read `bucket::Rate` and `window::Window` first: the two pure state machines, without a clock of their own.

mod blackhole;
mod bucket;
mod dedupe;
mod key;
mod sample;
mod state;
mod throttle;
mod window;

use tidegate_sdk::Plugin;

/// The plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![blackhole::plugin(), dedupe::plugin(), sample::plugin(), throttle::plugin()]
}

#[cfg(feature = "library")]
tidegate_export::export_plugin!(plugins);
