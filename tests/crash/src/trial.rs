//! The subject of a campaign, and its pipeline file.

use std::path::{Path, PathBuf};

use crate::lane::{Fault, GROUP, Guarantee, Input, Lane};
use crate::libraries::{Isolation, Libraries};
use crate::world::publisher::STREAM;

/// Batch size of the sink while the input grows. Small batches give many points to interrupt.
const FOLLOWED_BATCH: u64 = 64;

/// Batch size of the sink while the input is read once. The source reads several batches at a time, and a run has to
/// store several positions.
pub(crate) const READ_BATCH: u64 = 512;

/// A lane with a guarantee and a fault.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Binary of the engine.
    pub binary: PathBuf,
    /// The pipeline.
    pub lane: Lane,
    /// Its delivery guarantee.
    pub guarantee: Guarantee,
    /// The fault that is injected.
    pub fault: Fault,
    /// Libraries of its plugins, instead of the built-in ones.
    pub libraries: Option<Libraries>,
}

impl Trial {
    /// Isolation of its plugins, if they come from libraries.
    pub(crate) fn isolation(&self) -> Option<Isolation> {
        self.libraries.as_ref().map(|libraries| libraries.isolation)
    }

    /// Text of the pipeline file. With `follow`, the source waits for more input at the end.
    pub(crate) fn pipeline(&self, follow: bool, paths: (&Path, &Path), url: &str) -> String {
        let (input, output) = paths;
        let Self { lane, guarantee, fault, .. } = self;
        let (libraries, placed) = match &self.libraries {
            Some(libraries) => (libraries.table(), libraries.option()),
            None => (String::new(), String::new()),
        };
        let server = if lane.shape.is_in_redis() {
            format!("url = \"{url}\"\ntime_limit = \"300ms\"\nconnect_time_limit = \"300ms\"\n")
        } else {
            String::new()
        };
        let (poll, batch) = if follow {
            ("follow = true\npoll_interval = \"2ms\"\n", FOLLOWED_BATCH)
        } else {
            ("", READ_BATCH)
        };
        let source = match lane.input {
            Input::File => format!("plugin = \"file\"\npath = \"{}\"\n{poll}", input.display()),
            Input::Ids => format!("plugin = \"redis_stream\"\nstream = \"{STREAM}\"\n{server}"),
            Input::Group => {
                // Short, so that entries of slow but live workers are stolen. Three limits keep it from being shorter:
                // a worker that steals faster than it writes makes no progress, a worker that waits for a reply sends
                // no heartbeat, and a heartbeat costs one write for each entry, which a server with a slow disk
                // cannot repeat often.
                let idle = match (*guarantee, *fault) {
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
            lane.shape.options(output),
            lane.options,
        )
    }
}
