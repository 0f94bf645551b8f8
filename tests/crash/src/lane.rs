//! The pipelines that are put to the test, and what each promises under which fault.

use std::fmt;
use std::path::Path;

use clap::ValueEnum;

use crate::destination::Shape;
use crate::oracle::Tally;
use crate::publisher::STREAM;
use crate::world::Trial;

/// One pipeline: a file or a stream that grows, and where its events go.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// What it is called.
    pub name: &'static str,
    /// Where its events come from.
    pub(crate) input: Input,
    /// Where its events go.
    pub(crate) shape: Shape,
    /// More options of its sink.
    options: &'static str,
}

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A file, read by one engine.
    File,
    /// A stream of the Redis that is written to, shared by the engines of a group.
    Group,
}

/// Every lane there is.
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
];

/// The group that the workers are.
pub(crate) const GROUP: &str = "workers";

/// How many events the sink writes at a time while the input grows: few, so that there is much to interrupt.
const FOLLOWED_BATCH: u64 = 64;

/// How many it writes at a time where the input is read once. The source reads several of these together, and
/// a run is to have several positions too.
pub(crate) const READ_BATCH: u64 = 512;

/// What the pipeline file asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Guarantee {
    /// `delivery = "at_least_once"`
    AtLeastOnce,
    /// `delivery = "effectively_once"`
    EffectivelyOnce,
}

/// What is done to a running lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// `kill -9` of the engine.
    Engine,
    /// `kill -9` of a process in which a plugin runs, and now and then of the engine: with `--isolation process`.
    Plugin,
    /// `kill -9` of a Redis that writes every command to its disk before it answers.
    RedisAlways,
    /// The same, of one that writes to its disk every second.
    RedisEverysec,
    /// The same, of one that keeps snapshots only.
    RedisSnapshots,
    /// `kill -9` of a Redis that writes everything, whose file is torn at a random byte near its end.
    RedisTorn,
    /// SIGSTOP of the engine; where the sink can fence, while another instance takes over.
    Freeze,
    /// A network that delays, cuts, splits, garbles, goes silent, and drops answers.
    Network,
    /// The key that is written to holds another type for a while.
    WrongType,
    /// The death of the engine at every system call, and calls that fail.
    Calls,
}

/// What must be zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// Nothing is lost.
    pub(crate) lost: bool,
    /// Nothing comes twice.
    pub(crate) duplicated: bool,
    /// The order is kept.
    pub(crate) order: bool,
    /// Nothing is torn.
    pub(crate) torn: bool,
}

impl Lane {
    /// The text of the pipeline file: one whose source waits for more, or reads its input once.
    pub(crate) fn pipeline(&self, trial: &Trial, follow: bool, paths: (&Path, &Path), url: &str) -> String {
        let (input, output) = paths;
        let (guarantee, fault) = (trial.guarantee, trial.fault);
        let (libraries, placed) = match &trial.libraries {
            Some(libraries) => (libraries.table(), libraries.option()),
            None => (String::new(), String::new()),
        };
        let server = match self.shape.is_in_redis() {
            true => format!("url = \"{url}\"\ntime_limit = \"300ms\"\nconnect_time_limit = \"300ms\"\n"),
            false => String::new(),
        };
        let (poll, batch) = match follow {
            true => ("follow = true\npoll_interval = \"2ms\"\n", FOLLOWED_BATCH),
            false => ("", READ_BATCH),
        };
        let source = match self.input {
            Input::File => format!("plugin = \"file\"\npath = \"{}\"\n{poll}", input.display()),
            Input::Group => {
                // Those that are slow are taken for dead very soon, so that live work is stolen. But whoever steals
                // faster than it is written never ends. At least once, what is stolen is written again. While an
                // answer is waited for, nobody gives a sign of life. And each sign is a write for each entry, of which
                // a server that waits for its disk does not do many.
                let idle = match (guarantee, fault) {
                    (Guarantee::AtLeastOnce, _) => 1000,
                    (
                        _,
                        Fault::Engine
                        | Fault::Plugin
                        | Fault::Freeze
                        | Fault::RedisSnapshots
                        | Fault::WrongType,
                    ) => 100,
                    _ => 500,
                };
                format!(
                    "plugin = \"redis_stream\"\nstream = \"{STREAM}\"\ngroup = \"{GROUP}\"\n{server}\
                     claim_after = \"{idle}ms\"\nack_after = \"50ms\"\n"
                )
            }
        };
        format!(
            "{libraries}[pipeline]\nid = \"crash\"\ndelivery = \"{guarantee}\"\n\n\
             [source.numbers]\n{source}{placed}\n\
             [sink.out]\n{}{server}{}{placed}batch = {{ events = {batch} }}\n\
             retry = {{ base = \"5ms\", cap = \"50ms\" }}\n",
            self.shape.options(output),
            self.options,
        )
    }

    /// How many engines share its input.
    pub(crate) fn workers(&self) -> usize {
        match self.input {
            Input::File => 1,
            Input::Group => 4,
        }
    }

    /// Whether its events arrive in the order in which they were sent, and whether that can be told.
    pub(crate) fn is_in_order(&self) -> bool {
        self.input == Input::File && self.shape.is_a_row()
    }

    /// Whether this fault can be done to it.
    pub fn can_suffer(&self, fault: Fault) -> bool {
        match fault {
            Fault::Engine | Fault::Plugin | Fault::Freeze => true,
            Fault::Calls => self.input == Input::File,
            Fault::WrongType => self.shape.is_in_redis() && self.shape != Shape::Strings,
            _ => self.shape.is_in_redis(),
        }
    }

    /// What it promises.
    pub(crate) fn promise(&self, guarantee: Guarantee, fault: Fault) -> Promise {
        if guarantee == Guarantee::EffectivelyOnce {
            return Promise { lost: true, duplicated: true, order: self.is_in_order(), torn: true };
        }
        // A server that forgets what it has acknowledged takes it along: nobody sends it again.
        let forgets = fault.settings().is_some() && fault != Fault::RedisAlways;
        Promise {
            lost: !forgets,
            duplicated: false,
            order: self.is_in_order() && !forgets,
            // A file that is appended to may end in half a line after a crash. That line is ended and written anew.
            torn: self.shape.is_in_redis(),
        }
    }
}

impl Fault {
    /// Whether it may tear an append-only file: a server that is killed while it writes does that too.
    pub(crate) fn tears(self) -> bool {
        matches!(self, Self::RedisAlways | Self::RedisEverysec | Self::RedisTorn)
    }

    /// The settings of the server that is killed, if it is a server that is killed.
    pub(crate) fn settings(self) -> Option<&'static [&'static str]> {
        match self {
            Self::RedisAlways | Self::RedisTorn => Some(&["--appendonly", "yes", "--appendfsync", "always"]),
            Self::RedisEverysec => Some(&["--appendonly", "yes", "--appendfsync", "everysec"]),
            Self::RedisSnapshots => Some(&["--save", "1 1"]),
            _ => None,
        }
    }
}

impl Promise {
    /// What of it does not hold.
    pub(crate) fn broken_by(&self, tally: &Tally) -> Vec<&'static str> {
        let parts = [
            (self.lost, tally.lost, "events are lost"),
            (self.duplicated, tally.duplicated, "events are duplicated"),
            (self.order, tally.out_of_order, "events are out of order"),
            (self.torn, tally.torn, "events are torn"),
        ];
        parts.into_iter().filter(|(promised, count, _)| *promised && *count > 0).map(|part| part.2).collect()
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
    fn each_promise_is_broken_by_its_own_count() {
        let lane = LANES[0];
        let strict = lane.promise(Guarantee::EffectivelyOnce, Fault::RedisSnapshots);
        let none = Tally { sent: 9, ..Tally::default() };
        assert!(strict.broken_by(&none).is_empty());
        for tally in [
            Tally { lost: 1, ..none },
            Tally { duplicated: 1, ..none },
            Tally { out_of_order: 1, ..none },
            Tally { torn: 1, ..none },
        ] {
            assert_eq!(strict.broken_by(&tally).len(), 1, "{tally}");
        }
        let loose = lane.promise(Guarantee::AtLeastOnce, Fault::Engine);
        assert!(loose.broken_by(&Tally { duplicated: 9, ..none }).is_empty());
        assert_eq!(loose.broken_by(&Tally { lost: 1, ..none }).len(), 1);
        let forgetful = lane.promise(Guarantee::AtLeastOnce, Fault::RedisEverysec);
        assert!(forgetful.broken_by(&Tally { lost: 1, ..none }).is_empty());
    }
}
