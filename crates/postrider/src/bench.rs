//! `bench`: loads a server, and compares it with the same client posting straight to the same receiver.
//!
//! With `--http raw` publishers send prebuilt bytes and client and receiver parse as little as they can (`link`,
//! `receiver`); with `--http hyper` both are what a service would be written with (`ordinary`). What the client costs is
//! part of every figure, so only figures of the same `--http` compare.

mod figures;
mod files;
mod link;
mod ordinary;
mod pace;
mod pool;
mod process;
mod publisher;
mod receiver;
mod record;
mod report;
mod request;
mod target;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use self::link::Http;
use self::pool::Pool;
use self::publisher::{Plan, Published};
use self::record::{Recorder, Run};
use self::report::{Figures, Pair, Report, ServerFigures, Settings};
use self::request::Template;
use self::target::Target;
use crate::exit::{self, Usage};
use crate::input;
use crate::output::Output;

/// Nothing arrived for this long: what is missing is not coming.
const QUIET: Duration = Duration::from_secs(8);
/// How long duplicates are waited for once everything arrived.
const LINGER: Duration = Duration::from_millis(200);
/// How often arrivals are looked at while a run drains.
const LOOK: Duration = Duration::from_millis(5);
/// A file with a token is no longer than this.
const MAX_TOKEN_FILE_BYTES: u64 = 4_096;

/// The load.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Connections that publish
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    connections: u16,
    /// Bytes of `data` in each event
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(2..=1_048_576))]
    size: u32,
    /// How long each run is measured
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// How long each run goes on before it is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    warmup: f64,
    /// Pairs of a direct run and one through the server
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pairs: u16,
    /// Events in a request
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    batch: u16,
    /// Events a second, sent at fixed times whether or not answers come [default: as fast as answers come]
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Endpoints in all, spread over tenants
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=99_999))]
    endpoints: u32,
    /// Endpoints of a tenant; each gets all its events
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=999))]
    fanout: u16,
    /// Threads for publishers and receiver [default: the machine's cores, 4 at most]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: Option<u8>,
    /// How publishers and receiver speak HTTP; figures are comparable only with the same
    #[arg(long, value_enum, default_value_t = Http::Raw)]
    http: Http,
    /// Measure only the direct limit
    #[arg(long)]
    direct_only: bool,
    /// A server that runs already, with an operator's token in POSTRIDER_TOKEN [default: start one]
    #[arg(long, conflicts_with_all = ["direct_only", "data_dir"])]
    url: Option<String>,
    /// Its process id, to read what it costs
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// File that holds the token [default: the environment variable POSTRIDER_TOKEN]
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// Where the database of a started server is made; on a disk, not in memory [default: /var/tmp]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How long arrivals are waited for after a run
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    drain: f64,
}

pub(crate) async fn run(args: BenchArgs, output: Output) -> anyhow::Result<ExitCode> {
    if !args.endpoints.is_multiple_of(u32::from(args.fanout)) {
        return Err(Usage("--endpoints must be a multiple of --fanout".into()).into());
    }
    let bench = Bench::start(args)?;
    let report = bench.measure().await?;
    if output.json {
        output.line(&serde_json::to_string(&report)?)?;
    } else {
        output.line(&report.table().render())?;
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

/// Publishers and receiver, ready to run.
struct Bench {
    args: BenchArgs,
    pool: Pool,
    recorder: Arc<Recorder>,
    receiver: SocketAddr,
    /// Sets the tenants and events of this bench apart from those of others on the same server.
    session: String,
}

impl Bench {
    fn start(args: BenchArgs) -> anyhow::Result<Self> {
        files::allow(usize::from(args.connections))?;
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().min(4));
        let pool = Pool::start(args.threads.map_or(cores, usize::from))?;
        let recorder = Arc::new(Recorder::new());
        let receiver = receiver::start(&pool, recorder.clone(), args.http)?;
        let mut random = [0_u8; 4];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow::anyhow!("the system gives no randomness"))?;
        let session = format!("{:08x}", u32::from_be_bytes(random));
        Ok(Self { args, pool, recorder, receiver, session })
    }

    fn settings(&self) -> Settings {
        Settings {
            connections: self.args.connections.into(),
            batch: self.args.batch.into(),
            fanout: self.args.fanout.into(),
            endpoints: self.args.endpoints as usize,
            size: self.args.size as usize,
            seconds: self.args.seconds,
            rate: self.args.rate,
            threads: self.pool.len(),
            http: self.args.http,
        }
    }

    fn tenants(&self) -> u64 {
        u64::from(self.args.endpoints / u32::from(self.args.fanout))
    }

    /// What the ids of this bench's tenants begin with.
    fn tenant_prefix(&self) -> String {
        format!("bench-{}-", self.session)
    }

    fn new_run(&self, number: u16, tenants: u64, fanout: usize) -> Arc<Run> {
        Arc::new(Run::new(format!("bench-{}-{number:03}-", self.session), tenants, fanout))
    }

    async fn measure(&self) -> anyhow::Result<Report> {
        let mut report = Report {
            settings: self.settings(),
            fsync: None,
            idle_rss_kib: None,
            pairs: Vec::new(),
            ratio: None,
        };
        let target = if self.args.direct_only { None } else { Some(self.target()?) };
        if let Some(target) = &target {
            report.fsync = target.directory().map(process::fsync).transpose()?;
            let (tenants, fanout) = (self.tenants(), usize::from(self.args.fanout));
            target.set_up(&self.tenant_prefix(), tenants, fanout, self.receiver).await?;
            let first = self.new_run(999, tenants, fanout);
            target.try_out(&self.tenant_prefix(), &self.recorder, first, fanout as u64).await?;
            report.idle_rss_kib = target.pid.and_then(process::sample).map(|sample| sample.rss_kib);
        }
        for number in 0..self.args.pairs {
            let direct = self.direct(2 * number).await?;
            let through = match &target {
                Some(target) => Some(self.through(2 * number + 1, target).await?),
                None => None,
            };
            report.pairs.push(Pair { direct, through });
        }
        if let Some(target) = &target {
            target.clean_up(&self.tenant_prefix(), self.tenants()).await?;
        }
        report.compute_ratio();
        Ok(report)
    }

    fn target(&self) -> anyhow::Result<Target> {
        let Some(url) = &self.args.url else {
            let fallback = || {
                let disk = PathBuf::from("/var/tmp");
                if disk.is_dir() { disk } else { std::env::temp_dir() }
            };
            return Target::start(&self.args.data_dir.clone().unwrap_or_else(fallback));
        };
        let token = match &self.args.token_file {
            Some(file) => input::read_text(&file.to_string_lossy(), MAX_TOKEN_FILE_BYTES)?,
            None => std::env::var("POSTRIDER_TOKEN").unwrap_or_default(),
        };
        Target::running(url, self.args.pid, token.trim().to_owned())
    }

    async fn direct(&self, number: u16) -> anyhow::Result<Figures> {
        let run = self.new_run(number, 1, 1);
        let template = Template::delivery(&run, self.receiver, self.args.size as usize);
        self.run(run, self.plan(self.receiver, template, self.args.rate), None).await
    }

    async fn through(&self, number: u16, target: &Target) -> anyhow::Result<Figures> {
        let run = self.new_run(number, self.tenants(), self.args.fanout.into());
        let batch = usize::from(self.args.batch);
        let host = target.address.to_string();
        let size = self.args.size as usize;
        let template = Template::publish(&run, &host, &target.token, &self.tenant_prefix(), batch, size);
        let requests = self.args.rate.map(|events| events / batch as f64);
        self.run(run, self.plan(target.address, template, requests), target.pid).await
    }

    fn plan(&self, address: SocketAddr, template: Template, rate: Option<f64>) -> Plan {
        Plan {
            address,
            template,
            connections: self.args.connections.into(),
            http: self.args.http,
            rate,
            warmup_ns: (self.args.warmup * 1e9) as u64,
            window_ns: (self.args.seconds * 1e9) as u64,
        }
    }

    async fn run(&self, run: Arc<Run>, plan: Plan, server: Option<u32>) -> anyhow::Result<Figures> {
        self.recorder.run.store(Some(run.clone()));
        let sample = || (process::own(), server.and_then(process::sample));
        let before = sample();
        let published = publisher::publish(&self.pool, self.recorder.clock, &run, &plan).await?;
        let drain_s = self.drain(&run, published.accepted).await;
        let after = sample();
        tokio::time::sleep(LINGER).await;
        Ok(figures(&run, &published, drain_s, (before.0, after.0), (before.1, after.1)))
    }

    /// Waits until everything accepted has arrived, or nothing comes any more. Answers how long arrivals went on.
    async fn drain(&self, run: &Run, accepted: u64) -> f64 {
        let fanout = u64::from(self.args.fanout);
        let clock = self.recorder.clock;
        let start = clock.now();
        let seconds_since = |then: u64| clock.now().saturating_sub(then) as f64 / 1e9;
        let (mut seen, mut last) = (run.arrivals(), start);
        // An event that was refused may have been taken all the same, and then arrives too.
        let expected = (accepted * fanout).min(run.possible());
        while run.arrivals() < expected
            && seconds_since(start) < self.args.drain
            && seconds_since(last) < QUIET.as_secs_f64()
        {
            tokio::time::sleep(LOOK).await;
            if run.arrivals() != seen {
                (seen, last) = (run.arrivals(), clock.now());
            }
        }
        last.saturating_sub(start) as f64 / 1e9
    }
}

type Before = Option<process::Sample>;

fn figures(
    run: &Run,
    published: &Published,
    drain_s: f64,
    own: (Before, Before),
    server: (Before, Before),
) -> Figures {
    let tally = run.tally(published.window.clone());
    let seconds = (published.window.end - published.window.start) as f64 / 1e9;
    let per_delivery = |total: f64| total / (tally.arrived.max(1)) as f64;
    let own_cpu_us = own.0.zip(own.1).map(|(before, after)| per_delivery(after.cpu_us - before.cpu_us));
    let server = server.0.zip(server.1).map(|(before, after)| {
        let each = |pick: fn(&process::Sample) -> u64| {
            per_delivery(pick(&after).saturating_sub(pick(&before)) as f64)
        };
        ServerFigures {
            cpu_us_per_delivery: per_delivery(after.cpu_us - before.cpu_us),
            written_bytes_per_delivery: each(|sample| sample.write_bytes),
            wchar_per_delivery: each(|sample| sample.wchar),
            write_calls_per_delivery: each(|sample| sample.syscw),
            read_calls_per_delivery: each(|sample| sample.syscr),
            rss_kib: after.rss_kib,
            peak_rss_kib: after.hwm_kib,
        }
    });
    Figures {
        accepted_per_s: published.accepted_in_window as f64 / seconds,
        delivered_per_s: tally.arrived_in_window as f64 / seconds,
        ack: published.latencies.quantiles(),
        arrival: tally.latencies.quantiles(),
        delivered: tally.arrived,
        lost: tally.lost,
        duplicates: tally.duplicates,
        strays: tally.strays,
        refused: published.refused.clone(),
        drain_s,
        own_cpu_us,
        server,
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("it must be 0 to 3600".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.1..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("it must be 0.1 to 10000000".into()),
    }
}
