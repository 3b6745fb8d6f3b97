//! Gathers the layers of the configuration and finds out what each value came from and what is wrong.

use std::path::{Path, PathBuf};

use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::{Config, ConfigFlags, DEFAULT_FILE, check};

const ENV_PREFIX: &str = "POSTRIDER_";
/// Between a table and its key in the name of a variable: `POSTRIDER_OUTBOUND__MAX_IN_FLIGHT`.
const ENV_NESTING: &str = "__";
/// Variables that belong to the commands, not to the configuration.
const ENV_OF_COMMANDS: [&str; 4] =
    ["POSTRIDER_URL", "POSTRIDER_TOKEN", "POSTRIDER_CONFIG", "POSTRIDER_SECRET"];
/// Kubernetes gives every pod such variables for a service called `postrider`.
const ENV_OF_KUBERNETES: [&str; 2] = ["POSTRIDER_PORT", "POSTRIDER_SERVICE_"];
/// Keys whose values no message may repeat.
pub(super) const SECRET_KEYS: [&str; 4] =
    ["admin_token", "fourpay.signing_key", "master_key", "previous_master_key"];
/// A configuration file larger than this is not one.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// One thing that is wrong, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The key, or what else is concerned.
    pub(crate) key: String,
    /// Where the value came from.
    pub(crate) source: String,
    /// What is wrong, and the remedy.
    pub(crate) message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", self.key, self.source, self.message)
    }
}

/// A configuration with the source of each value and all its faults.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The values; where one is faulty its default stands.
    pub(crate) config: Config,
    /// Dotted key and source, in the order of the keys.
    pub(crate) sources: Vec<(String, String)>,
    /// Everything that is wrong; empty for a configuration that may be used.
    pub(crate) faults: Vec<Fault>,
}

impl Loaded {
    /// The configuration, if nothing is wrong with it.
    ///
    /// # Errors
    /// All faults, one a line.
    pub(crate) fn into_config(self) -> Result<Config, ConfigError> {
        if self.faults.is_empty() { Ok(self.config) } else { Err(ConfigError(self.faults)) }
    }

    /// Where the value of a key came from.
    pub(crate) fn source(&self, key: &str) -> &str {
        self.sources.iter().find(|(known, _)| known == key).map_or("default", |(_, source)| source)
    }
}

/// A configuration that cannot be used.
#[derive(Debug)]
pub(crate) struct ConfigError(Vec<Fault>);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        for fault in &self.0 {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The environment of this process. What is not UTF-8 is no setting of ours, or is shown with replacement characters.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
}

/// Reads the layers. `environment` is passed in, so that a test decides what it holds.
pub(crate) fn load(flags: &ConfigFlags, environment: impl IntoIterator<Item = (String, String)>) -> Loaded {
    let mut faults = Vec::new();
    let known = leaves(&Serialized::defaults(Config::default()).data());
    let mut layers: Vec<Layer> = Vec::new();
    layers.extend(file_layers(flags.config.as_deref(), &mut faults));
    layers.extend(environment_layers(environment, &known));
    layers.extend(flag_layers(flags));

    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    let mut sources: Vec<(String, String)> =
        known.iter().map(|(key, _)| (key.clone(), "default".to_owned())).collect();
    for layer in layers {
        if let Some(fault) = fault_of_key(&layer, &known).or_else(|| fault_of_type(&layer)) {
            faults.push(fault);
            continue;
        }
        if let Some(entry) = sources.iter_mut().find(|(key, _)| *key == layer.key) {
            entry.1.clone_from(&layer.source);
        }
        figment = figment.merge(layer);
    }
    let config = figment.extract().unwrap_or_else(|error| {
        // Each layer was accepted on its own, so this names a clash between them.
        faults.push(Fault {
            key: "configuration".into(),
            source: "all layers".into(),
            message: error.to_string(),
        });
        Config::default()
    });
    let mut loaded = Loaded { config, sources, faults };
    let ranges = check::faults(&loaded.config, |key| loaded.source(key).to_owned());
    loaded.faults.extend(ranges);
    loaded
}

/// One value of one layer under its dotted key.
#[derive(Debug, Clone)]
struct Layer {
    key: String,
    value: Value,
    source: String,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut value = self.value.clone();
        let mut dict = Dict::new();
        for part in self.key.rsplit('.') {
            dict = Dict::from([(part.to_owned(), value)]);
            value = Value::from(dict.clone());
        }
        Ok(Profile::default().collect(dict))
    }
}

fn file_layers(named: Option<&Path>, faults: &mut Vec<Fault>) -> Vec<Layer> {
    let path = named.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_path_buf);
    let source = path.display().to_string();
    let mut fault = |message: String| {
        faults.push(Fault { key: "configuration file".into(), source: source.clone(), message });
        Vec::new()
    };
    match std::fs::metadata(&path) {
        Err(e) if named.is_none() && e.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => return fault(format!("cannot be read: {e}; name an existing file with --config")),
        Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
            return fault(format!("has {} bytes; a configuration file has at most 1 MiB", metadata.len()));
        }
        Ok(_) => {}
    }
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) => return fault(format!("cannot be read: {e}; it must be UTF-8 text")),
    };
    let data = Toml::string(&text).data();
    if data.is_err() {
        // The parser's own message quotes the line, which may hold a secret.
        return fault(syntax_fault(&text));
    }
    leaves(&data).into_iter().map(|(key, value)| Layer { key, value, source: source.clone() }).collect()
}

fn syntax_fault(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    // The first prefix that cannot be completed ends at the faulty line; multi-line values make it an estimate.
    let line = (1..=lines.len()).find(|&end| Toml::string(&lines[..end].join("\n")).data().is_err());
    let place = line.map_or_else(String::new, |line| format!(" at or after line {line}"));
    format!("is not valid TOML{place}; a setting looks like: listen = \"127.0.0.1:8700\"")
}

fn environment_layers(
    environment: impl IntoIterator<Item = (String, String)>,
    known: &[(String, Value)],
) -> Vec<Layer> {
    let mut layers: Vec<Layer> = environment
        .into_iter()
        .filter(|(name, _)| name.starts_with(ENV_PREFIX) && !is_of_others(name))
        .map(|(name, text)| {
            let key = name[ENV_PREFIX.len()..].replace(ENV_NESTING, ".").to_ascii_lowercase();
            let like = known.iter().find(|(other, _)| *other == key).map(|(_, value)| value);
            // A token of digits, or a path called `true`, is still a text.
            let value = match like {
                Some(Value::String(..) | Value::Empty(..)) | None => Value::from(text),
                Some(_) => parse(&text),
            };
            Layer { key, value, source: format!("environment variable {name}") }
        })
        .collect();
    layers.sort_by(|a, b| a.key.cmp(&b.key));
    layers
}

fn is_of_others(name: &str) -> bool {
    ENV_OF_COMMANDS.contains(&name) || ENV_OF_KUBERNETES.iter().any(|prefix| name.starts_with(prefix))
}

/// A value as TOML writes it; what is no TOML value is a text, which its type check then refuses.
fn parse(text: &str) -> Value {
    leaves(&Toml::string(&format!("value = {}", text.trim())).data())
        .into_iter()
        .find(|(key, _)| key == "value")
        .map_or_else(|| Value::from(text), |(_, value)| value)
}

fn flag_layers(flags: &ConfigFlags) -> Vec<Layer> {
    let flag = |key: &str, value: Value| Layer {
        key: key.into(),
        value,
        source: format!("flag --{}", key.replace('_', "-")),
    };
    let mut layers = Vec::new();
    if flags.dev {
        layers.push(flag("dev", Value::from(true)));
    }
    let texts =
        [("listen", &flags.listen), ("database", &flags.database), ("profiles_dir", &flags.profiles_dir)];
    for (key, text) in texts {
        layers.extend(text.clone().map(|text| flag(key, Value::from(text))));
    }
    layers
}

/// Dotted keys with their values; an empty table is a value, so that it is not lost.
pub(super) fn leaves(data: &Result<Map<Profile, Dict>, figment::Error>) -> Vec<(String, Value)> {
    fn walk(prefix: &str, dict: &Dict, found: &mut Vec<(String, Value)>) {
        for (name, value) in dict {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                Value::Dict(_, inner) if !inner.is_empty() => walk(&key, inner, found),
                _ => found.push((key, value.clone())),
            }
        }
    }
    let mut found = Vec::new();
    for dict in data.iter().flat_map(Map::values) {
        walk("", dict, &mut found);
    }
    found
}

fn fault_of_key(layer: &Layer, known: &[(String, Value)]) -> Option<Fault> {
    if known.iter().any(|(key, _)| *key == layer.key) {
        return None;
    }
    let is_table = known.iter().any(|(key, _)| key.starts_with(&format!("{}.", layer.key)));
    let message = if is_table {
        if matches!(layer.value, Value::Dict(..)) {
            return None;
        }
        "is a table; set the keys in it".to_owned()
    } else {
        match nearest(&layer.key, known) {
            Some(near) => format!("is not a known key; did you mean `{near}`?"),
            None => "is not a known key; remove it (postrider.example.toml lists all keys)".to_owned(),
        }
    };
    Some(Fault { key: layer.key.clone(), source: layer.source.clone(), message })
}

fn fault_of_type(layer: &Layer) -> Option<Fault> {
    let alone = Figment::from(Serialized::defaults(Config::default())).merge(layer.clone());
    let error = alone.extract::<Config>().err()?;
    let message = if SECRET_KEYS.contains(&layer.key.as_str()) {
        "must be a text in quotes".to_owned()
    } else {
        match error.kind {
            figment::error::Kind::InvalidType(found, expected) => {
                format!("must be {expected}, but is {found}")
            }
            kind => kind.to_string(),
        }
    };
    Some(Fault { key: layer.key.clone(), source: layer.source.clone(), message })
}

/// The known key that a typo most likely stood for: by distance, or the same name in another table.
fn nearest<'a>(key: &str, known: &'a [(String, Value)]) -> Option<&'a str> {
    let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    known
        .iter()
        .map(|(other, _)| {
            let distance = if name(other) == name(key) { 1 } else { distance(key, other) };
            (distance, other.as_str())
        })
        .filter(|(distance, other)| *distance <= 1 + other.len() / 4)
        .min()
        .map(|(_, other)| other)
}

/// Levenshtein distance in bytes; both texts are short.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
