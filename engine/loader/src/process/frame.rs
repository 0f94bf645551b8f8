//! The frames of the socket: a head of fixed size, and a body that is usually empty.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// In the answer of `next`: the input has ended.
pub(crate) const ENDED: u32 = 1;
/// In the answer of `next`: the source wants to know the outcome of the batch.
pub(crate) const WANTS_BATCH_DONE: u32 = 2;

/// The limit for a body, in bytes. Batches go through shared memory.
pub(crate) const BODY: usize = 64 << 20;

/// The size of a head, in bytes.
const HEAD: usize = 48;

/// The topic of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Topic {
    // From the engine: operations, with an answer.
    Create = 1,
    Open,
    Next,
    Process,
    Write,
    Claim,
    Commit,
    AckAndWrite,
    Save,
    Restore,
    Close,
    /// A commit of a source, which may overlap another operation.
    CommitPosition,
    // From the engine, without an answer.
    BatchDone,
    Drain,
    /// Answered when no call is in progress.
    Ping,
    // From the child: answers.
    Done,
    /// The operation failed; the body is the error.
    Failed,
    /// The instance broke; the body is the reason.
    Broken,
    // From the child, without a request.
    Log,
    Progress,
    Pong,
}

impl Topic {
    /// The name of the function that an operation calls.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::Next => "next",
            Self::Process => "process",
            Self::Write => "write",
            Self::Claim => "claim",
            Self::Commit | Self::CommitPosition => "commit",
            Self::AckAndWrite => "ack_and_write",
            Self::Save => "save",
            Self::Restore => "restore",
            Self::Close => "close",
            _ => "a call",
        }
    }
}

const TOPICS: [Topic; 21] = [
    Topic::Create,
    Topic::Open,
    Topic::Next,
    Topic::Process,
    Topic::Write,
    Topic::Claim,
    Topic::Commit,
    Topic::AckAndWrite,
    Topic::Save,
    Topic::Restore,
    Topic::Close,
    Topic::CommitPosition,
    Topic::BatchDone,
    Topic::Drain,
    Topic::Ping,
    Topic::Done,
    Topic::Failed,
    Topic::Broken,
    Topic::Log,
    Topic::Progress,
    Topic::Pong,
];

/// The slot of the main operation.
pub(crate) const WORK: u32 = 0;
/// The slot of a commit of a source, which may overlap the main operation.
pub(crate) const BESIDE: u32 = 1;

/// A range of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Area {
    /// The offset of its first byte.
    pub(crate) start: u64,
    /// The offset after its last byte.
    pub(crate) end: u64,
}

impl Area {
    pub(crate) fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

/// A frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) topic: Topic,
    /// [`WORK`] or [`BESIDE`].
    pub(crate) slot: u32,
    /// A number that depends on the topic: whether events may be deferred, whether the sink acknowledges, an outcome.
    pub(crate) number: u32,
    /// The area of the batch in the sender's region.
    pub(crate) area: Area,
    /// In an answer: the part of the engine's region that the plugin retains.
    pub(crate) held: Area,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    /// Creates a frame without a body.
    pub(crate) fn new(topic: Topic) -> Self {
        Self { topic, slot: WORK, number: 0, area: Area::default(), held: Area::default(), body: Vec::new() }
    }

    /// Sets the body, as JSON.
    pub(crate) fn with(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(body).expect("messages are plain data with names as keys");
        self
    }

    /// Sets the body, as text.
    pub(crate) fn with_text(mut self, text: &str) -> Self {
        self.body = text.as_bytes().to_vec();
        self
    }

    /// Parses the body from JSON.
    ///
    /// # Errors
    /// The body does not have this form.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| format!("a message is not readable: {error}"))
    }

    /// The body as text, with invalid UTF-8 replaced.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The bytes for the socket.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.body.len());
        for number in [self.topic as u32, self.slot, self.number, self.body.len() as u32] {
            bytes.extend_from_slice(&number.to_ne_bytes());
        }
        for number in [self.area.start, self.area.end, self.held.start, self.held.end] {
            bytes.extend_from_slice(&number.to_ne_bytes());
        }
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Assembles frames from the bytes of a socket.
#[derive(Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    read: usize,
}

impl Inbox {
    /// Adds bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if self.read > 0 {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete frame, if there is one.
    ///
    /// # Errors
    /// The bytes are not a frame.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        let bytes = &self.bytes[self.read..];
        let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Ok(None) };
        let short = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("4 bytes are 4 bytes"));
        let long = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().expect("8 bytes are 8 bytes"));
        let broken = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let length = short(12) as usize;
        if length > BODY {
            return Err(broken(format!("a message has {length} bytes, and may have {BODY}")));
        }
        let topic = TOPICS.into_iter().find(|topic| *topic as u32 == short(0));
        let topic = topic.ok_or_else(|| broken(format!("{} is not a topic of a message", short(0))))?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let frame = Frame {
            topic,
            slot: short(4),
            number: short(8),
            area: Area { start: long(16), end: long(24) },
            held: Area { start: long(32), end: long(40) },
            body: body.to_vec(),
        };
        self.read += HEAD + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_split_of_their_bytes() {
        let area = Area { start: 8, end: 1 << 40 };
        let frame =
            Frame { slot: BESIDE, number: 7, area, ..Frame::new(Topic::BatchDone).with_text("because") };
        let bytes = [frame.encode(), Frame::new(Topic::Ping).encode()].concat();
        for piece in [1, 5, HEAD, bytes.len()] {
            let (mut inbox, mut seen) = (Inbox::default(), Vec::new());
            for bytes in bytes.chunks(piece) {
                inbox.feed(bytes);
                seen.extend(std::iter::from_fn(|| inbox.next().unwrap()));
            }
            assert_eq!(seen.len(), 2);
            assert_eq!((seen[0].topic, seen[0].slot, seen[0].number), (Topic::BatchDone, BESIDE, 7));
            assert_eq!((seen[0].area, seen[0].text().as_str()), (area, "because"));
            assert_eq!(seen[1].topic, Topic::Ping);
        }
    }

    #[test]
    fn invalid_frames_are_refused() {
        let mut inbox = Inbox::default();
        inbox.feed(&[0xff; HEAD]);
        assert!(inbox.next().is_err());
        let mut inbox = Inbox::default();
        let mut bytes = Frame::new(Topic::Done).encode();
        bytes[0] = 99;
        inbox.feed(&bytes);
        assert!(inbox.next().unwrap_err().to_string().contains("99 is not a topic"));
    }
}
