//! Text and bytes that belong to the other side.

/// Text in UTF-8, not ended by NUL.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Str {
    /// The first byte; may be null if `n` is 0.
    pub p: *const u8,
    /// The number of bytes.
    pub n: u64,
}

/// Bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Buf {
    /// The first byte; may be null if `n` is 0.
    pub p: *const u8,
    /// The number of bytes.
    pub n: u64,
}

impl Str {
    /// No text.
    pub const EMPTY: Self = Self { p: std::ptr::null(), n: 0 };

    /// This text, for as long as it lives.
    pub const fn new(text: &str) -> Self {
        Self { p: text.as_ptr(), n: text.len() as u64 }
    }

    /// The bytes, which need not be UTF-8 before somebody has looked.
    ///
    /// # Safety
    /// `p` points to `n` bytes that stay as they are for `'a`, or `n` is 0.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: as the caller promises.
        unsafe { Buf { p: self.p, n: self.n }.bytes() }
    }

    /// The text, with bytes that are not UTF-8 replaced.
    ///
    /// # Safety
    /// As [`bytes`](Self::bytes).
    pub unsafe fn text<'a>(self) -> std::borrow::Cow<'a, str> {
        // SAFETY: as the caller promises.
        String::from_utf8_lossy(unsafe { self.bytes() })
    }
}

impl Buf {
    /// There is none.
    pub const NONE: Self = Self { p: std::ptr::null(), n: 0 };

    /// These bytes, for as long as they live.
    pub const fn new(bytes: &[u8]) -> Self {
        Self { p: bytes.as_ptr(), n: bytes.len() as u64 }
    }

    /// The bytes.
    ///
    /// # Safety
    /// `p` points to `n` bytes that stay as they are for `'a`, or `n` is 0.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        match self.n {
            0 => &[],
            // SAFETY: as the caller promises; `n` bytes that exist fit the address space.
            n => unsafe { std::slice::from_raw_parts(self.p, n as usize) },
        }
    }
}
