//! The frame that answers an operation.

use tidegate_sdk::{Class, Error};

use crate::process::frame::{Frame, Topic};
use crate::process::message::ErrorMessage;

/// The frame for the result of an operation.
pub(crate) fn answer(result: Result<Frame, Error>) -> Frame {
    match result {
        Ok(frame) => frame,
        Err(error) if error.class() == Class::Broken => Frame::new(Topic::Broken).with_text(error.message()),
        Err(error) => Frame::new(Topic::Failed).with(&ErrorMessage::from(&error)),
    }
}
