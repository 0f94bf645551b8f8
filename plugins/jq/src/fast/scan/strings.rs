//! Strings: where they end, and whether they are what JSON allows.

use super::{End, Scanner};
use crate::fast::found::{Beyond, ESCAPED, UNUSUAL};
use crate::fast::wanted::Place;
use tidegate_query::{BLOCK, Marks};

impl Scanner<'_> {
    /// The string whose quote is at `at`.
    #[inline(always)]
    pub(super) fn string(&mut self, at: usize) -> End {
        let end = self.special_from(at + 1);
        match self.byte(end) {
            b'"' => Ok(end + 1),
            _ => self.awkward_string(end),
        }
    }

    /// The string whose quote is at `at`, and whose place is to be noted.
    #[inline(always)]
    pub(super) fn wanted_string(&mut self, at: usize, place: Place) -> End {
        let end = self.special_from(at + 1);
        if self.byte(end) != b'"' {
            return self.awkward_wanted_string(at, end, place);
        }
        self.note(place, at, end + 1, 0);
        Ok(end + 1)
    }

    #[cold]
    fn awkward_wanted_string(&mut self, at: usize, special: usize, place: Place) -> End {
        let outer = std::mem::take(&mut self.flags);
        let end = self.awkward_string(special)?;
        self.note(place, at, end, self.flags);
        self.flags |= outer;
        Ok(end)
    }

    /// The first byte that means something in a string, from `at` on. It may be after the event.
    #[inline(always)]
    fn special_from(&mut self, at: usize) -> usize {
        match self.marks.special_from(at) {
            Some(special) => special,
            None => self.special_after(at),
        }
    }

    /// The rest of a string that has more than plain characters, the first of which is at `at`.
    #[cold]
    fn awkward_string(&mut self, mut at: usize) -> End {
        loop {
            match self.text.get(at) {
                Some(b'"') => return Ok(at + 1),
                Some(b'\\') => at = self.escape(at)?,
                Some(0x7F) => {
                    self.flags |= UNUSUAL;
                    at += 1;
                }
                _ => return Err(Beyond),
            }
            at = self.special_from(at);
        }
    }

    /// The same where the marks do not tell.
    #[inline(never)]
    fn special_after(&mut self, mut at: usize) -> usize {
        loop {
            self.note_high();
            let Some(marks) = Marks::within(self.buffer, at) else { return self.special_at_end(at) };
            self.marks = marks;
            if marks.special != 0 {
                return at + marks.special.trailing_zeros() as usize;
            }
            at += BLOCK;
        }
    }

    /// The same where the buffer ends, and with it everything.
    #[cold]
    #[inline(never)]
    fn special_at_end(&mut self, at: usize) -> usize {
        self.marks = Marks::at_end(self.buffer, at);
        at + self.marks.special.trailing_zeros() as usize
    }

    /// Takes down which bytes of the event that the marks cover are not ASCII.
    #[inline(always)]
    fn note_high(&mut self) {
        if self.marks.high != 0 {
            self.note_high_bytes();
        }
    }

    #[inline(never)]
    fn note_high_bytes(&mut self) {
        let start = self.marks.start;
        let high = match self.text.len().saturating_sub(start) {
            within @ 0..BLOCK => self.marks.high & ((1 << within) - 1),
            _ => self.marks.high,
        };
        if high != 0 {
            self.first_high = self.first_high.min(start + high.trailing_zeros() as usize);
            self.high_end = start + BLOCK - high.leading_zeros() as usize;
        }
    }

    /// True if the event is UTF-8: it is if it is from its first to its last byte that is not ASCII.
    #[inline]
    pub(super) fn check_encoding(&mut self) -> Result<(), Beyond> {
        self.note_high();
        if self.high_end == 0 {
            return Ok(());
        }
        std::str::from_utf8(&self.text[self.first_high..self.high_end]).map(drop).map_err(|_| Beyond)
    }

    /// The escape at `at`; where it ends.
    #[cold]
    fn escape(&mut self, at: usize) -> End {
        match self.text.get(at + 1) {
            Some(b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.flags |= ESCAPED;
                Ok(at + 2)
            }
            Some(b'/') => {
                self.flags |= ESCAPED | UNUSUAL;
                Ok(at + 2)
            }
            Some(b'u') => {
                self.flags |= ESCAPED | UNUSUAL;
                match self.code_unit(at)? {
                    0xD800..0xDC00 => match self.code_unit(at + 6)? {
                        0xDC00..0xE000 => Ok(at + 12),
                        _ => Err(Beyond),
                    },
                    0xDC00..0xE000 => Err(Beyond),
                    _ => Ok(at + 6),
                }
            }
            _ => Err(Beyond),
        }
    }

    /// The code unit that the escape `\uXXXX` at `at` stands for. A surrogate without its other half is malformed,
    /// which is for the reader to report.
    fn code_unit(&self, at: usize) -> Result<u32, Beyond> {
        let escape =
            self.text.get(at..at + 6).and_then(|escape| escape.strip_prefix(b"\\u")).ok_or(Beyond)?;
        escape.iter().try_fold(0, |unit, byte| {
            char::from(*byte).to_digit(16).map(|digit| unit * 16 + digit).ok_or(Beyond)
        })
    }
}
