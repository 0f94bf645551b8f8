//! What makes a component whole again when its instance breaks: another one is made, told where to go on, and given again
//! what the first has not answered for. The events at which it breaks each time are rejected.
//!
//! One path for every library and every isolation: only who runs the instance differs.

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

/// Lets go of an instance that broke.
fn unless_broken<L: ?Sized, T>(link: &mut Option<Box<L>>, result: Result<T, Fault>) -> Result<T, Fault> {
    if matches!(result, Err(Fault::Broken(_))) {
        *link = None;
    }
    result
}

/// What a break means while the instance did something that no event is to blame for.
fn blameless(result: Result<(), Fault>, doing: &str) -> Result<(), Error> {
    result.map_err(|fault| match fault {
        Fault::Error(error) => error,
        Fault::Broken(why) => Error::retry(format!("the plugin {why} while it {doing}")),
    })
}

fn reason(why: &str) -> String {
    format!("the plugin {why}, each time that it is given this event")
}

fn gave_up(why: &str) -> Error {
    Error::retry(format!("the plugin {why}, at too many events of one batch for it to be the events"))
}
