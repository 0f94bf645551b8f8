//! Pool of the memory that large files are read into.
//!
//! Fresh memory is expensive: the system clears each page at the first access, which takes about as long as reading the
//! file into it.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Most blocks that are kept for the next use. Others are freed.
const KEPT: usize = 8;

/// Pool of blocks of one size. A block returns when the last batch with its bytes is dropped.
#[derive(Debug)]
pub(crate) struct Blocks {
    size: usize,
    free: Arc<Free>,
}

type Free = Mutex<Vec<Box<[u8]>>>;

/// Block that is in use.
#[derive(Debug)]
pub(crate) struct Block {
    memory: Box<[u8]>,
    filled: usize,
    free: Arc<Free>,
}

impl Blocks {
    /// Creates a pool of blocks of `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self { size, free: Arc::default() }
    }

    /// Takes a block from the pool. Its contents are left from its last use.
    pub(crate) fn take(&self) -> Block {
        let kept = self.free.lock().pop();
        let memory = kept.unwrap_or_else(|| vec![0; self.size].into());
        Block { memory, filled: 0, free: Arc::clone(&self.free) }
    }
}

impl Block {
    /// Returns the whole block, to be read into.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// Returns the first `filled` bytes.
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
        let mut free = self.free.lock();
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_returns_when_its_last_bytes_are_dropped() {
        let blocks = Blocks::new(16);
        let mut block = blocks.take();
        block.space()[..5].copy_from_slice(b"hello");
        let memory = block.space().as_ptr();
        let bytes = block.share(5);
        assert_eq!(bytes, "hello");
        let part = bytes.slice(1..3);
        drop(bytes);
        assert_ne!(blocks.take().space().as_ptr(), memory, "a part of it is in use");
        blocks.free.lock().clear();
        drop(part);
        assert_eq!(blocks.take().space().as_ptr(), memory);
    }

    #[test]
    fn pool_keeps_a_limited_number_of_blocks() {
        let blocks = Blocks::new(1);
        let taken: Vec<_> = (0..KEPT + 3).map(|_| blocks.take()).collect();
        drop(taken);
        assert_eq!(blocks.free.lock().len(), KEPT);
    }
}
