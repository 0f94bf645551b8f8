//! Arguments of `tidegate run`.

use std::net::SocketAddr;

use clap::Args;
use tidegate_sdk::Size;

use crate::options::{DataDir, LogFormat, Sources, Verbosity, memory};

pub(crate) const AFTER_HELP: &str = "\
Examples:
  tidegate run active-users.toml
  tidegate run pipelines/ --admin 127.0.0.1:9090
  tidegate run import.toml --set file.path=/data/today.jsonl
  tidegate run draft.toml --watch

The first Ctrl-C (or SIGTERM) drains: sources stop reading, and events in flight
are delivered. A second one stops at once. SIGHUP reads the pipeline files again:
changed graphs are replaced, the others run on untouched. If a file has an error,
nothing changes. Only the `stdout` sink writes to standard output; everything
else goes to standard error.

Exit codes:
  0    every pipeline ended or drained without a loss
  1    a pipeline failed
  2    a pipeline file or an argument is wrong; nothing was started
  3    a drain ended before every event was delivered
  130  stopped at once by a second Ctrl-C";

/// Arguments of `tidegate run`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) sources: Sources,

    #[command(flatten)]
    pub(crate) data_dir: DataDir,

    /// Limit of bytes in flight in all pipelines together
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = memory)]
    pub(crate) memory: Size,

    /// Forget every position, and every record of an effectively-once sink: start from scratch
    #[arg(long)]
    pub(crate) start_over: bool,

    /// Serve metrics, health and a dashboard on this loopback address; off by default
    ///
    /// `/metrics` is for Prometheus, `/healthz` and `/readyz` for supervisors, `/` for people. Port 0 takes a
    /// free port, which is logged.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    pub(crate) admin: Option<SocketAddr>,

    /// Serve the admin pages for this host too: the value of `Host` that a proxy passes on
    #[arg(long, value_name = "NAME", requires = "admin")]
    pub(crate) admin_host: Vec<String>,

    /// Reload when a pipeline file changes, as on SIGHUP; run until stopped, even if every pipeline has ended
    ///
    /// The files are checked every second. In a folder, new and removed files count too. If a file has an error
    /// at the start, nothing is started until it is corrected.
    #[arg(long)]
    pub(crate) watch: bool,

    /// Format of log lines on standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

/// Parses a loopback address. The admin server has neither a password nor encryption.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let text =
        text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let address: SocketAddr =
        text.parse().map_err(|_| "write it as ADDRESS:PORT, such as 127.0.0.1:9090".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "{} can be reached from other machines, and the admin server has no password; use 127.0.0.1:{} behind a proxy",
        address.ip(),
        address.port()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_server_stays_on_this_machine() {
        assert_eq!(loopback("localhost:0").unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(loopback("[::1]:80").unwrap().to_string(), "[::1]:80");
        let refused = loopback("0.0.0.0:9090").unwrap_err();
        assert!(refused.contains("use 127.0.0.1:9090 behind a proxy"), "{refused}");
        assert!(loopback("9090").unwrap_err().contains("ADDRESS:PORT"));
    }
}
