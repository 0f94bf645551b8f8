//! Turns a future into an operation that the engine polls.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tidegate_abi::Status;

use super::call::Refusal;
use super::link::Link;
use super::threads;
use tidegate_sdk::Error;

/// An operation in progress. It owns the component and returns it with the result.
pub(super) type Work<C, T> = Pin<Box<dyn Future<Output = (C, T)> + Send>>;

/// Starts the operation of `slot`, or polls it.
///
/// The component is in `component` while no operation is in progress, so two can never run at the same time.
pub(super) fn drive<C, T>(
    link: &Link,
    component: &mut Option<C>,
    slot: &mut Option<Work<C, T>>,
    begin: impl FnOnce(C) -> Work<C, T>,
) -> Result<T, Refusal> {
    if link.is_stopped() {
        return Err(Status::CANCELLED.into());
    }
    let _context = threads::enter()?;
    let work = match slot {
        Some(work) => work,
        None => slot.insert(begin(idle(component)?)),
    };
    match work.as_mut().poll(&mut Context::from_waker(&link.waker)) {
        Poll::Pending => Err(Status::PENDING.into()),
        Poll::Ready((back, result)) => {
            *slot = None;
            *component = Some(back);
            Ok(result)
        }
    }
}

fn idle<C>(component: &mut Option<C>) -> Result<C, Error> {
    component
        .take()
        .ok_or_else(|| Error::fatal("the engine started an operation while another was in progress"))
}
