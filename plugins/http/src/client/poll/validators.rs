//! Conditional requests.

use reqwest::header::{ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};

/// Returns the headers of a conditional request (RFC 9110, section 13).
pub(super) fn of(answered: &HeaderMap) -> HeaderMap {
    let pairs: [(HeaderName, HeaderName); 2] = [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)];
    let sent = pairs.into_iter().filter_map(|(known, asks)| Some((asks, answered.get(known)?.clone())));
    sent.collect()
}
