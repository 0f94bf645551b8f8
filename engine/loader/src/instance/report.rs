//! Reports of an instance that have several parts: the resources that it claims, and its warnings.

use tidegate_abi::{self as abi, Str};
use tidegate_codec::text;
use tidegate_sdk::{ConfigError, Exclusive};

use super::collected;

/// The largest number of claims, and of warnings, that are kept.
const MOST: usize = 1024;

pub(super) unsafe extern "C" fn add_exclusive(
    to: *const abi::Capabilities,
    pointer: Str,
    resource: Str,
    of_same_name: u32,
    help: Str,
) {
    // SAFETY: the plugin passes the struct that it received, and texts that are valid for the call.
    let (report, texts) = unsafe {
        (collected(to), (text(pointer, "a pointer"), text(resource, "a resource"), text(help, "a help")))
    };
    if let (Some(report), (Ok(pointer), Ok(resource), Ok(help))) = (report, texts)
        && report.exclusive.len() < MOST
    {
        let claim = Exclusive::decode(pointer, &resource);
        let help = (!help.is_empty()).then_some(help);
        report.exclusive.push(Exclusive { of_same_name: of_same_name != 0, help, ..claim });
    }
}

pub(super) unsafe extern "C" fn add_warning(
    to: *const abi::Capabilities,
    pointer: Str,
    message: Str,
    help: Str,
    from: u32,
    end: u32,
) {
    // SAFETY: as above.
    let (report, texts) = unsafe {
        (collected(to), (text(pointer, "a pointer"), text(message, "a warning"), text(help, "a help")))
    };
    if let (Some(report), (Ok(pointer), Ok(message), Ok(help))) = (report, texts)
        && report.warnings.len() < MOST
    {
        let range = (from < end).then_some(from as usize..end as usize);
        let help = (!help.is_empty()).then_some(help);
        report.warnings.push(ConfigError { pointer, range, message, help, more: Vec::new() });
    }
}
