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

use tidegate_sdk::{Class, Error};

pub(crate) use filter::{RestartingFilter, RestartingPlainFilter};
pub(crate) use sink::RestartingSink;
pub(crate) use source::RestartingSource;
pub(crate) use spec::InstanceSpec;

/// The reason why an instance broke, if that is the error.
fn broken(error: &Error) -> Option<&str> {
    (error.class() == Class::Broken).then(|| error.message())
}

/// Drops an instance that broke.
fn drop_if_broken<T, C: ?Sized>(instance: &mut Option<Box<C>>, result: Result<T, Error>) -> Result<T, Error> {
    result.inspect_err(|error| {
        if broken(error).is_some() {
            *instance = None;
        }
    })
}

/// The result of `open` or `close`, which no event can break.
fn lifecycle_result(result: Result<(), Error>, doing: &str) -> Result<(), Error> {
    result.map_err(|error| match broken(&error) {
        Some(why) => Error::retry(format!("the plugin {why} while it {doing}")),
        None => error,
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
