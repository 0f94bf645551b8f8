//! `tidegate plugins check`: whether a library keeps to what every plugin keeps to, for whoever writes one.
//!
//! A child process does the work, so that a library that crashes ends that and not the verdict.

mod rules;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::args::PluginCheck;
use crate::exit::{Exit, Failure};
use crate::libraries::Plugins;
use crate::terminal::{self, Paint, harmless};
use crate::wrap::wrap;

pub(crate) use rules::serve;

/// How long one rule may take to be looked at.
const PATIENCE: Duration = Duration::from_secs(180);
/// No message of the child is longer, in bytes.
const LINE: u64 = 1 << 20;
/// How many messages may wait to be shown.
const QUEUE: usize = 64;

/// What the child says while it works, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// The library as a whole: what it calls itself.
    Library(String),
    /// The rules of this plugin follow.
    Plugin(String),
    /// This rule is looked at now.
    Looking(String),
    /// It is kept.
    Kept,
    /// It is broken: how.
    Broken(String),
    /// It was not looked at: why.
    Skipped(String),
    /// There are no more.
    Over,
}

/// Has a child look at the library, and tells what it finds.
pub(crate) fn check(arguments: &PluginCheck, plugins: &Plugins) -> Result<Exit, Failure> {
    // What makes it no library at all is told in one sentence, before anything of it runs here.
    let name = arguments.file.display().to_string();
    plugins.open(Path::new("."), &name, None).map_err(Failure::wrong)?;
    let mut child = start(arguments)?;
    let (told, messages) = sync_channel(QUEUE);
    let stdout = child.stdout.take().expect("it is piped");
    let reading = std::thread::spawn(move || {
        let lines = BufReader::new(stdout).take(LINE << 10);
        for line in lines.lines().map_while(Result::ok) {
            let Ok(one) = serde_json::from_str::<Told>(&line) else { continue };
            if told.send(one).is_err() {
                break;
            }
        }
    });
    let exit = follow(&mut child, &messages);
    drop(messages);
    let _it_may_be_over = child.kill();
    let _it_is_over = child.wait();
    drop(reading.join());
    exit
}

fn start(arguments: &PluginCheck) -> Result<Child, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::failed(error.to_string()))?;
    let mut command = Command::new(program);
    command.args(["plugin-host", "--check"]).arg(&arguments.file);
    if let Some(pipeline) = &arguments.pipeline {
        command.arg("--pipeline").arg(pipeline);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    child.map_err(|error| Failure::failed(format!("no process can be started: {error}")))
}

/// Shows what the child says, as it comes.
fn follow(child: &mut Child, messages: &Receiver<Told>) -> Result<Exit, Failure> {
    let (paint, width) = (Paint::for_stdout(), terminal::prose_width());
    let (mut looking, mut broken) = (None, 0_u64);
    loop {
        let told = match messages.recv_timeout(PATIENCE) {
            Ok(told) => told,
            Err(RecvTimeoutError::Timeout) => Told::Broken(format!("nothing came of it within {PATIENCE:?}")),
            Err(RecvTimeoutError::Disconnected) => Told::Broken(format!("the library {}", death(child))),
        };
        let last = looking.clone().unwrap_or_else(|| "it loads".to_owned());
        let line = match told {
            Told::Library(title) => format!("{}\n", paint.bold(&harmless(&title))),
            Told::Plugin(name) => format!("  {}\n", harmless(&name)),
            Told::Looking(rule) => {
                looking = Some(rule);
                continue;
            }
            Told::Kept => format!("    {}  {last}\n", paint.green("kept   ")),
            Told::Skipped(why) => {
                format!(
                    "    {}  {last}\n{}",
                    paint.dim("skipped"),
                    wrap(&harmless(&why), width, "             ")
                )
            }
            Told::Broken(why) => {
                broken += 1;
                let why = wrap(&harmless(&why), width, "             ");
                terminal::out(&format!("    {}  {last}\n{}\n", paint.red("broken "), why.trim_end()))?;
                match looking.take() {
                    Some(_) if child.try_wait().is_ok_and(|status| status.is_none()) => continue,
                    _ => break,
                }
            }
            Told::Over => break,
        };
        terminal::out(&format!("{}\n", line.trim_end()))?;
    }
    let (verdict, exit) = match broken {
        0 => (paint.green("it keeps to all of them"), Exit::Done),
        1 => (paint.red("1 rule is broken"), Exit::Failed),
        many => (paint.red(&format!("{many} rules are broken")), Exit::Failed),
    };
    terminal::out(&format!("{verdict}\n"))?;
    Ok(exit)
}

/// How the child ended, as the end of a sentence.
fn death(child: &mut Child) -> String {
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(5) {
        match child.try_wait() {
            Ok(Some(status)) => return tidegate_loader::death(status),
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => break,
        }
    }
    "closed the output of its process".into()
}
