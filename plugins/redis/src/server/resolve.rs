//! From the options about a server to its addresses, the login and the dialer.

use tidegate_sdk::{ConfigError, ConfigErrors};

use super::address::{self, Login, Target};
use super::connection::{Dialer, Tls};
use super::options::ServerOptions;

/// The servers, the login and the dialer that the options name.
///
/// # Errors
/// All options that are wrong.
pub(crate) fn resolve(options: &ServerOptions) -> Result<(Target, Login, Dialer), ConfigError> {
    let mut errors = ConfigErrors::default();
    let target = errors.keep(address::target(options));
    let limits = [("/time_limit", options.time_limit), ("/connect_time_limit", options.connect_time_limit)];
    for (pointer, limit) in limits {
        if limit.is_zero() {
            let zero = ConfigError::at(pointer, "the time limit is zero");
            errors.push(zero.help("leave it out for the default"));
        }
    }
    let Some((target, login)) = target else { return Err(errors.into_error()) };
    errors.finish(())?;
    let dialer = Dialer {
        tls: Tls::new(options.tls.clone().unwrap_or_default()),
        connect_limit: *options.connect_time_limit,
        answer_limit: *options.time_limit,
        replicas: 0,
    };
    Ok((target, login, dialer))
}
