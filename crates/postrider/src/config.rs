//! Configuration: defaults < `postrider.toml` < `POSTRIDER_*` environment < flags, with every fault reported at once.

mod check;
mod load;
mod secret;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

pub(crate) use check::{describe, signing_key};
pub(crate) use load::{ConfigError, Fault, environment, load};
pub(crate) use secret::Secret;

/// The file read from the working directory when no other is named; it may be absent.
pub(crate) const DEFAULT_FILE: &str = "postrider.toml";

/// Flags that take part in the configuration.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigFlags {
    /// Configuration file [default: postrider.toml, if there is one]
    #[arg(long, value_name = "FILE", env = "POSTRIDER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// For development: allow endpoints on loopback, plain http included; listen on loopback only
    #[arg(long)]
    pub(crate) dev: bool,
    /// Address to listen on
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
    /// Database, such as sqlite:./postrider.db
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// Folder with profiles of your own, one folder each
    #[arg(long, value_name = "DIR")]
    pub(crate) profiles_dir: Option<String>,
}

/// Everything the server can be told. Ranges are in [`check`]; `postrider.example.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Address and port to listen on.
    pub(crate) listen: String,
    /// `sqlite:` and a path.
    pub(crate) database: String,
    /// A folder with profiles of the operator's own.
    pub(crate) profiles_dir: Option<PathBuf>,
    /// The platform whose management API is found at `/` too.
    pub(crate) surface: Option<String>,
    /// Loopback endpoints allowed, listening beyond loopback refused.
    pub(crate) dev: bool,
    /// The operator's token.
    pub(crate) admin_token: Option<Secret>,
    /// The master key, in base64.
    pub(crate) master_key: Option<Secret>,
    /// A file that holds the master key; beside the database if neither is set.
    pub(crate) master_key_file: Option<PathBuf>,
    /// The master key of before, where it changes.
    pub(crate) previous_master_key: Option<Secret>,
    /// Which log lines are written.
    pub(crate) log: String,
    /// In which form.
    pub(crate) log_format: LogFormat,
    /// How long finished work is kept, in days.
    pub(crate) retention_days: f64,
    /// When pending work expires, in days.
    pub(crate) pending_max_days: f64,
    /// How long a stop waits for work under way, in seconds.
    pub(crate) shutdown_grace_s: u64,
    /// Largest event, in bytes.
    pub(crate) max_event_bytes: u64,
    /// Largest batch, in bytes.
    pub(crate) max_batch_bytes: u64,
    /// Waits before the second and each further attempt, in seconds.
    pub(crate) retry_schedule_s: Vec<f64>,
    /// By how much each wait varies, as a part of it.
    pub(crate) retry_jitter: f64,
    /// When an endpoint that only fails is disabled, in days.
    pub(crate) disable_after_days: f64,
    /// Disk space kept free for outcomes, in MiB.
    pub(crate) disk_reserve_mb: u64,
    /// Pending deliveries of one endpoint at most.
    pub(crate) backlog_max: u64,
    /// Due deliveries in memory at most.
    pub(crate) window_entries: u64,
    /// Bodies of due deliveries in memory at most, in bytes.
    pub(crate) window_bytes: u64,
    /// Attempts under way at most, over all endpoints.
    pub(crate) max_in_flight_total: u32,
    /// Outgoing connections.
    pub(crate) outbound: Outbound,
    /// When an endpoint's circuit opens and is probed.
    pub(crate) breaker: Breaker,
    /// What becomes of card data in events.
    pub(crate) card_guard: CardGuard,
    /// What is set for profile fourpay.
    pub(crate) fourpay: Fourpay,
    /// What is set for profile opencard.
    pub(crate) opencard: Opencard,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Outgoing connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outbound {
    /// For a connection to be made, in milliseconds.
    pub(crate) connect_timeout_ms: u64,
    /// When a connection is not used again, in seconds.
    pub(crate) connection_max_age_s: u64,
    /// Endpoints in private networks, plain http included.
    pub(crate) allow_private: bool,
    /// PEM file of certificate authorities trusted beside the public ones.
    pub(crate) extra_ca_file: Option<PathBuf>,
    /// IPv6 prefixes in which this network embeds IPv4 addresses (RFC 6052).
    pub(crate) nat64_prefixes: Vec<String>,
}

/// When an endpoint's circuit opens and is probed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Breaker {
    /// Consecutive failures that open it.
    pub(crate) failures: u32,
    /// The first probe after it opened, in seconds; each further wait doubles.
    pub(crate) probe_initial_s: f64,
    /// The longest wait between probes, in seconds.
    pub(crate) probe_max_s: f64,
}

/// What becomes of card data in the events of tenants that have no policy of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardGuard {
    /// Of card numbers.
    pub(crate) numbers: CardNumbers,
    /// Of verification codes, PINs and tracks.
    pub(crate) authentication_data: CardAuthentication,
}

/// What is set for profile fourpay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fourpay {
    /// What signs deliveries of endpoints that have no secret; one is made if it is not set.
    pub(crate) signing_key: Option<Secret>,
}

/// What is set for profile opencard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opencard {
    /// Whether a tenant gets only the types that its products, which are its integrations, allow.
    pub(crate) check_products: bool,
}

/// What becomes of card numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CardNumbers {
    /// The event is refused.
    Reject,
    /// The digits in the middle are hidden.
    Mask,
    /// They are let through.
    Allow,
}

/// What becomes of what authenticates a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CardAuthentication {
    /// The event is refused.
    Reject,
    /// The value is taken out.
    Strip,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8700".into(),
            database: "sqlite:./postrider.db".into(),
            profiles_dir: None,
            surface: None,
            dev: false,
            admin_token: None,
            master_key: None,
            master_key_file: None,
            previous_master_key: None,
            log: "info".into(),
            log_format: LogFormat::Text,
            retention_days: 30.0,
            pending_max_days: 14.0,
            shutdown_grace_s: 20,
            max_event_bytes: 256 << 10,
            max_batch_bytes: 8 << 20,
            // 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h
            retry_schedule_s: vec![
                5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0,
            ],
            retry_jitter: 0.2,
            disable_after_days: 5.0,
            disk_reserve_mb: 256,
            backlog_max: 10_000_000,
            window_entries: 65_536,
            window_bytes: 64 << 20,
            max_in_flight_total: 2_048,
            outbound: Outbound {
                connect_timeout_ms: 5_000,
                connection_max_age_s: 300,
                allow_private: false,
                extra_ca_file: None,
                nat64_prefixes: Vec::new(),
            },
            breaker: Breaker { failures: 5, probe_initial_s: 5.0, probe_max_s: 300.0 },
            card_guard: CardGuard {
                numbers: CardNumbers::Reject,
                authentication_data: CardAuthentication::Reject,
            },
            fourpay: Fourpay { signing_key: None },
            opencard: Opencard { check_products: false },
        }
    }
}

impl Config {
    /// The address to listen on; `None` only in a configuration that [`check`] refuses.
    pub(crate) fn listen_address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    /// Where commands on this machine reach the server: the address it listens on, loopback for a wildcard.
    pub(crate) fn local_url(&self) -> Option<String> {
        let mut address = self.listen_address()?;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(format!("http://{address}"))
    }
}
