//! From the options about a server to its addresses, the login and the dialer.

use tidegate_sdk::ConfigError;

use super::address::{self, Login, Target};
use super::connection::{Dialer, Tls};
use super::options::ServerOptions;

/// The servers, the login and the dialer that the options name.
///
/// # Errors
/// The first option that is wrong.
pub(crate) fn resolve(options: &ServerOptions) -> Result<(Target, Login, Dialer), ConfigError> {
    let (target, login) = address::target(options)?;
    let limits = [("/time_limit", options.time_limit), ("/connect_time_limit", options.connect_time_limit)];
    for (pointer, limit) in limits {
        if limit.is_zero() {
            let nothing = ConfigError::at(pointer, "nothing can be done in no time");
            return Err(nothing.help("the default suits most"));
        }
    }
    let dialer = Dialer {
        tls: Tls::new(options.tls.clone().unwrap_or_default()),
        connect_limit: *options.connect_time_limit,
        answer_limit: *options.time_limit,
        replicas: 0,
    };
    Ok((target, login, dialer))
}
