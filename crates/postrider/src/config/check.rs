//! What each value may be, and how the effective configuration is shown.

use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use figment::Provider;
use figment::providers::Serialized;
use figment::value::Value;
use postrider_core::seal::MasterKey;
use postrider_core::secret::SigningSecret;
use postrider_server::Surface;

use super::Config;
use super::load::{Fault, Loaded, SECRET_KEYS, leaves};
use super::secret::MASK;

/// Fewest characters of the operator's token.
const ADMIN_TOKEN_MIN_CHARS: usize = 32;
/// Steps of a retry schedule at most.
const RETRY_STEPS_MAX: usize = 50;
/// NAT64 prefixes at most.
const NAT64_PREFIXES_MAX: usize = 16;
/// Prefix lengths that can embed an IPv4 address (RFC 6052 section 2.2).
const NAT64_LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// Everything that is out of range.
pub(super) fn faults(config: &Config, source: impl Fn(&str) -> String) -> Vec<Fault> {
    let mut found = Found { faults: Vec::new(), source: &source };
    listen(config, &mut found);
    database(config, &mut found);
    admin_token(config, &mut found);
    master_keys(config, &mut found);
    log(config, &mut found);
    ranges(config, &mut found);
    retry(config, &mut found);
    nat64(config, &mut found);
    signing_keys(config, &mut found);
    surface(config, &mut found);
    found.faults
}

struct Found<'a> {
    faults: Vec<Fault>,
    source: &'a dyn Fn(&str) -> String,
}

impl Found<'_> {
    fn push(&mut self, key: &str, message: impl Into<String>) {
        self.faults.push(Fault { key: key.into(), source: (self.source)(key), message: message.into() });
    }
}

fn listen(config: &Config, found: &mut Found<'_>) {
    match config.listen.parse::<SocketAddr>() {
        Err(_) => found.push(
            "listen",
            format!(
                "{:?} is not an IP address with a port; write for instance 127.0.0.1:8700",
                config.listen
            ),
        ),
        Ok(address) if config.dev && !address.ip().is_loopback() => found.push(
            "listen",
            format!(
                "{address} is reached from other machines, which `dev` forbids; use 127.0.0.1 or drop `dev`"
            ),
        ),
        Ok(_) => {}
    }
}

fn database(config: &Config, found: &mut Found<'_>) {
    match config.database.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() && !path.starts_with(':') => {}
        Some(("sqlite", _)) => {
            found.push(
                "database",
                "must name a file, for instance sqlite:./postrider.db; memory is not durable",
            );
        }
        Some(("postgres" | "postgresql", _)) => {
            found.push("database", "this version has no PostgreSQL engine; use sqlite: and a path");
        }
        _ => found.push("database", "must be sqlite: and a path, for instance sqlite:./postrider.db"),
    }
}

fn admin_token(config: &Config, found: &mut Found<'_>) {
    let Some(token) = &config.admin_token else { return };
    let token = token.expose();
    if token.chars().count() < ADMIN_TOKEN_MIN_CHARS {
        found.push(
            "admin_token",
            format!("has fewer than {ADMIN_TOKEN_MIN_CHARS} characters; make one with: openssl rand -hex 32"),
        );
    }
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        found.push("admin_token", "may hold only visible ASCII characters, since it travels in a header");
    }
}

fn master_keys(config: &Config, found: &mut Found<'_>) {
    let keys = [("master_key", &config.master_key), ("previous_master_key", &config.previous_master_key)];
    for (name, key) in keys {
        if let Some(Err(form)) = key.as_ref().map(|key| MasterKey::parse(key.expose())) {
            found.push(name, form);
        }
    }
}

fn signing_keys(config: &Config, found: &mut Found<'_>) {
    if let Some(Err(form)) = signing_key(config) {
        found.push("fourpay.signing_key", form);
    }
}

fn surface(config: &Config, found: &mut Found<'_>) {
    if let Some(name) = &config.surface
        && Surface::named(name).is_none()
    {
        let names: Vec<&str> = Surface::names().collect();
        found.push("surface", format!("{name:?} is not one of {}", names.join(", ")));
    }
}

/// What signs for fourpay's endpoints that have no secret.
pub(crate) fn signing_key(config: &Config) -> Option<Result<SigningSecret, &'static str>> {
    let key = config.fourpay.signing_key.as_ref()?;
    Some(SigningSecret::of_text(postrider_core::secret::Secret::new(key.expose())))
}

fn log(config: &Config, found: &mut Found<'_>) {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in config.log.split(',').map(str::trim) {
        // The filter's own grammar takes a misspelt level for the name of a module and would log everything of it.
        let is_word = directive.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if is_word && !LEVELS.contains(&directive.to_ascii_lowercase().as_str()) {
            found.push(
                "log",
                format!("{directive:?} is not a level; use off, error, warn, info, debug, trace, or a filter such as info,hyper=debug"),
            );
            return;
        }
    }
    if let Err(e) = tracing_subscriber::EnvFilter::try_new(&config.log) {
        found.push("log", format!("is not a filter ({e}); write for instance info,hyper=debug"));
    }
}

fn ranges(config: &Config, found: &mut Found<'_>) {
    let outbound = &config.outbound;
    let breaker = &config.breaker;
    let whole: [(&str, u64, RangeInclusive<u64>); 11] = [
        ("shutdown_grace_s", config.shutdown_grace_s, 0..=600),
        ("max_event_bytes", config.max_event_bytes, 1_024..=(16 << 20)),
        ("max_batch_bytes", config.max_batch_bytes, 1_024..=(64 << 20)),
        ("disk_reserve_mb", config.disk_reserve_mb, 1..=(1 << 20)),
        ("backlog_max", config.backlog_max, 1..=1_000_000_000),
        ("window_entries", config.window_entries, 64..=(1 << 24)),
        ("window_bytes", config.window_bytes, (1 << 20)..=(64 << 30)),
        ("max_in_flight_total", config.max_in_flight_total.into(), 1..=65_536),
        ("outbound.connect_timeout_ms", outbound.connect_timeout_ms, 100..=60_000),
        ("outbound.connection_max_age_s", outbound.connection_max_age_s, 1..=86_400),
        ("breaker.failures", breaker.failures.into(), 1..=1_000),
    ];
    for (key, value, range) in whole {
        if !range.contains(&value) {
            found.push(key, format!("is {value}; it must be {} to {}", range.start(), range.end()));
        }
    }
    // Parts of a day or second are allowed: whoever tries the server out does not want to wait.
    let fractions: [(&str, f64, RangeInclusive<f64>); 5] = [
        ("retention_days", config.retention_days, 0.000_01..=3_650.0),
        ("pending_max_days", config.pending_max_days, 0.000_01..=365.0),
        ("disable_after_days", config.disable_after_days, 0.000_01..=365.0),
        ("breaker.probe_initial_s", breaker.probe_initial_s, 0.01..=3_600.0),
        ("breaker.probe_max_s", breaker.probe_max_s, 0.01..=86_400.0),
    ];
    for (key, value, range) in fractions {
        if !range.contains(&value) {
            found.push(key, format!("is {value}; it must be {} to {}", range.start(), range.end()));
        }
    }
    if config.max_batch_bytes < config.max_event_bytes {
        found.push("max_batch_bytes", "is less than max_event_bytes; a batch must hold at least one event");
    }
    if config.window_bytes < config.max_event_bytes {
        found.push("window_bytes", "is less than max_event_bytes; the window must hold at least one event");
    }
    if breaker.probe_max_s < breaker.probe_initial_s {
        found.push("breaker.probe_max_s", "is less than breaker.probe_initial_s; make it as long or longer");
    }
}

fn retry(config: &Config, found: &mut Found<'_>) {
    let schedule = &config.retry_schedule_s;
    if schedule.len() > RETRY_STEPS_MAX {
        found.push("retry_schedule_s", format!("has {} steps; at most {RETRY_STEPS_MAX}", schedule.len()));
    }
    if let Some(step) = schedule.iter().find(|step| !(0.01..=2_592_000.0).contains(*step)) {
        found.push(
            "retry_schedule_s",
            format!("has a step of {step} s; each must be 0.01 to 2592000 (30 days)"),
        );
    }
    if !(0.0..=1.0).contains(&config.retry_jitter) {
        found.push("retry_jitter", format!("is {}; it must be 0 to 1 (0.2 is ±20 %)", config.retry_jitter));
    }
}

fn nat64(config: &Config, found: &mut Found<'_>) {
    let key = "outbound.nat64_prefixes";
    let prefixes = &config.outbound.nat64_prefixes;
    if prefixes.len() > NAT64_PREFIXES_MAX {
        found.push(key, format!("has {} prefixes; at most {NAT64_PREFIXES_MAX}", prefixes.len()));
    }
    for prefix in prefixes {
        let usable = prefix.split_once('/').is_some_and(|(address, length)| {
            address.parse::<Ipv6Addr>().is_ok()
                && length.parse::<u8>().is_ok_and(|length| NAT64_LENGTHS.contains(&length))
        });
        if !usable {
            found.push(
                key,
                format!(
                    "{prefix:?} is not an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, such as 64:ff9b::/96"
                ),
            );
        }
    }
}

/// Key, value as TOML writes it, and source of each setting; secrets are masked.
pub(crate) fn describe(loaded: &Loaded) -> Vec<(String, String, String)> {
    leaves(&Serialized::defaults(&loaded.config).data())
        .into_iter()
        .map(|(key, value)| {
            let shown = if SECRET_KEYS.contains(&key.as_str()) && !matches!(value, Value::Empty(..)) {
                MASK.to_owned()
            } else {
                show(&value)
            };
            let source = loaded.source(&key).to_owned();
            (key, mask_password(shown), source)
        })
        .collect()
}

fn show(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, c) => format!("{:?}", c.to_string()),
        Value::Bool(_, yes) => yes.to_string(),
        Value::Num(_, number) => number
            .to_u128()
            .map(|n| n.to_string())
            .or_else(|| number.to_i128().map(|n| n.to_string()))
            .or_else(|| number.to_f64().map(|n| n.to_string()))
            .unwrap_or_default(),
        Value::Array(_, items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Dict(..) => "{}".into(),
        Value::Empty(..) => "(not set)".into(),
    }
}

/// `scheme://user:password@host` without the password.
fn mask_password(text: String) -> String {
    let Some(start) = text.find("://").map(|at| at + 3) else { return text };
    let Some(end) = text[start..].rfind('@').map(|at| at + start) else { return text };
    match text[start..end].find(':') {
        Some(colon) => format!("{}:{MASK}{}", &text[..start + colon], &text[end..]),
        None => text,
    }
}
