//! Pipelines under test, and the guarantees of each under each fault.

use std::fmt;

use clap::ValueEnum;

use crate::oracle::Tally;
use crate::world::destination::Shape;

/// A pipeline from a growing file or stream to a destination.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// Name on the command line and in the table.
    pub name: &'static str,
    /// Source of the events.
    pub(crate) input: Input,
    /// Destination of the events.
    pub(crate) shape: Shape,
    /// Further options of the sink.
    pub(crate) options: &'static str,
}

/// A growing input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A file, read by one engine.
    File,
    /// A stream in the destination server, shared by the engines of a group.
    Group,
    /// A stream in the destination server, read by one engine by the ids of its entries.
    Ids,
}

/// Every lane.
pub const LANES: &[Lane] = &[
    Lane { name: "file-list", input: Input::File, shape: Shape::List, options: "" },
    Lane { name: "file-stream", input: Input::File, shape: Shape::Stream, options: "" },
    Lane { name: "file-hash", input: Input::File, shape: Shape::Hash, options: "" },
    Lane { name: "file-string", input: Input::File, shape: Shape::Strings, options: "" },
    Lane { name: "file-file", input: Input::File, shape: Shape::File, options: "" },
    Lane {
        name: "file-rotated",
        input: Input::File,
        shape: Shape::File,
        options: "rotate = { size = \"256KiB\" }\n",
    },
    Lane { name: "group-list", input: Input::Group, shape: Shape::List, options: "" },
    Lane { name: "group-stream", input: Input::Group, shape: Shape::Stream, options: "" },
    Lane { name: "ids-list", input: Input::Ids, shape: Shape::List, options: "" },
    Lane { name: "ids-hash", input: Input::Ids, shape: Shape::Hash, options: "" },
];

/// Consumer group of the workers.
pub(crate) const GROUP: &str = "workers";

/// The key `delivery` of the pipeline file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Guarantee {
    /// `delivery = "at_least_once"`
    AtLeastOnce,
    /// `delivery = "effectively_once"`
    EffectivelyOnce,
}

/// A fault of a running lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// `kill -9` of the engine.
    Engine,
    /// `kill -9` of the process of a plugin, and sometimes of the engine: with `--isolation process`.
    Plugin,
    /// `kill -9` of a Redis that synchronises every command before it replies.
    RedisAlways,
    /// The same with synchronisation once a second.
    RedisEverysec,
    /// The same with snapshots only.
    RedisSnapshots,
    /// `kill -9` of a Redis whose append-only file is then torn at a random byte near its end.
    RedisTorn,
    /// SIGSTOP of the engine. Another instance takes over if the sink can fence.
    Freeze,
    /// A network that delays, cuts, splits, corrupts, goes silent, and drops replies.
    Network,
    /// Another type in the destination key for some time.
    WrongType,
    /// Death of the engine at each system call, and failures of each system call.
    Calls,
}

/// Counts that must be zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checks {
    /// No lost events.
    pub(crate) lost: bool,
    /// No duplicates.
    pub(crate) duplicated: bool,
    /// The order of the input.
    pub(crate) order: bool,
    /// No torn events.
    pub(crate) torn: bool,
}

impl Lane {
    /// Number of engines that share the input.
    pub(crate) fn workers(&self) -> usize {
        match self.input {
            Input::File | Input::Ids => 1,
            Input::Group => 4,
        }
    }

    /// True if events arrive in the order of the input, and the destination shows that order.
    pub(crate) fn is_in_order(&self) -> bool {
        self.input != Input::Group && self.shape.keeps_order()
    }

    /// True if this fault applies to the lane.
    pub fn can_suffer(&self, fault: Fault) -> bool {
        match fault {
            Fault::Engine | Fault::Plugin | Fault::Freeze => true,
            Fault::Calls => self.input == Input::File,
            Fault::WrongType => self.shape.is_in_redis() && self.shape != Shape::Strings,
            _ => self.shape.is_in_redis(),
        }
    }

    /// Counts that must be zero with this guarantee and fault.
    pub(crate) fn checks(&self, guarantee: Guarantee, fault: Fault) -> Checks {
        if guarantee == Guarantee::EffectivelyOnce {
            return Checks { lost: true, duplicated: true, order: self.is_in_order(), torn: true };
        }
        // Data that a server acknowledged and forgot is not sent again.
        let forgets = fault.settings().is_some() && fault != Fault::RedisAlways;
        Checks {
            lost: !forgets,
            duplicated: false,
            order: self.is_in_order() && !forgets,
            // A file may end in half a line after a crash. The line is ended and written again.
            torn: self.shape.is_in_redis(),
        }
    }
}

impl Fault {
    /// True if it may tear an append-only file. Killing a server during a write does that too.
    pub(crate) fn tears(self) -> bool {
        matches!(self, Self::RedisAlways | Self::RedisEverysec | Self::RedisTorn)
    }

    /// Settings of the server, if the fault kills a server.
    pub(crate) fn settings(self) -> Option<&'static [&'static str]> {
        match self {
            Self::RedisAlways | Self::RedisTorn => Some(&["--appendonly", "yes", "--appendfsync", "always"]),
            Self::RedisEverysec => Some(&["--appendonly", "yes", "--appendfsync", "everysec"]),
            Self::RedisSnapshots => Some(&["--save", "1 1"]),
            _ => None,
        }
    }
}

impl Checks {
    /// The checks that `tally` violates.
    pub(crate) fn violated_by(&self, tally: &Tally) -> Vec<&'static str> {
        let checks = [
            (self.lost, tally.lost, "events are lost"),
            (self.duplicated, tally.duplicated, "events are duplicated"),
            (self.order, tally.out_of_order, "events are out of order"),
            (self.torn, tally.torn, "events are torn"),
        ];
        checks.into_iter().filter(|(checked, count, _)| *checked && *count > 0).map(|check| check.2).collect()
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::AtLeastOnce => "at_least_once",
            Self::EffectivelyOnce => "effectively_once",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        formatter.pad(&name.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_violated_by_its_own_count() {
        let lane = LANES[0];
        let strict = lane.checks(Guarantee::EffectivelyOnce, Fault::RedisSnapshots);
        let none = Tally { sent: 9, ..Tally::default() };
        assert!(strict.violated_by(&none).is_empty());
        for tally in [
            Tally { lost: 1, ..none },
            Tally { duplicated: 1, ..none },
            Tally { out_of_order: 1, ..none },
            Tally { torn: 1, ..none },
        ] {
            assert_eq!(strict.violated_by(&tally).len(), 1, "{tally}");
        }
        let loose = lane.checks(Guarantee::AtLeastOnce, Fault::Engine);
        assert!(loose.violated_by(&Tally { duplicated: 9, ..none }).is_empty());
        assert_eq!(loose.violated_by(&Tally { lost: 1, ..none }).len(), 1);
        let forgetful = lane.checks(Guarantee::AtLeastOnce, Fault::RedisEverysec);
        assert!(forgetful.violated_by(&Tally { lost: 1, ..none }).is_empty());
    }
}
