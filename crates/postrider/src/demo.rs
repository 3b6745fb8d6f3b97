//! `postrider demo`: a server, a receiver that verifies, and card traffic between them, in one process and from nothing.

mod cast;
mod ledger;
mod live;
mod publish;
mod receiver;
mod summary;
mod traffic;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use postrider_client::{Client, DeliveryFilter, Endpoint, PageRequest, TenantSpec};
use tokio::time::{Instant, sleep};

use self::cast::{CAST, TENANTS};
use self::live::Live;
use self::publish::{Progress, publish};
use self::receiver::Receiver;
use self::summary::Summary;
use crate::config::{Breaker, Config, Secret};
use crate::exit;
use crate::output::Output;
use crate::serve::Running;

/// How long deliveries are waited for once everything is published.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the log is asked whether anything is pending.
const LOOK: Duration = Duration::from_millis(100);
/// How long what should not come any more is waited for.
const LINGER: Duration = Duration::from_millis(200);
/// Waits before each further attempt, in seconds: a demonstration has no hours.
const SCHEDULE_S: [f64; 6] = [0.3, 0.5, 1.0, 2.0, 2.0, 2.0];
/// Waits before the first and the longest wait before a further probe, in seconds.
const PROBES_S: (f64, f64) = (0.5, 1.0);
/// Disk space that must stay free, in MiB: the least that can be set.
const DISK_RESERVE_MB: u64 = 16;

/// How much traffic.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How long events are published, 1 to 300
    #[arg(long, default_value_t = 8.0, value_parser = seconds)]
    seconds: f64,
    /// Events a second, 1 to 500
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=500))]
    rate: u32,
}

pub(crate) async fn run(args: DemoArgs, output: Output) -> anyhow::Result<ExitCode> {
    let directory = tempfile::Builder::new()
        .prefix("postrider-demo-")
        .tempdir()
        .context("there is no directory for the demo's database")?;
    let token = operator_token()?;
    let running = Running::start(&config(directory.path(), &token)).await?;
    let client = Client::new(&format!("http://{}", running.address), &token)?;
    let played = tokio::select! {
        played = play(&args, running.address, &client, output) => played.map(Some),
        () = running.engine.failed() => Err(anyhow::anyhow!("the engine stopped in the middle of the demo")),
        _ = tokio::signal::ctrl_c() => Ok(None),
    };
    running.stop().await;
    let Some(summary) = played? else { bail!("interrupted") };
    if output.json {
        output.line(&serde_json::to_string(&summary)?)?;
    } else {
        output.line(&summary.text())?;
        if summary.adds_up {
            output.line(&format!("\n{NEXT}"))?;
        }
    }
    Ok(if summary.adds_up { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

/// What to do after it.
const NEXT: &str = "What to try next:
  postrider serve --dev           a server of your own; the README's five-minute tour goes on from there
  postrider demo --rate 300       the same with more traffic (--seconds for longer, --json for programs)
  postrider bench                 how fast this machine delivers, beside the direct limit";

/// Sets the stage, publishes, waits, and compares.
async fn play(
    args: &DemoArgs,
    server: SocketAddr,
    client: &Client,
    output: Output,
) -> anyhow::Result<Summary> {
    let total = (args.seconds * f64::from(args.rate)).ceil() as u64;
    let (receiver, address) = Receiver::start(args.seconds).await?;
    let endpoints = set_up(client, &receiver, address).await?;
    if !output.json {
        output.line(&format!(
            "A server on http://{} and a receiver on http://{address}, both in this process.\n\
             {} tenants with {} endpoints get {total} card events in {} s; the receiver verifies each signature.\n",
            server,
            TENANTS.len(),
            CAST.len(),
            args.seconds,
        ))?;
    }
    let progress = Progress::default();
    let mut live = Live::new(output.json, client, &endpoints, &receiver, &progress);
    let acts = async {
        let publishing = |tenant| publish(client, tenant, total, args.rate, &progress);
        tokio::try_join!(publishing(0), publishing(1), publishing(2))?;
        settle(client, &receiver, &progress).await
    };
    tokio::select! {
        done = acts => done?,
        never = live.run() => never,
    }
    live.clear();
    Summary::gather(client, &endpoints, &receiver, &progress).await
}

/// Makes tenants and endpoints through the API, and tells the receiver their secrets.
async fn set_up(client: &Client, receiver: &Receiver, address: SocketAddr) -> anyhow::Result<Vec<Endpoint>> {
    for tenant in TENANTS {
        let spec = TenantSpec { name: tenant.into(), ..TenantSpec::default() };
        client.put_tenant(tenant, &spec).await?;
    }
    let mut endpoints = Vec::with_capacity(CAST.len());
    for (at, part) in CAST.iter().enumerate() {
        let spec = part.spec(format!("http://{address}/{at}"));
        let endpoint = client.create_endpoint(part.tenant_id(), &spec).await?.into_value();
        let secret = client.endpoint_secret(part.tenant_id(), &endpoint.id).await?;
        receiver.trust(at, &secret.secret)?;
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

/// Waits until nothing is pending, with a bound: the summary tells what is left.
async fn settle(client: &Client, receiver: &Receiver, progress: &Progress) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let taken: u64 = (0..CAST.len()).map(|at| receiver.ledger().tally(at).taken).sum();
        if taken >= progress.owed() && nothing_pending(client).await? {
            break;
        }
        sleep(LOOK).await;
    }
    sleep(LINGER).await;
    Ok(())
}

async fn nothing_pending(client: &Client) -> anyhow::Result<bool> {
    let pending = DeliveryFilter { status: Some("pending".into()), ..DeliveryFilter::default() };
    let first = PageRequest { limit: Some(1), cursor: None };
    for tenant in TENANTS {
        let page = client.list_deliveries(tenant, &pending, &first).await?;
        if !page.data.is_empty() || page.next_cursor.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn config(directory: &Path, token: &str) -> Config {
    Config {
        listen: "127.0.0.1:0".into(),
        database: format!("sqlite:{}", directory.join("postrider.db").display()),
        dev: true,
        admin_token: Some(Secret::new(token.into())),
        retry_schedule_s: SCHEDULE_S.to_vec(),
        disk_reserve_mb: DISK_RESERVE_MB,
        breaker: Breaker {
            probe_initial_s: PROBES_S.0,
            probe_max_s: PROBES_S.1,
            ..Config::default().breaker
        },
        ..Config::default()
    }
}

/// A token for this run alone, which nobody else learns.
fn operator_token() -> anyhow::Result<String> {
    let mut random = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow::anyhow!("the system gives no randomness"))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (1.0..=300.0).contains(&seconds) => Ok(seconds),
        _ => Err("it must be 1 to 300".into()),
    }
}
