//! The campaign: `./tests/crash/run --kills 1000 --lane file-list`.

#![allow(clippy::print_stdout, reason = "this program is its output")]

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use tidegate_crash::{Fault, Guarantee, Isolation, LANES, Lane, Libraries, Outcome, Trial, campaign};

/// Kills Tidegate, its server and its connections while events flow, and counts what was lost, duplicated,
/// put out of order and torn. Ends with 1 if that is not what the lane promises.
#[derive(Parser, Debug)]
struct Arguments {
    /// How many faults each row of the table has. For `--fault calls`: how many of the points; 0 is all.
    #[arg(long, default_value_t = 100)]
    kills: u64,
    /// Only this lane; can be given several times.
    #[arg(long)]
    lane: Vec<String>,
    /// Only this guarantee.
    #[arg(long, value_enum)]
    guarantee: Vec<Guarantee>,
    /// What is done; `kill -9` of the engine if not given. Can be given several times.
    #[arg(long, value_enum, default_values_t = [Fault::Engine])]
    fault: Vec<Fault>,
    /// Everything that can be done.
    #[arg(long)]
    all_faults: bool,
    /// What chance is made from; another one each time if not given. Round N of a row has the seed plus N.
    #[arg(long)]
    seed: Option<u64>,
    /// The binary. Default: what TIDEGATE_BIN names, or else target/release/tidegate.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// A shared library whose plugins take the place of the built-in ones; can be given several times.
    #[arg(long)]
    library: Vec<PathBuf>,
    /// Where the plugins of the libraries run.
    #[arg(long, value_enum, default_value = "inline", requires = "library")]
    isolation: Isolation,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let binary = arguments.binary.clone().or_else(|| std::env::var_os("TIDEGATE_BIN").map(PathBuf::from));
    let binary = binary.unwrap_or_else(|| "target/release/tidegate".into());
    let binary = binary
        .canonicalize()
        .with_context(|| format!("{} is not there: build it, or set TIDEGATE_BIN", binary.display()))?;
    let seed = arguments
        .seed
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs()));
    let libraries = libraries(&arguments)?;
    println!("commit {}  redis {}  seed {seed}", commit(), redis_version());
    println!(
        "{:<13} {:<16} {:<15} {:>6} {:>7} {:>9} {:>6} {:>10} {:>7} {:>5} {:>8} {:>7}",
        "lane",
        "delivery",
        "fault",
        "faults",
        "at work",
        "events",
        "lost",
        "duplicated",
        "disorder",
        "torn",
        "fresh",
        "time"
    );
    let mut failed = false;
    for (lane, guarantee, fault) in rows(&arguments)? {
        let trial = Trial { binary: binary.clone(), lane, guarantee, fault, libraries: libraries.clone() };
        let outcome = campaign(&trial, seed, arguments.kills)?;
        print!("{:<13} {guarantee:<16} {fault:<15} ", lane.name);
        println!("{}", line(&outcome));
        for problem in &outcome.problems {
            println!("  {}", problem.replace('\n', "\n  "));
        }
        failed |= !outcome.problems.is_empty();
    }
    println!("{}", if failed { "a promise was broken" } else { "every promise was kept" });
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The libraries that were asked for.
fn libraries(arguments: &Arguments) -> Result<Option<Libraries>> {
    let Arguments { library, isolation, .. } = arguments;
    let file =
        |file: &PathBuf| file.canonicalize().with_context(|| format!("{} is not there", file.display()));
    let files = library.iter().map(file).collect::<Result<Vec<_>>>()?;
    Ok((!files.is_empty()).then_some(Libraries { files, isolation: *isolation }))
}

/// What was asked for, of what there is.
fn rows(arguments: &Arguments) -> Result<Vec<(Lane, Guarantee, Fault)>> {
    for name in &arguments.lane {
        let known: Vec<&str> = LANES.iter().map(|lane| lane.name).collect();
        ensure!(known.contains(&name.as_str()), "there is no lane `{name}`, only {}", known.join(", "));
    }
    let faults = if arguments.all_faults { Fault::value_variants() } else { &arguments.fault };
    let mut rows = Vec::new();
    for guarantee in Guarantee::value_variants() {
        for lane in LANES {
            for fault in faults {
                let wanted = arguments.guarantee.is_empty() || arguments.guarantee.contains(guarantee);
                let named = arguments.lane.is_empty() || arguments.lane.iter().any(|name| name == lane.name);
                let apart = arguments.isolation == Isolation::Process || *fault != Fault::Plugin;
                if wanted && named && apart && lane.can_suffer(*fault) {
                    rows.push((*lane, *guarantee, *fault));
                }
            }
        }
    }
    Ok(rows)
}

fn line(outcome: &Outcome) -> String {
    if let Some(reason) = &outcome.skipped {
        return format!("skipped: {reason}");
    }
    let tally = &outcome.tally;
    format!(
        "{:>6} {:>7} {:>9} {:>6} {:>10} {:>7} {:>5} {:>5} ms {:>5} s  {}",
        outcome.faults,
        outcome.working,
        tally.sent,
        tally.lost,
        tally.duplicated,
        tally.out_of_order,
        tally.torn,
        outcome.fresh.as_millis(),
        outcome.elapsed.as_secs(),
        if outcome.problems.is_empty() { "kept" } else { "BROKEN" },
    )
}

/// The commit that is under test, with a mark if the files differ from it.
fn commit() -> String {
    said("git", &["describe", "--always", "--dirty", "--exclude=*"])
}

fn redis_version() -> String {
    let said = said("redis-server", &["--version"]);
    said.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("?").to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "?".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
