//! Log lines on standard error, as text or JSON, above the live display.

use std::fmt;
use std::io::{self, Write};
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use super::Paint;
use super::console;
use crate::exit::Failure;
use crate::options::{LogFormat, Verbosity};

const VARIABLE: &str = "TIDEGATE_LOG";

/// Starts the console and logging to it.
pub(crate) fn start(format: LogFormat, verbosity: Verbosity) -> Result<(), Failure> {
    console::start().map_err(|error| Failure::failed(format!("a thread cannot be started: {error}")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(verbosity, std::env::var(VARIABLE).ok())?)
        .with_target(verbosity.verbose > 0)
        .with_ansi(Paint::for_stderr().is_on())
        .with_writer(|| ToConsole);
    let started = match format {
        LogFormat::Json => {
            let builder = builder.with_timer(Clock("%Y-%m-%dT%H:%M:%S%.3f%:z")).with_ansi(false);
            builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
        }
        // A terminal does not need the date.
        LogFormat::Text if super::stderr_is_terminal() => {
            builder.with_timer(Clock("%H:%M:%S")).compact().try_init()
        }
        LogFormat::Text => builder.with_timer(Clock("%Y-%m-%dT%H:%M:%S%.3f%:z")).compact().try_init(),
    };
    started.map_err(|error| Failure::failed(format!("logging cannot start: {error}")))?;
    log_panics();
    Ok(())
}

/// Logs a panic as a line, so that it neither tears the live display nor breaks a log of JSON lines. The supervisor of the
/// task handles the failure.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panicked: {}", message.unwrap_or("without a message"));
    }));
}

/// Builds the filter from the variable, or else from the flags. Flags set the level of the engine's crates; of others,
/// only warnings are logged.
fn filter(verbosity: Verbosity, variable: Option<String>) -> Result<EnvFilter, Failure> {
    if let Some(directives) = variable.filter(|text| !text.trim().is_empty()) {
        return EnvFilter::builder().parse(&directives).map_err(|error| {
            Failure::wrong(format!(
                "{VARIABLE}=`{directives}` is invalid ({error}); write it like `debug` or `warn,tidegate_http=trace`"
            ))
        });
    }
    let directives = match (verbosity.quiet, verbosity.verbose) {
        (true, _) => "warn",
        (_, 0) => "warn,tidegate=info",
        (_, 1) => "warn,tidegate=debug",
        (_, 2) => "info,tidegate=trace",
        _ => "trace",
    };
    Ok(EnvFilter::new(directives))
}

/// The local time, in this format.
struct Clock(&'static str);

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        static HERE: LazyLock<TimeZone> = LazyLock::new(zone);
        write!(writer, "{}", Timestamp::now().to_zoned(HERE.clone()).strftime(self.0))
    }
}

/// Returns the time zone of this machine. [`TimeZone::system`] lists every zone to find the name of this one, which takes
/// as long as the rest of a start. No log line shows the name.
fn zone() -> TimeZone {
    let chosen = std::env::var_os("TZ").is_some();
    let here = (!chosen).then(|| std::fs::read("/etc/localtime").ok()).flatten();
    here.and_then(|bytes| TimeZone::tzif("local", &bytes).ok()).unwrap_or_else(TimeZone::system)
}

/// Passes each line to the console. It never fails, so the subscriber never reports an error of its own.
struct ToConsole;

impl Write for ToConsole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        console::print(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_has_priority_over_the_flags() {
        let quiet = Verbosity { quiet: true, verbose: 0 };
        let text = |variable: Option<&str>| filter(quiet, variable.map(str::to_owned)).unwrap().to_string();
        assert_eq!(text(None), "warn");
        assert_eq!(text(Some(" ")), "warn");
        assert_eq!(text(Some("debug")), "debug");
        let problem = filter(quiet, Some("tidegate=loud".into())).unwrap_err();
        assert!(problem.message.contains("`tidegate=loud` is invalid"), "{}", problem.message);
    }
}
