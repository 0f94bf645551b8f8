//! The result of a call, and the constants of the header.

/// The result of a call: one of the constants. An unknown negative value means [`Status::FATAL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Status(pub i32);

impl Status {
    /// Success.
    pub const OK: Self = Self(0);
    /// Not finished: the engine repeats the call.
    pub const PENDING: Self = Self(1);
    /// The input has ended.
    pub const END: Self = Self(2);
    /// An option is wrong.
    pub const CONFIG: Self = Self(-1);
    /// May succeed later.
    pub const RETRY: Self = Self(-2);
    /// Cannot be done now.
    pub const BUSY: Self = Self(-3);
    /// Unknown whether the operation was done.
    pub const AMBIGUOUS: Self = Self(-4);
    /// The operator has to change something outside.
    pub const MISCONFIGURED: Self = Self(-5);
    /// The events can never be written.
    pub const REJECT: Self = Self(-6);
    /// The stored record changed.
    pub const REPLAY: Self = Self(-7);
    /// The component cannot continue.
    pub const FATAL: Self = Self(-8);
    /// The instance is broken.
    pub const PANIC: Self = Self(-9);
    /// Interrupted by `stop`.
    pub const CANCELLED: Self = Self(-10);
    /// Not supported.
    pub const UNSUPPORTED: Self = Self(-11);
}

/// The reason of a failure. Belongs to the caller of a function. Texts end with NUL.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Error {
    /// Size of this struct.
    pub struct_size: u32,
    /// The same as the returned status.
    pub code: Status,
    /// Milliseconds until the earliest retry.
    pub retry_after_ms: u32,
    /// Offset of the first byte of the option's text to underline.
    pub range_from: u32,
    /// Offset after the last byte.
    pub range_to: u32,
    /// JSON pointer to the option.
    pub path: [u8; 124],
    /// The reason of the failure.
    pub message: [u8; 624],
    /// Advice for the operator.
    pub help: [u8; 256],
}

impl Error {
    /// An error that is not filled in.
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

    /// An error with a message, which is cut between characters if it is too long.
    pub fn new(code: Status, message: &str) -> Self {
        let mut error = Self::empty();
        error.code = code;
        write(&mut error.message, message);
        error
    }

    /// Adds the option `path`, the bytes of its text to underline, and what the operator can do.
    #[must_use]
    pub fn at(mut self, path: &str, range: Option<std::ops::Range<usize>>, help: &str) -> Self {
        write(&mut self.path, path);
        write(&mut self.help, help);
        let range = range.unwrap_or_default();
        let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        (self.range_from, self.range_to) = (number(range.start), number(range.end));
        self
    }

    /// The reason of the failure.
    pub fn message(&self) -> String {
        read(&self.message)
    }

    /// JSON pointer to the option.
    pub fn path(&self) -> String {
        read(&self.path)
    }

    /// Advice for the operator.
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

/// Kinds of components.
pub mod kind {
    /// Reads events.
    pub const SOURCE: u32 = 1;
    /// Changes events.
    pub const FILTER: u32 = 2;
    /// Writes events.
    pub const SINK: u32 = 3;
}

/// Bits of `Component::caps`.
pub mod cap {
    /// Calls may block.
    pub const BLOCKING: u32 = 1;
    /// Runs in a child process unless the pipeline file says otherwise.
    pub const PROCESS: u32 = 2;
}

/// Bits of `Module::flags`.
pub mod flag {
    /// A panic ends the process.
    pub const PANIC_ABORT: u32 = 1;
    /// Contains a runtime that installs signal handlers or starts threads.
    pub const FOREIGN_RUNTIME: u32 = 2;
}

/// The input that a source can read again after a crash.
pub mod replay {
    /// Nothing.
    pub const NEVER: u32 = 0;
    /// Its input delivers again what was not committed.
    pub const REDELIVERY: u32 = 1;
    /// All of it: the source resumes at a position.
    pub const POSITION: u32 = 2;
}

/// The worst fate of the events of a source's batch.
pub mod outcome {
    /// All were delivered, or dropped on purpose.
    pub const DELIVERED: u32 = 0;
    /// At least one is a dead letter, and none is lost.
    pub const REJECTED: u32 = 1;
    /// At least one is neither delivered nor a dead letter.
    pub const FAILED: u32 = 2;
}

/// Levels of log lines.
pub mod level {
    /// Errors.
    pub const ERROR: u32 = 1;
    /// Warnings.
    pub const WARN: u32 = 2;
    /// Notable events.
    pub const INFO: u32 = 3;
    /// For debugging.
    pub const DEBUG: u32 = 4;
    /// Everything.
    pub const TRACE: u32 = 5;
}
