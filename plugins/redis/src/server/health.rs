//! Checks of a server that is to keep records, made on each new connection.

use std::time::Duration;

use tidegate_sdk::{Cx, Error};
use tracing::{info, warn};

use crate::server::ask::{ask, error};
use crate::server::connection::Connection;

/// The first version whose scripts may write after something that depends on the moment.
const OLDEST: u64 = 5;

/// The interval and the number of checks of a running rewrite, before the engine may do something else.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS: usize = 100;

/// Checks the server and prepares it for writes. Returns its major version.
///
/// # Errors
/// If it evicts keys or is too old, and while its append-only file is being rewritten.
pub(crate) async fn prepare(connection: &mut Connection, cx: &Cx) -> Result<u64, Error> {
    let version = match section(connection, "server").await? {
        Some(text) => version(&text)?,
        None => OLDEST,
    };
    match section(connection, "memory").await? {
        Some(text) => check_policy(&text)?,
        None => warn!("the user may not ask the server for its eviction policy; see that it is `noeviction`"),
    }
    rewrite(connection, cx).await?;
    Ok(version)
}

/// A section of INFO. `None` if the user has no right to it.
async fn section(connection: &mut Connection, name: &str) -> Result<Option<String>, Error> {
    match ask(connection, &[b"INFO", name.as_bytes()]).await? {
        Ok(text) => Ok(Some(text)),
        Err(text) if text.starts_with("NOPERM") => Ok(None),
        Err(text) => Err(error(&text)),
    }
}

/// The value of one line of INFO.
fn line<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

fn version(text: &str) -> Result<u64, Error> {
    let full = line(text, "redis_version").unwrap_or_default();
    match full.split('.').next().and_then(|major| major.parse().ok()) {
        Some(major) if major >= OLDEST => Ok(major),
        Some(_) => Err(Error::misconfigured(format!(
            "the server is Redis {full}; to store events and their record in one step it must be {OLDEST} or later"
        ))),
        None => Ok(OLDEST),
    }
}

fn check_policy(text: &str) -> Result<(), Error> {
    match line(text, "maxmemory_policy") {
        Some("noeviction") | None => Ok(()),
        Some(policy) => Err(Error::misconfigured(format!(
            "the server's `maxmemory-policy` is `{policy}`, so it may throw away what was delivered, and the \
             record of it; set it to `noeviction` (CONFIG SET maxmemory-policy noeviction, and in its \
             configuration file), or use another server"
        ))),
    }
}

/// Rewrites the append-only file, unless that was done since the server started.
///
/// A file that was torn within a transaction leaves that transaction open. The server takes later commands for a part
/// of it and drops all of them at its next start. A rewritten file has no torn tail.
async fn rewrite(connection: &mut Connection, cx: &Cx) -> Result<(), Error> {
    let mut asked = false;
    for _ in 0..LOOKS {
        let Some(text) = section(connection, "persistence").await? else { return Ok(()) };
        let is = |name, value| line(&text, name) == Some(value);
        let busy = is("aof_rewrite_in_progress", "1") || is("aof_rewrite_scheduled", "1");
        let rewritten = !busy && line(&text, "aof_last_rewrite_time_sec").is_some_and(|time| time != "-1");
        if !is("aof_enabled", "1") || (rewritten && is("aof_last_bgrewrite_status", "ok")) {
            return Ok(());
        }
        if asked && rewritten {
            return Err(Error::misconfigured(
                "the server cannot rewrite its append-only file, which must be done once after it started; its \
                 log says why",
            ));
        }
        if !busy && !asked {
            info!(
                "the server has started since: its append-only file is rewritten before anything is written"
            );
            match ask(connection, &[b"BGREWRITEAOF"]).await? {
                Err(text) if text.starts_with("NOPERM") => {
                    warn!(
                        "the user may not rewrite the append-only file; one that was torn may lose commits"
                    );
                    return Ok(());
                }
                Err(text) if !text.contains("in progress") => return Err(error(&text)),
                _ => asked = true,
            }
        } else if !cx.sleep(LOOK_EVERY).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Err(Error::busy("the server rewrites its append-only file", LOOK_EVERY * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn information_is_read_line_by_line() {
        let text = "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n";
        assert_eq!(line(text, "maxmemory"), Some("0"));
        assert!(check_policy(text).unwrap_err().message().contains("`allkeys-lru`"));
        assert_eq!(version("redis_version:6.2.1\r\n").unwrap(), 6);
        assert!(version("redis_version:4.0.9\r\n").is_err());
    }
}
