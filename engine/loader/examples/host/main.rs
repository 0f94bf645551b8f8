//! A program around the loader, for its tests: what has to happen in a process of its own.
//!
//! `plugin-host ...` is what the loader asks of the engine's program. `cycles FILE PLUGIN OPTIONS COUNT` makes and ends
//! instances and prints by how many bytes the process has grown. `work FILE PLUGIN OPTIONS ISOLATION COUNT` has some of them
//! process this many batches each, and prints the number of emitted events. `keep FILE` uses a library on a thread that outlives its
//! use; `unload FILE` does the same and takes the library out of the process, which the loader never does.

#![allow(
    unsafe_code,
    reason = "a library is opened past the loader here, to show why the loader does not unload"
)]

mod work;

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;

use libloading::os::unix;
use serde_json::Value;
use tidegate_loader::{Loader, Wanted, describe, serve};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match answer(&arguments) {
        Ok(text) if writeln!(std::io::stdout(), "{text}").is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            // Standard error may be closed.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::from(2)
        }
    }
}

fn answer(arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    match arguments {
        ["plugin-host", "--describe", path, "--sha256", sha256] => {
            let description = describe(Path::new(path), Some(sha256))?;
            Ok(serde_json::to_string(&description)?)
        }
        ["plugin-host", "--serve", path, "--sha256", sha256, "--descriptors", descriptors] => {
            serve(Path::new(path), sha256, descriptors)?;
            Ok(String::new())
        }
        ["cycles", path, plugin, options, count] => {
            Ok(cycles(Path::new(path), plugin, &serde_json::from_str(options)?, count.parse()?)?.to_string())
        }
        ["work", path, plugin, options, isolation, count] => {
            let options = serde_json::from_str(options)?;
            Ok(work::work(Path::new(path), plugin, &options, isolation, count.parse()?)?.to_string())
        }
        ["keep", path] => touched(path, unix::RTLD_NOW | NODELETE),
        ["unload", path] => touched(path, unix::RTLD_NOW),
        _ => Err("this program is for the tests of the loader".into()),
    }
}

/// The growth of the process in bytes over this many instances, after some that warm it up.
fn cycles(path: &Path, plugin: &str, options: &Value, count: usize) -> Result<usize, Box<dyn Error>> {
    let loader = Loader::strict(std::env::current_exe()?);
    let plugins = loader.open(Wanted { path, sha256: None })?;
    let plugin = plugins.iter().find(|one| one.name() == plugin).ok_or("there is no such plugin")?;
    let cycle = |count| (0..count).try_for_each(|_| plugin.build(options).map(drop));
    cycle(count / 10)?;
    let before = resident()?;
    cycle(count)?;
    Ok(resident()?.saturating_sub(before))
}

/// The memory of this process that is there, in bytes.
fn resident() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()).ok_or("there is no such line")?;
    Ok(kibibytes.parse::<usize>()? << 10)
}

/// Not taken out of the process when it is closed: what the loader asks for.
const NODELETE: i32 = 0x1000;

/// Opens a library, has a thread use it, closes it, and only then lets the thread end.
fn touched(path: &str, flags: i32) -> Result<String, Box<dyn Error>> {
    // SAFETY: it is a library of the tests, whose initialisers do no harm.
    let library = unsafe { unix::Library::open(Some(path), flags)? };
    // SAFETY: that is what the library exports under this name.
    let touch = unsafe { *library.get::<extern "C" fn() -> u32>(b"tidegate_evil_touch")? };
    let ((used, wait), (end, may_end)) = (sync_channel(1), sync_channel::<()>(1));
    let thread = std::thread::spawn(move || {
        let touched = touch();
        used.send(touched).is_ok() && may_end.recv().is_ok()
    });
    let touched = wait.recv()?;
    library.close()?;
    end.send(())?;
    thread.join().map_err(|_| "the thread panicked")?;
    Ok(touched.to_string())
}
