//! The file of a library: checked before it is loaded, and loaded exactly as it was checked.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags};
use sha2::{Digest, Sha256};

mod owner;

/// The limit for the size of a library.
const LIBRARY_SIZE: u64 = 1 << 30;

/// The reason why a library is not loaded: one sentence with its path, the problem, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// A sealed copy of the bytes of a library.
#[derive(Clone)]
pub(crate) struct Library {
    /// The path of the file.
    pub(crate) path: PathBuf,
    /// SHA-256 of the bytes, in hexadecimal digits.
    pub(crate) sha256: String,
    /// A copy in memory that cannot be changed.
    sealed: Arc<File>,
}

impl Library {
    /// Reads and checks the file without running it.
    pub(crate) fn open(path: &Path, wanted: Option<&str>) -> Result<Self, Refusal> {
        let refuse = |why: String| Refusal(format!("`{}` {why}", path.display()));
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => refuse("is not there: build it first, or mend the path".into()),
            _ => refuse(format!("cannot be opened: {error}")),
        })?;
        let metadata = file.metadata().map_err(|error| refuse(format!("cannot be read: {error}")))?;
        if !metadata.is_file() {
            return Err(refuse("is not a file: give the path of a shared library".into()));
        }
        owner::trusted(path, &metadata).map_err(refuse)?;
        let mut bytes = Vec::new();
        let read = file.take(LIBRARY_SIZE + 1).read_to_end(&mut bytes);
        read.map_err(|error| refuse(format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > LIBRARY_SIZE {
            return Err(refuse("is larger than 1GiB, so it is not what was meant".into()));
        }
        let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if let Some(wanted) = wanted.filter(|wanted| !wanted.eq_ignore_ascii_case(&sha256)) {
            return Err(refuse(format!(
                "is not the library that the pipeline file names: its sha256 is {sha256}, and the file says {wanted}"
            )));
        }
        elf(&bytes).map_err(refuse)?;
        let sealed =
            seal(path, &bytes).map_err(|error| refuse(format!("cannot be copied to memory: {error}")))?;
        Ok(Self { path: path.to_owned(), sha256, sealed: Arc::new(sealed) })
    }

    /// A library that the parent process has opened, inherited as `sealed`.
    pub(crate) fn inherited(path: &Path, sha256: &str, sealed: File) -> Self {
        Self { path: path.to_owned(), sha256: sha256.to_owned(), sealed: Arc::new(sealed) }
    }

    /// The copy in memory, for a child process to inherit.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.sealed.as_fd()
    }

    /// The path from which to load it, valid as long as this lives.
    pub(crate) fn loadable(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.sealed.as_raw_fd()).into()
    }
}

/// Machine numbers of ELF headers, with their names.
const MACHINES: [(u16, &str); 6] =
    [(62, "x86_64"), (183, "aarch64"), (3, "x86"), (40, "arm"), (243, "riscv64"), (22, "s390x")];

/// Checks that the bytes are a complete shared library for this machine, by the ELF header.
fn elf(bytes: &[u8]) -> Result<(), String> {
    const HEADER: usize = 64;
    const SHARED: u16 = 3;
    let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    if !bytes.starts_with(b"\x7fELF") {
        return Err("is not a shared library".into());
    }
    if bytes.len() < HEADER {
        return Err("is cut off: it ends within its header".into());
    }
    let name = |machine: u16| match MACHINES.iter().find(|(number, _)| *number == machine) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("machine number {machine}"),
    };
    let ours = MACHINES.iter().find(|(_, name)| *name == std::env::consts::ARCH);
    let (machine, wide) = (half(18), bytes[4] == 2);
    if ours.is_some_and(|(number, _)| *number != machine) || !wide {
        return Err(format!("is for {}, and this is {}", name(machine), std::env::consts::ARCH));
    }
    if half(16) != SHARED {
        return Err(
            "is not a shared library, but another kind of ELF file (a program, an object file)".into()
        );
    }
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes are 8 bytes"));
    let end = |start: u64, size: u16, count: u16| start.saturating_add(u64::from(size) * u64::from(count));
    let (programs, sections) = (end(long(32), half(54), half(56)), end(long(40), half(58), half(60)));
    if programs.max(sections) > bytes.len() as u64 {
        return Err("is cut off: build or copy it again".into());
    }
    Ok(())
}

/// Copies the bytes to a sealed file in memory.
fn seal(path: &Path, bytes: &[u8]) -> std::io::Result<File> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create(name, flags)?);
    file.write_all(bytes)?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file)
}
