//! How a future becomes an operation that the engine asks again.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tidegate_abi::Status;

use super::call::Refusal;
use super::link::Link;
use super::threads;
use tidegate_sdk::Error;

/// An operation under way. It owns the component meanwhile, and gives it back with its result.
pub(super) type Work<C, T> = Pin<Box<dyn Future<Output = (C, T)> + Send>>;

/// Begins the operation of `slot`, or goes on with it.
///
/// The component is in `component` while no operation of it is under way, so two can never run at a time.
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
    component.take().ok_or_else(|| Error::fatal("the engine began an operation while another was under way"))
}
