//! Checks of the options.

use tidegate_sdk::{ConfigError, ConfigErrors, Duration};

use crate::source::options::Options;

/// Checks the options.
pub(crate) fn options(options: &Options) -> Result<(), ConfigError> {
    let mut errors = ConfigErrors::default();
    let names = [("/stream", Some(&options.stream)), ("/group", options.group.as_ref())].into_iter();
    for (pointer, name) in names {
        if name.is_some_and(String::is_empty) {
            errors.push(ConfigError::at(pointer, "this needs a name"));
        }
    }
    if options.consumer.as_ref().is_some_and(String::is_empty) {
        errors
            .push(ConfigError::at("/consumer", "this needs a name").help("leave it out for one of its own"));
    }
    if options.claim_after().as_millis() < 100 {
        let message = "a consumer that is alive cannot show it that often";
        errors.push(ConfigError::at("/claim_after", message).help("the default of \"30s\" suits most"));
    }
    if options.max_deliveries == Some(0) {
        errors.push(ConfigError::at("/max_deliveries", "every entry is delivered at least once"));
    }
    if options.group.is_none() {
        for (name, is_set) in [
            ("consumer", options.consumer.is_some()),
            ("claim_after", options.claim_after.is_some()),
            ("max_deliveries", options.max_deliveries.is_some()),
            ("ack_after", options.ack_after.is_some()),
        ] {
            if is_set {
                let message = format!("`{name}` needs a `group`: without one, entries are not acknowledged");
                errors.push(ConfigError::at(format!("/{name}"), message).help("add `group`, or remove it"));
            }
        }
    }
    errors.finish(())
}

/// The warning that entries may be taken over while they are still being worked on.
///
/// A sign of life that gets no answer is given again after `time_limit`, over a new connection, which may take
/// `connect_time_limit`. Until then the entries look abandoned.
pub(crate) fn claim_after_warning(options: &Options) -> Option<ConfigError> {
    let (claim_after, server) = (options.claim_after(), &options.server);
    let silence = server.time_limit.saturating_add(*server.connect_time_limit);
    if options.group.is_none() || *claim_after >= silence {
        return None;
    }
    let message = format!(
        "`claim_after` is {claim_after}, and one lost answer keeps this process silent for up to {} \
         (`time_limit` and `connect_time_limit`): others take over entries that it is still working on, which are \
         then delivered twice",
        Duration(silence)
    );
    let help = "raise `claim_after` above their sum, or lower `time_limit` and `connect_time_limit`";
    Some(ConfigError::at("/claim_after", message).help(help))
}
