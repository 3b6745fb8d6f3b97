//! `postrider serve`: the store, the engine and the API in one process, from start to clean stop.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use postrider_core::breaker::BreakerConfig;
use postrider_core::card::{AuthenticationData, CardPolicy, Numbers};
use postrider_core::node::NodeConfig;
use postrider_core::profile::Profiles;
use postrider_dispatch::{DispatchConfig, Dispatcher, HickoryResolver, TcpDial, UrlPolicy};
use postrider_engine::{AdminToken, Engine, EngineConfig, Workers, WriterConfig};
use postrider_server::{ServerConfig, Surface};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::config::{
    CardAuthentication, CardNumbers, Config, ConfigFlags, LogFormat, environment, load, signing_key,
};
use crate::database::{self, Database};
use crate::exit::Usage;

/// What follows the database's name in that of the file with the operator's token.
const TOKEN_SUFFIX: &str = ".admin-token";
/// Open files wanted: each connection in or out takes one.
const OPEN_FILES: u64 = 65_536;

/// Runs the server until it is told to stop.
pub(crate) async fn run(flags: &ConfigFlags) -> anyhow::Result<ExitCode> {
    let config = load(flags, environment()).into_config()?;
    start_log(&config);
    let stop = stop_signal()?;
    let running = Running::start(&config).await?;
    say(&format!("listening on http://{}", running.address));
    match &running.admin_token {
        AdminToken::Made { token, file } => {
            eprintln_line(&format!("the operator's token is in {}", file.display()));
            if io::stderr().is_terminal() {
                eprintln_line(&format!("operator's token (shown once): {}", token.reveal()));
            }
        }
        AdminToken::Kept { file } => tracing::info!(
            "the operator's token is that of an earlier start, which wrote it to {} if it made it; \
             POSTRIDER_ADMIN_TOKEN replaces one that is lost",
            file.display()
        ),
        AdminToken::Configured => {}
    }
    let healthy = tokio::select! {
        () = stop => true,
        () = running.engine.failed() => false,
    };
    tracing::info!("stopping");
    running.stop().await;
    if healthy {
        Ok(ExitCode::SUCCESS)
    } else {
        bail!("the engine cannot go on; the log says why. What was acknowledged is on the disk: start again")
    }
}

/// A server that runs in this process.
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its engine.
    pub(crate) engine: Engine,
    /// Where the operator's token came from.
    pub(crate) admin_token: AdminToken,
    grace: Duration,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<io::Result<()>>,
}

impl Running {
    /// Opens the store, starts the engine, and listens.
    pub(crate) async fn start(config: &Config) -> anyhow::Result<Self> {
        let listen = config.listen_address().context("listen must be an address and a port")?;
        if config.dev && !listen.ip().is_loopback() {
            return Err(Usage(format!(
                "--dev allows loopback endpoints and so may listen on loopback only, not on {listen}: drop --dev or \
                 set listen = \"127.0.0.1:8700\""
            ))
            .into());
        }
        raise_open_files();
        let database = Database::of(config)?;
        // Listening first: a port in use must not touch the database.
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        let path = database.path.clone();
        let (store, writer, key) = tokio::task::spawn_blocking(move || database.open()).await??;
        let directory = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        let dispatcher = dispatcher(config)?;
        let engine =
            Engine::start(engine_config(config, &directory)?, store, Box::new(writer), dispatcher, key)
                .await?;
        engine.ensure_operator().await?;
        let configured = config.admin_token.as_ref().map(|token| token.expose().to_owned());
        let token_file = database::beside(&path, TOKEN_SUFFIX);
        let admin_token = engine.ensure_admin_token(configured.as_deref(), &token_file).await?;
        let grace = Duration::from_secs(config.shutdown_grace_s);
        let (stop, stopped) = oneshot::channel();
        let server_config = ServerConfig { grace: grace / 2, ..ServerConfig::default() };
        let surface = config.surface.as_deref().and_then(Surface::named);
        let stopped = async {
            // A dropped sender stops it too.
            let _ = stopped.await;
        };
        let metrics = metrics_recorder();
        let serving =
            postrider_server::serve(listener, engine.clone(), metrics, surface, server_config, stopped);
        let server = tokio::spawn(serving);
        Ok(Self { address, engine, admin_token, grace, stop, server })
    }

    /// Stops accepting, finishes what is under way within the grace time, and closes the store.
    pub(crate) async fn stop(self) {
        let begun = std::time::Instant::now();
        let _ = self.stop.send(());
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the server ended with an error"),
            Err(error) => tracing::error!(%error, "the server ended abnormally"),
        }
        self.engine.stop(self.grace.saturating_sub(begun.elapsed())).await;
    }
}

fn engine_config(config: &Config, directory: &Path) -> anyhow::Result<EngineConfig> {
    let seconds = Duration::from_secs_f64;
    let days = |days: f64| Duration::from_secs_f64(days * 86_400.0);
    let node = NodeConfig {
        breaker: BreakerConfig {
            failures: config.breaker.failures,
            probe_initial: seconds(config.breaker.probe_initial_s),
            probe_max: seconds(config.breaker.probe_max_s),
        },
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1000, checked on loading"
        )]
        jitter_permille: (config.retry_jitter * 1_000.0) as u32,
        window_entries: usize::try_from(config.window_entries)?,
        window_bytes: usize::try_from(config.window_bytes)?,
        max_in_flight: usize::try_from(config.max_in_flight_total)?,
        backlog_max: config.backlog_max,
        pending_max: days(config.pending_max_days),
        ..NodeConfig::default()
    };
    let fourpay = signing_key(config).and_then(Result::ok);
    let fourpay =
        fourpay.map(|key| Ok::<_, anyhow::Error>(("fourpay".parse().map_err(anyhow::Error::msg)?, key)));
    Ok(EngineConfig {
        profiles: Arc::new(profiles_in_force(config)?),
        signing_keys: fourpay.into_iter().collect::<Result<_, _>>()?,
        url_policy: url_policy(config)?,
        default_schedule: config.retry_schedule_s.iter().copied().map(seconds).collect(),
        disable_after: days(config.disable_after_days),
        cards: card_policy(config),
        // No profile of this version asks for one.
        max_event_bytes: usize::try_from(config.max_event_bytes)?,
        max_batch_bytes: usize::try_from(config.max_batch_bytes)?,
        node,
        workers: Workers::start(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))?,
        writer: WriterConfig {
            retention: days(config.retention_days),
            disk_reserve: config.disk_reserve_mb << 20,
            directory: Some(directory.to_path_buf()),
        },
    })
}

/// The profiles as the server uses them.
fn profiles_in_force(config: &Config) -> Result<Profiles, Usage> {
    let mut profiles = profiles(config.profiles_dir.as_deref())?;
    if !config.opencard.check_products {
        profiles.open_types("opencard");
    }
    Ok(profiles)
}

/// The profiles that come with the server, and those of the operator's folder.
///
/// # Errors
/// All that is wrong with the folder.
pub(crate) fn profiles(folder: Option<&Path>) -> Result<Profiles, Usage> {
    let mut profiles = postrider_profiles::built_in();
    let Some(folder) = folder else { return Ok(profiles) };
    match postrider_profiles::load(folder, &mut profiles) {
        Ok(()) => Ok(profiles),
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
            Err(Usage(format!("the profiles in profiles_dir cannot be used:{}", faults.concat())))
        }
    }
}

fn card_policy(config: &Config) -> CardPolicy {
    let numbers = match config.card_guard.numbers {
        CardNumbers::Reject => Numbers::Reject,
        CardNumbers::Mask => Numbers::Mask,
        CardNumbers::Allow => Numbers::Allow,
    };
    let authentication_data = match config.card_guard.authentication_data {
        CardAuthentication::Reject => AuthenticationData::Reject,
        CardAuthentication::Strip => AuthenticationData::Strip,
    };
    CardPolicy::new(numbers, authentication_data)
}

fn url_policy(config: &Config) -> anyhow::Result<UrlPolicy> {
    let nat64_prefixes = config
        .outbound
        .nat64_prefixes
        .iter()
        .map(|prefix| {
            prefix.parse().map_err(|error| anyhow::anyhow!("outbound.nat64_prefixes: {prefix}: {error}"))
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(UrlPolicy {
        allow_loopback: config.dev,
        allow_private: config.outbound.allow_private,
        nat64_prefixes,
        own_addresses: postrider_dispatch::own_addresses()
            .context("this host's own addresses cannot be listed")?,
    })
}

fn dispatcher(config: &Config) -> anyhow::Result<Dispatcher> {
    let extra_roots = match &config.outbound.extra_ca_file {
        Some(file) => postrider_dispatch::load_roots(file)?,
        None => Vec::new(),
    };
    let dispatch = DispatchConfig {
        policy: url_policy(config)?,
        connect_timeout: Duration::from_millis(config.outbound.connect_timeout_ms),
        max_connection_age: Duration::from_secs(config.outbound.connection_max_age_s),
        extra_roots,
        ..DispatchConfig::default()
    };
    let resolver =
        HickoryResolver::from_system().context("the system's resolver configuration cannot be used")?;
    Ok(Dispatcher::new(dispatch, Arc::new(resolver), Arc::new(TcpDial))?)
}

/// Every connection takes an open file; the soft limit is often far below what the system allows.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(OPEN_FILES, |most| most.min(OPEN_FILES));
    if limit.current.is_some_and(|now| now < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
}

/// The process's metrics; `None` if somebody in this process records them already.
fn metrics_recorder() -> Option<metrics_exporter_prometheus::PrometheusHandle> {
    metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().ok()
}

fn start_log(config: &Config) {
    // What a new database is made with concerns nobody who did not ask for it.
    let filter = tracing_subscriber::EnvFilter::try_new(format!("refinery_core=warn,{}", config.log))
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colours = io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    // A log that was started before (by a test) stays.
    let _ = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// Ready when the process is asked to stop.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    // Whoever started us may have closed the pipe: the server serves all the same.
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn eprintln_line(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
