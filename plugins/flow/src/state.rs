//! The encoding of a filter's state for the filter that replaces it at a reload.
//!
//! A state begins with the name of the plugin and a version. Numbers are little-endian. Small numbers take seven bits a
//! byte. The bytes are not trusted: every read may find that there is no more.

#[cfg(test)]
mod tests;

use tidegate_sdk::Error;

use crate::key::Key;

/// The version that is written and read.
const VERSION: u8 = 1;

/// The most bytes that [`Writer::small`] takes.
pub(crate) const SMALL: usize = 10;

/// Writes a state.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(plugin: &str) -> Self {
        Self([plugin.as_bytes(), &[0, VERSION]].concat())
    }

    pub(crate) fn long(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn hash(&mut self, hash: u128) {
        self.0.extend_from_slice(&hash.to_le_bytes());
    }

    /// A number that is usually small.
    pub(crate) fn small(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// The key of the filter.
    pub(crate) fn key(&mut self, key: Option<&Key>) {
        let text = described(key);
        self.small(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// True if a state has room for a hash and a small number more.
    pub(crate) fn has_room(&self) -> bool {
        self.0.len() + size_of::<u128>() + SMALL <= tidegate_sdk::STATE_BYTES
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a state.
pub(crate) struct Reader<'a>(&'a [u8]);

const CUT: &str = "it is cut off";

impl<'a> Reader<'a> {
    /// A reader of a state of this plugin.
    pub(crate) fn new(plugin: &str, state: &'a [u8]) -> Result<Self, Error> {
        let rest = state.strip_prefix(plugin.as_bytes()).and_then(|rest| rest.strip_prefix(&[0]));
        let Some((version, rest)) = rest.and_then(<[u8]>::split_first) else {
            return Err(Error::fatal(format!("it is no state of a `{plugin}`")));
        };
        match *version {
            VERSION => Ok(Self(rest)),
            other => Err(Error::fatal(format!(
                "it has version {other}, and this `{plugin}` knows version {VERSION}"
            ))),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(|| Error::fatal(CUT))?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(crate) fn long(&mut self) -> Result<u64, Error> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn hash(&mut self) -> Result<u128, Error> {
        self.take().map(u128::from_le_bytes)
    }

    pub(crate) fn small(&mut self) -> Result<u64, Error> {
        let mut number = 0_u64;
        for place in 0..SMALL as u32 {
            let [byte] = self.take()?;
            let bits = u64::from(byte & 0x7f);
            if bits << (7 * place) >> (7 * place) != bits {
                break;
            }
            number |= bits << (7 * place);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Error::fatal("a number in it is too large"))
    }

    /// Checks that the key is still the same.
    pub(crate) fn same_key(&mut self, key: Option<&Key>) -> Result<(), Error> {
        let length = usize::try_from(self.small()?).ok();
        let (text, rest) =
            length.and_then(|length| self.0.split_at_checked(length)).ok_or_else(|| Error::fatal(CUT))?;
        self.0 = rest;
        let now = described(key);
        match text == now.as_bytes() {
            true => Ok(()),
            false => Err(Error::fatal(format!(
                "its key is {}, and now it is {now}",
                String::from_utf8_lossy(text)
            ))),
        }
    }
}

/// A key in words.
fn described(key: Option<&Key>) -> String {
    key.map_or_else(|| "the whole event".into(), |key| format!("the value at {key}"))
}
