//! The memory that large files are read into, which is used again.
//!
//! A block of fresh memory costs more than it looks: the system clears each page of it when it is touched first,
//! which takes about as long as reading the file into it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// How many blocks that come back are kept. Others are freed.
const KEPT: usize = 8;

/// Lends blocks of one size, and takes them back when the last batch over their bytes is gone.
#[derive(Debug)]
pub(crate) struct Blocks {
    size: usize,
    free: Arc<Free>,
}

type Free = Mutex<Vec<Box<[u8]>>>;

/// A block that is lent.
#[derive(Debug)]
pub(crate) struct Block {
    memory: Box<[u8]>,
    filled: usize,
    free: Arc<Free>,
}

impl Blocks {
    /// Blocks of `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self { size, free: Arc::default() }
    }

    /// A block whose contents are left from before.
    pub(crate) fn lend(&self) -> Block {
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = kept.unwrap_or_else(|| vec![0; self.size].into());
        Block { memory, filled: 0, free: Arc::clone(&self.free) }
    }
}

impl Block {
    /// All of it, to be read into.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// Its first `filled` bytes, to be shared.
    pub(crate) fn share(mut self, filled: usize) -> Bytes {
        self.filled = filled;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.filled]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_when_nobody_has_its_bytes() {
        let blocks = Blocks::new(16);
        let mut block = blocks.lend();
        block.space()[..5].copy_from_slice(b"hello");
        let memory = block.space().as_ptr();
        let bytes = block.share(5);
        assert_eq!(bytes, "hello");
        let part = bytes.slice(1..3);
        drop(bytes);
        assert_ne!(blocks.lend().space().as_ptr(), memory, "somebody has a part of it");
        blocks.free.lock().unwrap().clear();
        drop(part);
        assert_eq!(blocks.lend().space().as_ptr(), memory);
    }

    #[test]
    fn only_so_many_blocks_are_kept() {
        let blocks = Blocks::new(1);
        let lent: Vec<_> = (0..KEPT + 3).map(|_| blocks.lend()).collect();
        drop(lent);
        assert_eq!(blocks.free.lock().unwrap().len(), KEPT);
    }
}
