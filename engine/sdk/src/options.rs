//! Types that plugins use for their options: sizes, durations, secrets, templates, hosts and exclusive resources.

mod exclusive;
mod hosts;
mod secret;
mod template;
mod units;

pub use exclusive::{Access, Exclusive, Overlap, PathPattern, Resource};
pub use hosts::Hosts;
pub use secret::{Secret, redact_url};
pub use template::Template;
pub use units::{Duration, Size};
