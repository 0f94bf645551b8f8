//! The stored position of a poll.

use serde::{Deserialize, Serialize};

use super::cursor::Order;
use super::pages::Next;

/// The stored position: where to go on after a batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The cursor's value of the last complete poll.
    pub(super) since: Option<String>,
    /// The cursor's value in the poll under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seen: Option<String>,
    /// The order of the cursor's values in the poll under way.
    #[serde(default, skip_serializing_if = "Order::is_mixed")]
    pub(super) order: Order,
    /// The page at which the poll under way goes on; none if it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<Next>,
    /// The number of pages that it has taken.
    #[serde(default)]
    pub(super) taken: u64,
    /// The number of polls that were cut at this page.
    #[serde(default)]
    pub(super) stuck: u32,
}
