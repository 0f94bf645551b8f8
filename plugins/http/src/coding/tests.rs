//! Tests of the header's grammar, and of each coding in both directions.

use super::*;

fn headers(values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (CONTENT_ENCODING, value.parse().unwrap())).collect()
}

/// A buffer with a limit.
struct Capped(Vec<u8>, usize);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > self.1 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn decode(codings: &[Coding], body: &[u8], piece: usize, limit: usize) -> io::Result<Vec<u8>> {
    let mut decoder = Decoder::new(codings, Capped(Vec::new(), limit))?;
    for piece in body.chunks(piece) {
        decoder.write_all(piece)?;
    }
    decoder.finish()?;
    Ok(std::mem::take(&mut decoder.target().0))
}

/// Encodes `body`.
fn encode(coding: Coding, body: &[u8]) -> Vec<u8> {
    if coding != Coding::Brotli {
        return coding.encode(body).unwrap();
    }
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
    encoder.write_all(body).unwrap();
    encoder.into_inner()
}

const ALL: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

#[test]
fn the_grammar_of_the_header_is_understood() {
    use Coding::{Brotli, Deflate, Gzip, Zstd};
    let unknown = |name: &str| Err(Refused::Unknown(name.into()));
    type Case = (&'static [&'static str], Result<Vec<Coding>, Refused>);
    let cases: [Case; 16] = [
        (&[], Ok(vec![])),
        (&[""], Ok(vec![])),
        (&["identity"], Ok(vec![])),
        (&["gzip"], Ok(vec![Gzip])),
        (&["x-gzip"], Ok(vec![Gzip])),
        (&["GZip"], Ok(vec![Gzip])),
        (&["deflate"], Ok(vec![Deflate])),
        (&["br"], Ok(vec![Brotli])),
        (&["zstd"], Ok(vec![Zstd])),
        (&["deflate, gzip"], Ok(vec![Deflate, Gzip])),
        (&["deflate", "gzip"], Ok(vec![Deflate, Gzip])),
        (&[" , identity ,\tgzip,,IDENTITY"], Ok(vec![Gzip])),
        (&["compress"], unknown("compress")),
        (&["gzip, x-unknown"], unknown("x-unknown")),
        (&["gzip;q=1"], unknown("gzip;q=1")),
        (&["gzip,gzip,gzip,gzip,gzip"], Err(Refused::TooMany)),
    ];
    for (values, expected) in cases {
        assert_eq!(codings(&headers(values)), expected, "{values:?}");
    }
}

#[test]
fn every_coding_is_decoded_in_pieces_of_any_size() {
    let body: Vec<u8> = (0..100_000_u32).flat_map(|number| number.to_string().into_bytes()).collect();
    for coding in ALL {
        let encoded = encode(coding, &body);
        for piece in [1, 2, 7, 4096, usize::MAX >> 1] {
            assert!(decode(&[coding], &encoded, piece, usize::MAX).unwrap() == body, "{coding:?} {piece}");
        }
    }
    let raw = {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&body).unwrap();
        encoder.finish().unwrap()
    };
    assert!(
        decode(&[Coding::Deflate], &raw, 1, usize::MAX).unwrap() == body,
        "deflate without a zlib header"
    );
    let frames = [encode(Coding::Zstd, b"a"), encode(Coding::Zstd, b"b")].concat();
    assert_eq!(decode(&[Coding::Zstd], &frames, 1, 9).unwrap(), b"ab", "frames follow one another");
    let members = [encode(Coding::Gzip, b"a"), encode(Coding::Gzip, b"b")].concat();
    assert_eq!(decode(&[Coding::Gzip], &members, 1, 9).unwrap(), b"ab", "members follow one another");
}

#[test]
fn codings_are_undone_in_the_opposite_order() {
    for first in ALL {
        for second in ALL {
            let encoded = encode(second, &encode(first, b"some text"));
            assert_eq!(
                decode(&[first, second], &encoded, 3, 100).unwrap(),
                b"some text",
                "{first:?} {second:?}"
            );
        }
    }
}

#[test]
fn an_end_that_is_missing_is_noticed() {
    let body: Vec<u8> = (0..20_000_u32).flat_map(|number| (number * 7919).to_le_bytes()).collect();
    for coding in ALL {
        let encoded = encode(coding, &body);
        for length in [1, 3, encoded.len() / 2, encoded.len() - 1] {
            assert!(decode(&[coding], &encoded[..length], 64, usize::MAX).is_err(), "{coding:?} {length}");
        }
        assert!(decode(&[coding], b"plain text, not encoded", 64, usize::MAX).is_err(), "{coding:?}");
    }
}

#[test]
fn a_bomb_is_left_at_the_limit_of_its_target() {
    let body = vec![0; 64 << 20];
    for coding in ALL {
        let encoded = encode(coding, &body);
        let error = decode(&[coding], &encoded, encoded.len(), 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{coding:?}");
    }
    let twice = encode(Coding::Gzip, &encode(Coding::Zstd, &body));
    let error = decode(&[Coding::Zstd, Coding::Gzip], &twice, twice.len(), 1 << 20).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
}
