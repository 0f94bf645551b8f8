//! The child's end of the socket, as far as it speaks: answers from its loop, and lines of the log from any thread.

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

/// InstanceContext speaks.
#[derive(Clone)]
pub(crate) struct FrameWriter(Arc<Mutex<UnixStream>>);

impl FrameWriter {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self(Arc::new(Mutex::new(socket)))
    }

    /// Says it. Waits while the socket is full; the engine always listens. An error means that it is gone.
    pub(crate) fn say(&self, frame: &Frame) -> io::Result<()> {
        let bytes = frame.encode();
        let mut rest = bytes.as_slice();
        let mut socket = self.0.lock();
        while !rest.is_empty() {
            match socket.write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let _interrupted = poll(&mut [PollFd::new(&*socket, PollFlags::OUT)], None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Sends what is logged in this process to the engine.
pub(crate) struct Logger {
    pub(crate) voice: FrameWriter,
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
        // Nobody is there to whom it could be said that nobody listens.
        let _ = self.voice.say(&Frame::new(Topic::Log).with(&line));
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// The message of an event. The engine knows by itself which component it is of.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _memory_takes_all = write!(self.0, "{value:?}");
        }
    }
}
