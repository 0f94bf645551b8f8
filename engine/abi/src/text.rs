//! Text and bytes that the other side owns.

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
    /// The empty text.
    pub const EMPTY: Self = Self { p: std::ptr::null(), n: 0 };

    /// Points to this text. The caller keeps it alive.
    pub const fn new(text: &str) -> Self {
        Self { p: text.as_ptr(), n: text.len() as u64 }
    }

    /// The bytes, which are not checked to be UTF-8.
    ///
    /// # Safety
    /// `p` points to `n` bytes that do not change for `'a`, or `n` is 0.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: the caller guarantees it.
        unsafe { Buf { p: self.p, n: self.n }.bytes() }
    }

    /// The text, with bytes that are not UTF-8 replaced.
    ///
    /// # Safety
    /// As [`bytes`](Self::bytes).
    pub unsafe fn text<'a>(self) -> std::borrow::Cow<'a, str> {
        // SAFETY: the caller guarantees it.
        String::from_utf8_lossy(unsafe { self.bytes() })
    }
}

impl Buf {
    /// The null buffer: no value.
    pub const NONE: Self = Self { p: std::ptr::null(), n: 0 };

    /// Points to these bytes. The caller keeps them alive.
    pub const fn new(bytes: &[u8]) -> Self {
        Self { p: bytes.as_ptr(), n: bytes.len() as u64 }
    }

    /// The bytes.
    ///
    /// # Safety
    /// `p` points to `n` bytes that do not change for `'a`, or `n` is 0.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        match self.n {
            0 => &[],
            // SAFETY: the caller guarantees it; `n` existing bytes fit the address space.
            n => unsafe { std::slice::from_raw_parts(self.p, n as usize) },
        }
    }
}
