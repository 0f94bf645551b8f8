//! What became of a call, and the numbers that go with it.

/// What became of a call: one of the constants, or something unknown, which means [`Status::FATAL`] if negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Status(pub i32);

impl Status {
    /// It is done.
    pub const OK: Self = Self(0);
    /// Not yet: the same call comes again.
    pub const PENDING: Self = Self(1);
    /// The input has ended.
    pub const END: Self = Self(2);
    /// The options are wrong.
    pub const CONFIG: Self = Self(-1);
    /// It may go through later.
    pub const RETRY: Self = Self(-2);
    /// Not now.
    pub const BUSY: Self = Self(-3);
    /// Nobody knows whether it was done.
    pub const AMBIGUOUS: Self = Self(-4);
    /// Somebody must change something outside.
    pub const MISCONFIGURED: Self = Self(-5);
    /// These events will never go through.
    pub const REJECT: Self = Self(-6);
    /// The record is not where it was left.
    pub const REPLAY: Self = Self(-7);
    /// The component cannot go on.
    pub const FATAL: Self = Self(-8);
    /// The instance is broken.
    pub const PANIC: Self = Self(-9);
    /// It was stopped.
    pub const CANCELLED: Self = Self(-10);
    /// There is no such thing.
    pub const UNSUPPORTED: Self = Self(-11);
}

/// Why something failed. Belongs to the caller of a function. Texts end with NUL.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Error {
    /// Size of this struct.
    pub struct_size: u32,
    /// As returned.
    pub code: Status,
    /// Not to be tried again before.
    pub retry_after_ms: u32,
    /// First byte of the option's text to underline.
    pub range_from: u32,
    /// One past the last.
    pub range_to: u32,
    /// JSON pointer to the option.
    pub path: [u8; 124],
    /// What went wrong.
    pub message: [u8; 624],
    /// What to do about it.
    pub help: [u8; 256],
}

impl Error {
    /// One that nobody has filled in.
    pub fn empty() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            code: Status::OK,
            retry_after_ms: 0,
            range_from: 0,
            range_to: 0,
            path: [0; 124],
            message: [0; 624],
            help: [0; 256],
        }
    }

    /// One that says this. What is too long is cut at a character.
    pub fn new(code: Status, message: &str) -> Self {
        let mut error = Self::empty();
        error.code = code;
        write(&mut error.message, message);
        error
    }

    /// The same, at the option `path`, underlining these bytes of its text, with what to do about it.
    #[must_use]
    pub fn at(mut self, path: &str, range: Option<std::ops::Range<usize>>, help: &str) -> Self {
        write(&mut self.path, path);
        write(&mut self.help, help);
        let range = range.unwrap_or_default();
        let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        (self.range_from, self.range_to) = (number(range.start), number(range.end));
        self
    }

    /// What went wrong.
    pub fn message(&self) -> String {
        read(&self.message)
    }

    /// JSON pointer to the option.
    pub fn path(&self) -> String {
        read(&self.path)
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        read(&self.help)
    }
}

fn write(field: &mut [u8], text: &str) {
    let mut end = text.len().min(field.len() - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    field[..end].copy_from_slice(&text.as_bytes()[..end]);
    field[end] = 0;
}

fn read(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// What a component is.
pub mod kind {
    /// Where events come from.
    pub const SOURCE: u32 = 1;
    /// What happens to them.
    pub const FILTER: u32 = 2;
    /// Where they go.
    pub const SINK: u32 = 3;
}

/// What a component can do or asks for, as bits.
pub mod cap {
    /// Calls may block.
    pub const BLOCKING: u32 = 1;
    /// Runs in a process of its own unless the pipeline file says otherwise.
    pub const PROCESS: u32 = 2;
}

/// What a library is, as bits.
pub mod flag {
    /// A panic in it ends the process.
    pub const PANIC_ABORT: u32 = 1;
    /// It brings a runtime that wants signals and threads of its own.
    pub const FOREIGN_RUNTIME: u32 = 2;
}

/// What a source can do after a crash.
pub mod replay {
    /// What was read is gone.
    pub const NEVER: u32 = 0;
    /// Its input delivers again what was not committed.
    pub const REDELIVERY: u32 = 1;
    /// It resumes at a position.
    pub const POSITION: u32 = 2;
}

/// How all events of a source's batch ended.
pub mod outcome {
    /// Each was delivered, or dropped on purpose.
    pub const DELIVERED: u32 = 0;
    /// None is lost, but at least one is a dead letter.
    pub const REJECTED: u32 = 1;
    /// At least one is neither.
    pub const FAILED: u32 = 2;
}

/// How much a line of the log matters.
pub mod level {
    /// Something is broken.
    pub const ERROR: u32 = 1;
    /// Something is not as it should be.
    pub const WARN: u32 = 2;
    /// Something worth knowing happened.
    pub const INFO: u32 = 3;
    /// For whoever looks for a mistake.
    pub const DEBUG: u32 = 4;
    /// Everything.
    pub const TRACE: u32 = 5;
}
