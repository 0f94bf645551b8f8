//! Work A by hand: reads JSON lines in large blocks, keeps those of the United States, writes name and latitude.
//!
//! sonic-rs finds each field, lazily and checked. Values are copied as they are. A line that is not JSON, or lacks a
//! field, ends the program.
//!
//!     lazy INPUT OUTPUT

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};

const BLOCK: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(input), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err("usage: lazy INPUT OUTPUT".into());
    };
    let (mut input, mut output) = (File::open(input)?, File::create(output)?);
    let mut block = vec![0; BLOCK];
    let mut made = Vec::with_capacity(BLOCK);
    let mut held = 0;
    loop {
        let read = input.read(&mut block[held..])?;
        let filled = held + read;
        let whole = memchr::memrchr(b'\n', &block[..filled]).map_or(0, |end| end + 1);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &block[..whole]) {
            project(&block[start..end], &mut made)?;
            start = end + 1;
        }
        output.write_all(&made)?;
        made.clear();
        if read == 0 {
            break;
        }
        block.copy_within(whole..filled, 0);
        held = filled - whole;
    }
    output.sync_data()?;
    Ok(())
}

/// Appends `{name, lat}` of a line whose country is "US".
fn project(line: &[u8], made: &mut Vec<u8>) -> Result<(), sonic_rs::Error> {
    if sonic_rs::get_from_slice(line, &["country"])?.as_raw_str() != "\"US\"" {
        return Ok(());
    }
    made.extend_from_slice(b"{\"name\":");
    made.extend_from_slice(sonic_rs::get_from_slice(line, &["name"])?.as_raw_str().as_bytes());
    made.extend_from_slice(b",\"lat\":");
    made.extend_from_slice(sonic_rs::get_from_slice(line, &["lat"])?.as_raw_str().as_bytes());
    made.extend_from_slice(b"}\n");
    Ok(())
}
