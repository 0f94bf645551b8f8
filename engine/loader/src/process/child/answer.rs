//! The frame that answers an operation.

use crate::link::Fault;
use crate::process::frame::{Frame, Topic};
use crate::process::message::ErrorMessage;

/// The frame for the result of an operation.
pub(crate) fn answer(result: Result<Frame, Fault>) -> Frame {
    match result {
        Ok(frame) => frame,
        Err(Fault::Error(error)) => Frame::new(Topic::Failed).with(&ErrorMessage::from(&error)),
        Err(Fault::Broken(why)) => Frame::new(Topic::Broken).with_text(&why),
    }
}
