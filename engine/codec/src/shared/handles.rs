//! Acknowledgement handles in shared memory.

use std::sync::Arc;

use tidegate_sdk::AckHandles;

use super::pack::Packer;
use super::unpack::Unpacker;
use crate::limits::{EVENTS, HANDLE, HANDLES_BYTES, SCOPE};

impl Packer<'_> {
    /// Writes acknowledgement handles.
    pub fn handles(&mut self, handles: &AckHandles) {
        self.number(handles.scope().len() as u32);
        handles.scope().iter().for_each(|text| self.bytes(text.as_bytes()));
        let range = handles.range();
        self.number(range.start as u32);
        self.number(range.len() as u32);
        range.for_each(|index| self.bytes(handles.get(index)));
    }
}

impl Unpacker {
    /// Reads acknowledgement handles.
    ///
    /// # Errors
    /// The bytes are not handles.
    pub fn handles(&mut self) -> Result<AckHandles, String> {
        let texts = self.number()?;
        if texts > SCOPE {
            return Err(format!(
                "the acknowledgement handles have {texts} texts in their scope, and may have {SCOPE}"
            ));
        }
        let scope: Result<Vec<String>, String> =
            (0..texts).map(|_| self.text("the scope of the acknowledgement handles")).collect();
        let scope: Arc<[String]> = scope?.into();
        let (first, count) = (self.number()? as usize, self.number()? as usize);
        if first.saturating_add(count) > EVENTS as usize {
            return Err(format!(
                "{count} acknowledgement handles from {first} on are more than a batch may have ({EVENTS})"
            ));
        }
        let (mut handles, mut bytes) = (AckHandles::of_part(&scope, first), 0);
        for _ in 0..count {
            let handle = self.blob(HANDLE, "an acknowledgement handle")?;
            bytes += handle.len();
            if bytes > HANDLES_BYTES as usize {
                return Err(format!(
                    "the acknowledgement handles of a batch have more than {HANDLES_BYTES} bytes"
                ));
            }
            handles.push(handle);
        }
        Ok(handles)
    }
}
