//! The stored position of a poll.

use serde::{Deserialize, Serialize};

use super::cursor::Order;
use super::pages::PageKey;

/// The position after a batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PollPosition {
    /// The cursor's value after the last complete poll.
    pub(super) since: Option<String>,
    /// The cursor's value in the current poll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seen: Option<String>,
    /// The order of the cursor's values in the current poll.
    #[serde(default, skip_serializing_if = "Order::is_mixed")]
    pub(super) order: Order,
    /// The next page of the current poll; `None` if it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<PageKey>,
    /// The number of pages of the current poll so far.
    #[serde(default)]
    pub(super) taken: u64,
    /// The number of polls that stopped at this page.
    #[serde(default)]
    pub(super) stuck: u32,
}
