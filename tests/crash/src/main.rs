//! The campaign: `./tests/crash/run --kills 1000 --lane file-list`.

#![allow(clippy::print_stdout, reason = "this program is its output")]

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use tidegate_crash::{Fault, Guarantee, Isolation, LANES, Lane, Libraries, Outcome, Trial, campaign};

/// Kills Tidegate, its server and its connections while events flow, and counts lost, duplicated, reordered and torn
/// events. Exits with 1 if a guarantee of a lane does not hold.
#[derive(Parser, Debug)]
struct Arguments {
    /// Number of faults in each row of the table. For `--fault calls`: number of points; 0 means all.
    #[arg(long, default_value_t = 100)]
    kills: u64,
    /// Only this lane; can be given several times.
    #[arg(long)]
    lane: Vec<String>,
    /// Only this guarantee.
    #[arg(long, value_enum)]
    guarantee: Vec<Guarantee>,
    /// Fault to inject; `kill -9` of the engine by default. Can be given several times.
    #[arg(long, value_enum, default_values_t = [Fault::Engine])]
    fault: Vec<Fault>,
    /// Injects every kind of fault.
    #[arg(long)]
    all_faults: bool,
    /// Seed of the random choices; the time by default. Round N of a row uses the seed plus N.
    #[arg(long)]
    seed: Option<u64>,
    /// The binary. Default: TIDEGATE_BIN, or else target/release/tidegate.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Shared library whose plugins replace the built-in ones; can be given several times.
    #[arg(long)]
    library: Vec<PathBuf>,
    /// Isolation of the plugins of the libraries.
    #[arg(long, value_enum, default_value = "inline", requires = "library")]
    isolation: Isolation,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let binary = arguments.binary.clone().or_else(|| std::env::var_os("TIDEGATE_BIN").map(PathBuf::from));
    let binary = binary.unwrap_or_else(|| "target/release/tidegate".into());
    let binary = binary
        .canonicalize()
        .with_context(|| format!("{} does not exist: build it, or set TIDEGATE_BIN", binary.display()))?;
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
    println!("{}", if failed { "a guarantee was broken" } else { "every guarantee was kept" });
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The libraries that the arguments name.
fn libraries(arguments: &Arguments) -> Result<Option<Libraries>> {
    let Arguments { library, isolation, .. } = arguments;
    let file =
        |file: &PathBuf| file.canonicalize().with_context(|| format!("{} does not exist", file.display()));
    let files = library.iter().map(file).collect::<Result<Vec<_>>>()?;
    Ok((!files.is_empty()).then_some(Libraries { files, isolation: *isolation }))
}

/// The rows of the table that the arguments select.
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
                let guaranteed = arguments.guarantee.is_empty() || arguments.guarantee.contains(guarantee);
                let named = arguments.lane.is_empty() || arguments.lane.iter().any(|name| name == lane.name);
                let apart = arguments.isolation == Isolation::Process || *fault != Fault::Plugin;
                if guaranteed && named && apart && lane.can_suffer(*fault) {
                    rows.push((*lane, *guarantee, *fault));
                }
            }
        }
    }
    Ok(rows)
}

fn line(outcome: &Outcome) -> String {
    if let Some(reason) = &outcome.unsupported {
        return format!("refused: {reason}");
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

/// The commit under test, marked if files differ from it.
fn commit() -> String {
    output_of("git", &["describe", "--always", "--dirty", "--exclude=*"])
}

fn redis_version() -> String {
    let version = output_of("redis-server", &["--version"]);
    version.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("?").to_owned()
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "?".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
