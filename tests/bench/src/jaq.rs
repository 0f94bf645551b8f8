//! Work A by jaq alone: reads, evaluates and prints each line of a file with jaq, without limits and acknowledgements.
//!
//!     jaq QUERY INPUT OUTPUT

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};

use jaq_core::data::JustLut;
use jaq_core::load::{self, Arena, Loader};
use jaq_core::{Compiler, Ctx, Vars};
use jaq_json::{Val, read};

const BLOCK: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [query, input, output] = &arguments[..] else {
        return Err("usage: jaq QUERY INPUT OUTPUT".into());
    };
    let arena = Arena::default();
    let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let modules = Loader::new(definitions).load(&arena, load::File { code: query.as_str(), path: () });
    let natives = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let compiler = Compiler::<_, JustLut<Val>>::default().with_funs(natives);
    let filter = compiler.compile(modules.map_err(|_| "the query cannot be read")?);
    let filter = filter.map_err(|_| "the query cannot be compiled")?;
    let (mut input, mut output) = (File::open(input)?, File::create(output)?);
    let (mut block, mut made, mut held) = (vec![0; BLOCK], Vec::with_capacity(BLOCK), 0);
    loop {
        let read = input.read(&mut block[held..])?;
        let filled = held + read;
        let whole = memchr::memrchr(b'\n', &block[..filled]).map_or(0, |end| end + 1);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &block[..whole]) {
            let value = read::parse_single(&block[start..end]).map_err(|error| error.to_string())?;
            let context = Ctx::<JustLut<Val>>::new(&filter.lut, Vars::new([]));
            for result in filter.id.run((context, value)) {
                let result = result.map_err(|_| "the query failed")?;
                writeln!(made, "{result}")?;
            }
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
