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

The first Ctrl-C (or SIGTERM) drains: sources stop reading, and what was read
is delivered. A second one stops at once. SIGHUP reads the pipeline files again:
what changed is replaced, the rest runs on untouched, and if anything is wrong
nothing changes. Standard output is the `stdout`
sink's alone; all else goes to standard error.

Exit codes:
  0    every pipeline ended or drained with nothing lost
  1    a pipeline failed
  2    a pipeline file or an argument is wrong; nothing was started
  3    a drain ended before everything was delivered
  130  stopped at once by a second Ctrl-C";

#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) sources: Sources,

    #[command(flatten)]
    pub(crate) data_dir: DataDir,

    /// How many bytes may be in flight in all pipelines together
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = memory)]
    pub(crate) memory: Size,

    /// Forget every position, and every record that an effectively-once sink keeps: begin anew
    #[arg(long)]
    pub(crate) start_over: bool,

    /// Serve metrics, health and a dashboard on this loopback address; off by default
    ///
    /// `/metrics` is for Prometheus, `/healthz` and `/readyz` for supervisors, `/` for people. Port 0 takes a
    /// free port, which is logged.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    pub(crate) admin: Option<SocketAddr>,

    /// Serve the admin pages for this host too: what a proxy in front of it passes on in `Host`
    #[arg(long, value_name = "NAME", requires = "admin")]
    pub(crate) admin_host: Vec<String>,

    /// Reload when a pipeline file changes, as on SIGHUP; run until stopped, even if all has ended
    ///
    /// The files are looked at every second. A folder is looked at for files that come and go.
    #[arg(long)]
    pub(crate) watch: bool,

    /// How log lines are written to standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

/// The admin server has neither a password nor encryption, so only this machine may reach it.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let text =
        text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let address: SocketAddr =
        text.parse().map_err(|_| "write it as ADDRESS:PORT, such as 127.0.0.1:9090".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err(format!(
            "{} can be reached from other machines, and the admin server has no password; bind 127.0.0.1:{} and put a proxy in front of it",
            address.ip(),
            address.port()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_server_stays_on_this_machine() {
        assert_eq!(loopback("localhost:0").unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(loopback("[::1]:80").unwrap().to_string(), "[::1]:80");
        let refused = loopback("0.0.0.0:9090").unwrap_err();
        assert!(refused.contains("bind 127.0.0.1:9090 and put a proxy"), "{refused}");
        assert!(loopback("9090").unwrap_err().contains("ADDRESS:PORT"));
    }
}
