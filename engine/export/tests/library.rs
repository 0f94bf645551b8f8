//! A library as `export_plugin!` makes it, with the process-wide parts that a test beside others cannot have: the
//! panic hook and the log.

#![allow(unsafe_code, clippy::unwrap_used, reason = "the test is the engine's side of the border")]

use std::ffi::c_void;
use std::sync::Mutex;

use tidegate_abi::{self as abi, Component, Create, Host, Status, Str, level};
use tidegate_sdk::{Batch, Error, Filter, Output, Plugin};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Panics {}

impl Filter for Panics {
    fn process(&mut self, _: &Batch, _: &mut Output) -> Result<(), Error> {
        tracing::warn!(place = 7, "about to panic");
        let thread = std::thread::spawn(|| panic!("on its own"));
        assert!(thread.join().is_err());
        panic!("in a call")
    }
}

fn plugins() -> Vec<Plugin> {
    vec![Plugin::filter("panics", "panics", "", |options: Panics| Ok(options))]
}

tidegate_export::export_plugin!(plugins);

static LOG: Mutex<Vec<(u64, u32, String)>> = Mutex::new(Vec::new());

unsafe extern "C" fn log(_: *const Host, inst: u64, level: u32, message: Str) {
    LOG.lock().unwrap().push((inst, level, unsafe { message.text() }.into_owned()));
}

fn create(component: *const Component, host: &'static Host) -> *mut c_void {
    let create = Create {
        struct_size: size_of::<Create>() as u32,
        reserved: 0,
        host,
        inst: 5,
        event_size: 1,
        name: Str::new("panics"),
        options: Str::new("{}"),
    };
    let (mut this, mut error) = (std::ptr::null_mut(), abi::Error::empty());
    let status =
        unsafe { (*component).create.unwrap()(component, &raw const create, &raw mut this, &raw mut error) };
    assert_eq!((status, error.message().as_str()), (Status::OK, ""));
    this
}

#[test]
fn panics_and_events_of_the_library_are_reported_to_the_engine() {
    let mut host: Host = unsafe { abi::sized() };
    host.log = Some(log);
    let host: &'static Host = Box::leak(Box::new(host));
    let module = unsafe { &*tidegate_plugin_v1(abi::MINOR, 0) };
    assert_eq!(unsafe { module.id.text() }, "tidegate-export");
    assert_eq!(unsafe { module.init.unwrap()(host, std::ptr::null_mut()) }, Status::OK);

    let component = unsafe { &**module.components };
    let this = create(component, host);
    let filter = unsafe { &*component.ops.cast::<abi::Filter>() };
    let (batch, out, mut error) = unsafe { (abi::sized::<abi::Batch>(), abi::sized(), abi::Error::empty()) };
    let process = filter.process.unwrap();
    let status = unsafe { process(this, &raw const batch, &raw const out, &raw mut error) };
    assert_eq!(status, Status::PANIC);
    let message = error.message();
    assert!(
        message.starts_with("the plugin panicked: in a call (") && message.contains("library.rs:"),
        "{message}"
    );
    unsafe { (*component.base).destroy.unwrap()(this) }

    let log = LOG.lock().unwrap();
    assert_eq!(log[0], (5, level::WARN, "about to panic place=7".to_owned()));
    assert_eq!((log[1].0, log[1].1, log.len()), (0, level::ERROR, 2), "{log:?}");
    assert!(log[1].2.starts_with("a thread panicked: on its own ("), "{}", log[1].2);
}
