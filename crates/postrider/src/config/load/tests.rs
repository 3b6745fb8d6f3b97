use std::io::Write;

use super::*;
use crate::config::{LogFormat, describe};

/// A configuration file that lives as long as the test needs it.
fn file(text: &str) -> (tempfile::NamedTempFile, ConfigFlags) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let flags = ConfigFlags { config: Some(file.path().to_path_buf()), ..ConfigFlags::default() };
    (file, flags)
}

fn env(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn faults(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let (_file, flags) = file(text);
    load(&flags, env(variables))
        .faults
        .iter()
        .map(|fault| format!("{}: {}", fault.key, fault.message))
        .collect()
}

#[test]
fn the_defaults_have_no_faults() {
    let (_file, flags) = file("");
    let loaded = load(&flags, env(&[]));
    assert_eq!(loaded.faults, []);
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let (_file, mut flags) = file(
        "listen = \"127.0.0.1:1\"\nlog = \"warn\"\nretention_days = 7\n[outbound]\nconnection_max_age_s = 3\n",
    );
    flags.listen = Some("127.0.0.1:3".into());
    flags.dev = true;
    let variables = env(&[
        ("POSTRIDER_LISTEN", "127.0.0.1:2"),
        ("POSTRIDER_LOG", "debug"),
        ("POSTRIDER_LOG_FORMAT", "json"),
        ("POSTRIDER_OUTBOUND__CONNECT_TIMEOUT_MS", "900"),
        ("POSTRIDER_RETRY_SCHEDULE_S", "[1, 2]"),
        ("POSTRIDER_RETRY_JITTER", "0"),
        ("POSTRIDER_URL", "http://elsewhere"),
        ("PATH", "/bin"),
    ]);
    let loaded = load(&flags, variables);
    assert_eq!(loaded.faults, []);
    let config = &loaded.config;
    assert_eq!((config.listen.as_str(), config.log.as_str()), ("127.0.0.1:3", "debug"));
    assert_eq!((config.retention_days, config.log_format), (7.0, LogFormat::Json));
    assert_eq!((config.outbound.connection_max_age_s, config.outbound.connect_timeout_ms), (3, 900));
    assert_eq!(
        (config.retry_schedule_s.clone(), config.retry_jitter, config.dev),
        (vec![1.0, 2.0], 0.0, true)
    );
    assert_eq!(loaded.source("listen"), "flag --listen");
    assert_eq!(loaded.source("log"), "environment variable POSTRIDER_LOG");
    assert!(loaded.source("retention_days").ends_with(&*flags.config.unwrap().to_string_lossy()));
    assert_eq!(loaded.source("database"), "default");
}

#[test]
fn texts_in_the_environment_stay_texts() {
    let digits = "12345678901234567890123456789012";
    let (_file, flags) = file("");
    let loaded = load(&flags, env(&[("POSTRIDER_ADMIN_TOKEN", digits)]));
    assert_eq!(loaded.faults, []);
    assert_eq!(loaded.config.admin_token.unwrap().expose(), digits);
}

#[test]
fn variables_of_commands_and_of_kubernetes_are_no_settings() {
    let variables = [
        ("POSTRIDER_TOKEN", "t"),
        ("POSTRIDER_SECRET", "whsec_AAAA"),
        ("POSTRIDER_SERVICE_HOST", "10.0.0.1"),
        ("POSTRIDER_PORT", "tcp://10.0.0.1:80"),
        ("POSTRIDER_PORT_80_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(faults("", &variables), [] as [String; 0]);
}

#[test]
fn every_fault_is_reported_at_once_with_its_source() {
    let (_file, flags) = file(
        "lisen = \"x\"\nretention_days = 0\nlog = \"worn\"\n[outbound]\nallow_privat = true\nconnect_timeout_ms = \"many\"\n[shards]\ncount = 3\n",
    );
    let loaded = load(&flags, env(&[("POSTRIDER_PENDING_MAX_DAYS", "soon"), ("POSTRIDER_FOO", "1")]));
    let path = flags.config.unwrap().display().to_string();
    let found: Vec<String> = loaded.faults.iter().map(ToString::to_string).collect();
    let expected = [
        format!("lisen ({path}): is not a known key; did you mean `listen`?"),
        format!("outbound.allow_privat ({path}): is not a known key; did you mean `outbound.allow_private`?"),
        format!("outbound.connect_timeout_ms ({path}): must be u64, but is string \"many\""),
        format!("shards.count ({path}): is not a known key; remove it (postrider.example.toml lists all keys)"),
        "foo (environment variable POSTRIDER_FOO): is not a known key; remove it (postrider.example.toml lists all keys)"
            .into(),
        "pending_max_days (environment variable POSTRIDER_PENDING_MAX_DAYS): must be f64, but is string \"soon\"".into(),
        format!("log ({path}): \"worn\" is not a level; use off, error, warn, info, debug, trace, or a filter such as info,hyper=debug"),
        format!("retention_days ({path}): is 0; it must be 0.00001 to 3650"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_key_in_the_wrong_table_is_pointed_home() {
    assert_eq!(
        faults("allow_private = true\n", &[]),
        ["allow_private: is not a known key; did you mean `outbound.allow_private`?"]
    );
    assert_eq!(faults("outbound = 3\n", &[]), ["outbound: is a table; set the keys in it"]);
}

#[test]
fn values_out_of_range_are_refused() {
    let token = "short";
    let cases: [(&str, &str); 22] = [
        ("listen = \"localhost:8700\"", "listen: "),
        ("dev = true\nlisten = \"0.0.0.0:8700\"", "listen: 0.0.0.0:8700 is reached from other machines"),
        ("database = \"mysql:x\"", "database: must be sqlite:"),
        ("database = \"sqlite::memory:\"", "database: must name a file"),
        ("database = \"postgres://u:hunter2@h/db\"", "database: this version has no PostgreSQL"),
        ("admin_token = \"hunter2\"", "admin_token: has fewer than 32"),
        ("admin_token = \"hunter2hunter2hunter2hunter2 hunter2\"", "admin_token: may hold only visible"),
        ("admin_token = 5", "admin_token: must be a text"),
        ("master_key = \"hunter2\"", "master_key: must be the base64 of 32 bytes"),
        ("master_key = 5", "master_key: must be a text"),
        (
            "previous_master_key = \"aHVudGVyMg==hunter2\"",
            "previous_master_key: must be the base64 of 32 bytes",
        ),
        ("log = \"info,,\"", "log: "),
        ("log_format = \"xml\"", "log_format: "),
        ("max_batch_bytes = 2048\nmax_event_bytes = 4096", "max_batch_bytes: is less than"),
        ("window_bytes = 1048576\nmax_event_bytes = 2097152", "window_bytes: is less than"),
        ("retry_schedule_s = [0]", "retry_schedule_s: has a step of 0 s"),
        ("retry_schedule_s = [5, -1]", "retry_schedule_s: "),
        ("retry_jitter = 1.5", "retry_jitter: is 1.5"),
        ("retry_jitter = nan", "retry_jitter: is NaN"),
        ("[breaker]\nprobe_initial_s = 60\nprobe_max_s = 30", "breaker.probe_max_s: is less than"),
        (
            "[outbound]\nnat64_prefixes = [\"64:ff9b::/96\", \"10.0.0.0/8\"]",
            "outbound.nat64_prefixes: \"10.0.0.0/8\"",
        ),
        ("[outbound]\nconnect_timeout_ms = 0", "outbound.connect_timeout_ms: is 0; it must be 100 to 60000"),
    ];
    for (text, expected) in cases {
        let found = faults(text, &[]);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with(expected), "{text}: {found:?}");
        assert!(!found[0].contains("hunter2"), "{text}: {found:?}");
    }
    let many = format!("retry_schedule_s = {:?}", vec![1; 51]);
    assert!(faults(&many, &[])[0].contains("has 51 steps"));
    assert!(faults("", &[("POSTRIDER_ADMIN_TOKEN", token)])[0].starts_with("admin_token"));
}

#[test]
fn a_filter_of_the_log_may_name_modules() {
    for log in ["warn", "INFO", "info,hyper=debug", "off", "postrider_engine::drive=trace,warn"] {
        assert_eq!(faults(&format!("log = {log:?}"), &[]), [] as [String; 0], "{log}");
    }
}

#[test]
fn a_broken_file_names_its_line_and_repeats_nothing_of_it() {
    let found = faults("listen = \"127.0.0.1:1\"\nadmin_token = hunter2\n", &[]);
    assert_eq!(
        found,
        [
            "configuration file: is not valid TOML at or after line 2; a setting looks like: listen = \"127.0.0.1:8700\""
        ]
    );
}

#[test]
fn a_named_file_must_exist() {
    let flags = ConfigFlags { config: Some("/nonexistent/postrider.toml".into()), ..ConfigFlags::default() };
    let loaded = load(&flags, env(&[]));
    assert_eq!(loaded.faults.len(), 1);
    assert!(loaded.into_config().unwrap_err().to_string().contains("name an existing file with --config"));
}

#[test]
fn no_output_shows_a_secret() {
    let token = "hunter2hunter2hunter2hunter2hunter2";
    let (_file, flags) = file("database = \"postgres://u:hunter2@h/db\"\n");
    let variables = [
        ("POSTRIDER_ADMIN_TOKEN", token),
        ("POSTRIDER_MASTER_KEY", token),
        ("POSTRIDER_PREVIOUS_MASTER_KEY", token),
    ];
    let loaded = load(&flags, env(&variables));
    let described = format!("{:?}{:?}", describe(&loaded), loaded.config.admin_token);
    let shown = format!("{described}{}", loaded.into_config().unwrap_err());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("********"), "{shown}");
}

#[test]
fn the_local_url_of_a_wildcard_is_loopback() {
    for (listen, url) in [
        ("0.0.0.0:8700", "http://127.0.0.1:8700"),
        ("[::]:1", "http://[::1]:1"),
        ("192.0.2.1:2", "http://192.0.2.1:2"),
    ] {
        let config = Config { listen: listen.into(), ..Config::default() };
        assert_eq!(config.local_url().as_deref(), Some(url));
    }
}

/// The example with every setting in force: a line that begins with `#` and no blank is one.
fn example() -> String {
    let text = include_str!("../../../../../postrider.example.toml");
    text.lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_example_file_as_it_is_changes_nothing() {
    let (_file, flags) = file(include_str!("../../../../../postrider.example.toml"));
    let loaded = load(&flags, env(&[]));
    assert_eq!((loaded.faults, loaded.config), (vec![], Config::default()));
}

#[test]
fn the_example_file_explains_every_key_and_shows_its_default() {
    let keys = |data| leaves(&data).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(
        keys(Toml::string(&example()).data()),
        keys(Serialized::defaults(Config::default()).data()),
        "postrider.example.toml and Config have the same keys"
    );
    let (_file, flags) = file(&example());
    let loaded = load(&flags, env(&[]));
    assert_eq!(loaded.faults, []);
    // What is not set by default has a sample instead.
    let mut shown = loaded.config;
    assert!(shown.admin_token.take().is_some());
    assert!(shown.master_key.take().is_some() && shown.previous_master_key.take().is_some());
    assert!(shown.master_key_file.take().is_some());
    assert!(shown.surface.take().is_some());
    assert!(shown.profiles_dir.take().is_some() && shown.fourpay.signing_key.take().is_some());
    assert!(shown.outbound.extra_ca_file.take().is_some());
    assert_eq!(shown, Config::default());
    for line in include_str!("../../../../../postrider.example.toml").lines() {
        assert!(line.is_empty() || line.starts_with('#'), "{line:?} is in force");
    }
}
