use std::io::{Seek, Write};

use super::*;

const TEXT: &str = "a line of some length, and then another one\n";

fn gzip(text: &str) -> Vec<u8> {
    let builder = flate2::GzBuilder::new().filename("a name").comment("a comment").extra(vec![1, 2, 3]);
    let mut encoder = builder.write(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn decompressor(format: Format, bytes: &[u8]) -> Decompressor {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Decompressor::new(format, &Arc::new(file)).unwrap()
}

/// Reads all that there is now, with room for `room` bytes at a time.
fn all(decompressor: &mut Decompressor, room: usize) -> io::Result<String> {
    let (mut text, mut into) = (Vec::new(), vec![0; room]);
    loop {
        match decompressor.read(&mut into)? {
            0 => return Ok(String::from_utf8(text).unwrap()),
            read => text.extend_from_slice(&into[..read]),
        }
    }
}

#[test]
fn a_file_that_comes_byte_by_byte_is_read_as_it_comes() {
    type Pack = fn(&str) -> Vec<u8>;
    for (format, pack) in [(Format::Gzip, gzip as Pack), (Format::Zstd, zstd as Pack)] {
        let parts = [TEXT.repeat(50), String::new(), TEXT.repeat(3)];
        let packed: Vec<Vec<u8>> = parts.iter().map(|part| pack(part)).collect();
        let ends: Vec<usize> = (1..=3).map(|count| packed[..count].concat().len()).collect();
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("growing");
        let mut file = File::create(&path).unwrap();
        let mut decompressor = Decompressor::new(format, &Arc::new(File::open(&path).unwrap())).unwrap();
        let mut text = String::new();
        for (index, byte) in packed.concat().iter().enumerate() {
            file.write_all(&[*byte]).unwrap();
            text += &all(&mut decompressor, 1 + index % 50).unwrap();
            assert_eq!(decompressor.is_whole(), ends.contains(&(index + 1)), "{format:?} {index}");
        }
        assert!(text == parts.concat());
    }
}

#[test]
fn small_reads_lose_nothing_of_a_large_member() {
    let text = "x".repeat(1 << 20);
    for (format, bytes) in [(Format::Gzip, gzip(&text)), (Format::Zstd, zstd(&text))] {
        let mut decompressor = decompressor(format, &bytes);
        assert_eq!(all(&mut decompressor, 1000).unwrap().len(), 1 << 20);
        assert!(decompressor.is_whole());
    }
}

#[test]
fn damage_is_reported_and_zeros_at_the_end_are_none() {
    let read = |bytes: &[u8]| all(&mut decompressor(Format::Gzip, bytes), 4096);
    let good = gzip(TEXT);
    assert_eq!(read(&[&good[..], &[0; 700]].concat()).unwrap(), TEXT);
    assert!(read(&[&good[..], b"rubbish"].concat()).unwrap_err().raw_os_error().is_none());
    let mut flipped = good.clone();
    let sum = flipped.len() - 6;
    flipped[sum] ^= 1;
    assert!(read(&flipped).unwrap_err().to_string().contains("checksum"));
}
