//! Restarts a component whose instance breaks: creates another instance, resumes it, and gives it the unfinished batch again.
//! Events that break the plugin each time are rejected.
//!
//! All isolations use this path; they differ only in the factory of the instances.

mod bisect;
mod filter;
mod policy;
mod sink;
mod source;
mod spec;

use tidegate_sdk::Error;

use crate::link::Fault;

pub(crate) use filter::{RestartingFilter, RestartingPlainFilter};
pub(crate) use sink::RestartingSink;
pub(crate) use source::RestartingSource;
pub(crate) use spec::InstanceSpec;

/// Drops an instance that broke.
fn drop_if_broken<L: ?Sized, T>(link: &mut Option<Box<L>>, result: Result<T, Fault>) -> Result<T, Fault> {
    if matches!(result, Err(Fault::Broken(_))) {
        *link = None;
    }
    result
}

/// The result of `open` or `close`, which no event can break.
fn lifecycle_result(result: Result<(), Fault>, doing: &str) -> Result<(), Error> {
    result.map_err(|fault| match fault {
        Fault::Error(error) => error,
        Fault::Broken(why) => Error::retry(format!("the plugin {why} while it {doing}")),
    })
}

/// The reason of the dead letter for an event that breaks the plugin.
fn reason(why: &str) -> String {
    format!("the plugin {why}, each time that it is given this event")
}

/// The error for a batch in which too many events break the plugin.
fn gave_up(why: &str) -> Error {
    Error::retry(format!("the plugin {why}, at too many events of one batch for it to be the events"))
}
