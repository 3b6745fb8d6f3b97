//! `postrider-sim`: runs the core's machines by seed, in a world that does what it should not.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it is for")]

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use postrider_sim::campaign::{Extent, Tally, catch_all, run_all};
use postrider_sim::mutant::Mutant;
use postrider_sim::run::run;
use postrider_sim::situation::Situation;
use postrider_sim::world::TraceMode;

/// Fewer runs than this say nothing about how often a situation arises.
const ENOUGH: u64 = 1_000;

/// Runs the machines that decide what is delivered when, by seed: with crashes, failing disks, dead networks, receivers that
/// hang, and clocks that jump; and checks what is promised.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Runs this seed alone, and prints its last events if it fails.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: prints every event.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Begins no run after so many seconds.
    #[arg(long)]
    within_s: Option<u64>,
}

#[derive(Subcommand)]
enum Command {
    /// Plants deliberate bugs, one at a time, and sees that each is caught.
    Mutants {
        /// Within so many seeds.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(seed) = cli.seed {
        return one(seed, if cli.trace { TraceMode::Printed } else { TraceMode::Kept });
    }
    // What panics is a guarantee that broke, and is told with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(Command::Mutants { seeds }) = cli.command {
        return mutants(seeds);
    }
    let within = cli.within_s.map(Duration::from_secs);
    let extent = Extent { first: cli.from, seeds: cli.seeds, within };
    let tally = run_all(extent, None, |runs| eprintln!("{runs} ..."));
    report(&tally)
}

/// Half of the bugs are to be caught within so many seeds.
const SOON: u64 = 100;

fn mutants(seeds: u64) -> ExitCode {
    let all = Mutant::all();
    let caught = catch_all(&all, seeds);
    for caught in &caught {
        let name = format!("{:?}", caught.mutant);
        match &caught.by {
            Some((broken, seeds)) => {
                println!("{name:<32} {:<18} {seeds:>5}", format!("{:?}", broken.guarantee))
            }
            None => println!("{name:<32} NOT CAUGHT"),
        }
    }
    let within = |seeds| caught.iter().filter(|c| c.by.as_ref().is_some_and(|(_, n)| *n <= seeds)).count();
    let (ever, soon) = (within(seeds), within(SOON));
    println!("{ever} of {} caught within {seeds} seeds, {soon} within {SOON}", all.len());
    if ever == all.len() && soon * 2 >= all.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, trace: TraceMode) -> ExitCode {
    match run(seed, None, trace) {
        Ok(outcome) => {
            println!("seed {seed} holds: {outcome:?}");
            ExitCode::SUCCESS
        }
        Err(broken) => {
            println!("{broken}\nseed {seed} fails");
            ExitCode::FAILURE
        }
    }
}

fn report(tally: &Tally) -> ExitCode {
    if let Some((seed, _)) = &tally.broken {
        let code = one(*seed, TraceMode::Kept);
        println!("run it again with: postrider-sim --seed {seed} --trace");
        return code;
    }
    let (sums, secs) = (&tally.sums, tally.took.as_secs_f64());
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let per_second = tally.runs as f64 / secs;
    let hours = sums.elapsed.as_secs_f64() / 3_600.0;
    println!(
        "{} runs in {secs:.1} s: {per_second:.1} a second, {:.0} hours simulated a second",
        tally.runs,
        hours / secs
    );
    println!(
        "{} inputs, {} events, {} deliveries, {} attempts, {} crashes survived, {hours:.0} hours",
        sums.inputs, sums.events, sums.deliveries, sums.attempts, sums.crashes
    );
    if let Some((events, inputs)) = tally.least {
        println!("at least {events} events and {inputs} inputs a run");
    }
    let mut rare = Vec::new();
    for (count, (_, name)) in tally.situations.iter().zip(Situation::ALL) {
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let share = *count as f64 * 100.0 / tally.runs.max(1) as f64;
        println!("{share:>6.1} %  {name}");
        if count * 100 < tally.runs {
            rare.push(name);
        }
    }
    if tally.runs >= ENOUGH && !rare.is_empty() {
        println!("in less than 1 % of the runs: {}", rare.join(", "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
