//! Errors of the store: the place, the reason, the ways out.

use std::fmt;
use std::path::PathBuf;

use crate::options::MAX_ENTRY;

/// Damage of a file that was durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The damaged file.
    pub file: PathBuf,
    /// Offset of the first byte that cannot be used.
    pub offset: u64,
    /// The problem.
    pub problem: String,
}

/// Error of a store that cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    Locked(String),
    /// A file or folder cannot be read or written.
    Failed(PathBuf, std::io::Error),
    /// A newer version of Tidegate wrote it.
    NewerVersion {
        /// The manifest.
        file: PathBuf,
        /// Version of the format.
        found: u32,
        /// Newest version that this build reads.
        known: u32,
    },
    /// The store belongs to another pipeline.
    OtherPipeline {
        /// The folder.
        folder: PathBuf,
        /// The pipeline of the store.
        found: String,
        /// The pipeline that was expected.
        expected: String,
    },
    /// A file that was durable is damaged.
    Damaged(Damage),
    /// There is no store.
    Missing(PathBuf),
}

/// Error of an option of a filter that changed, although it gives stored bytes a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FingerprintMismatch {
    /// Name of the filter.
    pub filter: String,
    /// The option that changed.
    pub option: String,
    /// Its value when the state was stored.
    pub was: Option<String>,
    /// Its value now.
    pub now: Option<String>,
}

/// Error of a filter that cannot be opened.
#[derive(Debug)]
pub enum FilterError {
    /// An option changed that gives stored bytes a meaning.
    Fingerprint(FingerprintMismatch),
    /// The store cannot be read.
    Read(ReadError),
    /// The store cannot be written.
    Commit(CommitError),
}

/// Error of a read.
#[derive(Debug)]
pub enum ReadError {
    /// A file cannot be read.
    Failed(PathBuf, std::io::Error),
    /// A file is damaged.
    Damaged(Damage),
    /// The filter was reset or removed.
    UnknownFilter,
}

/// Error of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// The disk is full. Nothing was committed; the same commit may be tried again.
    Full(String),
    /// A write or a sync failed, now or earlier. The store accepts nothing more until it is opened again.
    Poisoned(String),
    /// The commit is larger than 256 MiB.
    TooLarge(usize),
    /// The filter was reset or removed.
    UnknownFilter,
}

/// Error of a read from an outbox.
#[derive(Debug)]
pub enum OutboxError {
    /// The event was trimmed. `first` is the number of the oldest event that is kept.
    Trimmed {
        /// The number that was asked for.
        number: u64,
        /// The oldest event that is kept.
        first: u64,
    },
    /// The outbox never had this event.
    Beyond {
        /// The number that was asked for.
        number: u64,
        /// The number of the next event.
        next: u64,
    },
    /// The store cannot be read.
    Read(ReadError),
}

/// Error of an entry that is larger than 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryTooLarge {
    /// The beginning of the key.
    pub key: String,
    /// Size in bytes of key, sub-key and value.
    pub size: usize,
}

impl EntryTooLarge {
    pub(crate) fn new(key: &[u8], size: usize) -> Self {
        let shown = &key[..key.len().min(64)];
        let more = if shown.len() < key.len() { "..." } else { "" };
        Self { key: format!("{}{more}", shown.escape_ascii()), size }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, problem } = self;
        write!(
            formatter,
            "{} is damaged at byte {offset}: {problem}; restore the folder from a copy, or start over with `tidegate state \
             reset`",
            file.display()
        )
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(message) => formatter.write_str(message),
            Self::Failed(path, error) => write!(formatter, "the state in {}: {error}", path.display()),
            Self::NewerVersion { file, found, known } => write!(
                formatter,
                "{} has version {found}, and this build of Tidegate reads versions up to {known}; run the newer build",
                file.display()
            ),
            Self::OtherPipeline { folder, found, expected } => write!(
                formatter,
                "the state in {} belongs to the pipeline `{found}`, not to `{expected}`; move it away, or use another \
                 --data-dir",
                folder.display()
            ),
            Self::Damaged(damage) => damage.fmt(formatter),
            Self::Missing(folder) => write!(formatter, "there is no state in {}", folder.display()),
        }
    }
}

impl fmt::Display for FingerprintMismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { filter, option, was, now } = self;
        let show = |value: &Option<String>| {
            value.as_ref().map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"))
        };
        write!(
            formatter,
            "the state of filter `{filter}` was stored with `{option}` {}, and it is {} now; give `{option}` its old value, \
             remove the state with `tidegate state reset`, or give the filter another name",
            show(was),
            show(now)
        )
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(mismatch) => mismatch.fmt(formatter),
            Self::Read(error) => error.fmt(formatter),
            Self::Commit(error) => error.fmt(formatter),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(path, error) => write!(formatter, "the state in {}: {error}", path.display()),
            Self::Damaged(damage) => damage.fmt(formatter),
            Self::UnknownFilter => {
                formatter.write_str("the filter has no state, because it was reset or removed")
            }
        }
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(reason) => {
                write!(formatter, "the disk of the state is full: {reason}; free some space")
            }
            Self::Poisoned(reason) => write!(
                formatter,
                "the state could not be made durable: {reason}; nothing more is written until the pipeline starts again"
            ),
            Self::TooLarge(size) => {
                write!(formatter, "a commit of {size} bytes is larger than 256 MiB; commit more often")
            }
            Self::UnknownFilter => {
                formatter.write_str("the filter has no state, because it was reset or removed")
            }
        }
    }
}

impl fmt::Display for OutboxError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trimmed { number, first } => {
                write!(formatter, "event {number} of the outbox is no longer kept; the oldest one is {first}")
            }
            Self::Beyond { number, next } => {
                write!(formatter, "the outbox never had event {number}; the next one is {next}")
            }
            Self::Read(error) => error.fmt(formatter),
        }
    }
}

impl fmt::Display for EntryTooLarge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, size } = self;
        write!(
            formatter,
            "an entry of the state with the key `{key}` has {size} bytes, at most {MAX_ENTRY} are allowed"
        )
    }
}

impl std::error::Error for OpenError {}
impl std::error::Error for FingerprintMismatch {}
impl std::error::Error for FilterError {}
impl std::error::Error for ReadError {}
impl std::error::Error for CommitError {}
impl std::error::Error for OutboxError {}
impl std::error::Error for EntryTooLarge {}
