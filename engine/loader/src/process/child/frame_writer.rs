//! Writes frames to the engine: answers from the loop of the child, and log lines from any thread.

use parking_lot::Mutex;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::process::frame::{Frame, Topic};
use crate::process::message::LogMessage;

/// Writes frames to the socket.
#[derive(Clone)]
pub(crate) struct FrameWriter(Arc<Mutex<UnixStream>>);

impl FrameWriter {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self(Arc::new(Mutex::new(socket)))
    }

    /// Writes a frame. Waits while the socket is full; the engine always reads. An error means that the engine is gone.
    pub(crate) fn write(&self, frame: &Frame) -> io::Result<()> {
        let bytes = frame.encode();
        let mut rest = bytes.as_slice();
        let mut socket = self.0.lock();
        while !rest.is_empty() {
            match socket.write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // An interruption repeats the loop.
                    let _ = poll(&mut [PollFd::new(&*socket, PollFlags::OUT)], None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Sends the log of this process to the engine.
pub(crate) struct Logger {
    pub(crate) writer: FrameWriter,
    pub(crate) level: LevelFilter,
}

impl Subscriber for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let line = LogMessage { level: event.metadata().level().to_string(), message: message.0 };
        // If the engine is gone, there is no place to report it.
        let _ = self.writer.write(&Frame::new(Topic::Log).with(&line));
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// The message of an event, without fields: the engine knows the component.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}
