//! Latency of single events through an idle program, from its standard input to its standard output.
//!
//!     latency EVENTS PAUSE_IN_MICROSECONDS PROGRAM [ARGUMENT...]
//!
//! Prints the median, 99th percentile and maximum in microseconds. The program must pass each line on at once. `cat`
//! as the program shows the cost of the two pipes and the wake-ups.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Events that are not counted: the first ones find caches cold.
const WARM_UP: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [events, pause, program, rest @ ..] = arguments.as_slice() else {
        return Err("usage: latency EVENTS PAUSE_IN_MICROSECONDS PROGRAM [ARGUMENT...]".into());
    };
    let (events, pause) = (events.parse::<usize>()?, Duration::from_micros(pause.parse()?));
    let mut child = Command::new(program).args(rest).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("the program has no pipes".into());
    };
    let mut output = BufReader::new(output);
    let mut line = String::new();
    let mut times = Vec::with_capacity(events);
    for number in 0..WARM_UP + events {
        std::thread::sleep(pause);
        let event = format!("{{\"number\":{number},\"name\":\"a single event\",\"country\":\"US\"}}\n");
        let sent = Instant::now();
        input.write_all(event.as_bytes())?;
        line.clear();
        output.read_line(&mut line)?;
        let taken = sent.elapsed();
        if line != event {
            return Err(format!("{event:?} went in, and {line:?} came out").into());
        }
        if number >= WARM_UP {
            times.push(taken);
        }
    }
    drop(input);
    child.wait()?;
    times.sort_unstable();
    let at = |share: f64| times[((events - 1) as f64 * share) as usize].as_micros();
    println!("{} {} {}", at(0.5), at(0.99), at(1.0));
    Ok(())
}
