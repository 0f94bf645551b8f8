//! Hash slots of Redis Cluster.

/// The number of slots.
pub(crate) const SLOTS: usize = 16_384;

/// The slot of a key: the checksum of its hash tag, or of the whole key if it has none.
pub(crate) fn slot(key: &[u8]) -> u16 {
    checksum(tag(key).unwrap_or(key)) % SLOTS as u16
}

/// The CRC-16 (XMODEM) of some bytes.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut crc = 0_u16;
    for byte in bytes {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc
}

/// The hash tag of a key: what is between its first `{` and the next `}`, unless that is empty.
pub(crate) fn tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let inner = &key[open + 1..];
    let close = inner.iter().position(|byte| *byte == b'}')?;
    (close > 0).then(|| &inner[..close])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31C3 % SLOTS as u16);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), slot(b"foo{}{bar}"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo"), 12182);
    }
}
