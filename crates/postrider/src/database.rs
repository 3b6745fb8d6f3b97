//! The database that the configuration names, and the key to its secrets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_core::seal::{DataKey, MasterKey};
use postrider_engine::MasterKeySource;
use postrider_sqlite::{SqliteConfig, SqliteStore, SqliteWriter};

use crate::config::{Config, Secret};
use crate::exit::Usage;

/// What follows the database's name in that of the file with the master key.
const MASTER_KEY_SUFFIX: &str = ".master-key";

/// A database that is not open yet.
pub(crate) struct Database {
    /// Its file.
    pub(crate) path: PathBuf,
    master_key: MasterKeySource,
    previous_master_key: Option<MasterKey>,
}

impl Database {
    /// The one that is configured.
    ///
    /// # Errors
    /// For a name of no file, and for what is no key.
    pub(crate) fn of(config: &Config) -> anyhow::Result<Self> {
        let path = path(&config.database)?;
        let master_key = match (&config.master_key, &config.master_key_file) {
            (Some(key), _) => MasterKeySource::Given(parsed(key)?),
            (None, Some(file)) => MasterKeySource::File(file.clone()),
            (None, None) => {
                // Beside the database itself, whatever link led to it.
                let resolved = std::fs::canonicalize(&path);
                MasterKeySource::Beside(beside(resolved.as_deref().unwrap_or(&path), MASTER_KEY_SUFFIX))
            }
        };
        let previous_master_key = config.previous_master_key.as_ref().map(parsed).transpose()?;
        Ok(Self { path, master_key, previous_master_key })
    }

    /// Opens it with its key, which is found before anything is written.
    ///
    /// # Errors
    /// As file and key are missing, in use, or not what they should be.
    pub(crate) fn open(&self) -> anyhow::Result<(Arc<SqliteStore>, SqliteWriter, DataKey)> {
        let found = postrider_sqlite::look(&self.path)?;
        let key = postrider_engine::unlock(found.key(), &self.master_key, self.previous_master_key.as_ref())?;
        let seal = &mut |no, version, clear: &[u8]| key.seal_clear(no, version, clear);
        let (store, writer) = found.open_sealed(SqliteConfig::default(), &key.wrapped, seal)?;
        Ok((store, writer, key.key))
    }
}

/// The path in a `sqlite:` database URL.
fn path(database: &str) -> anyhow::Result<PathBuf> {
    let Some(path) = database.strip_prefix("sqlite:") else {
        return Err(Usage("database must be sqlite: and a path, such as sqlite:./postrider.db".into()).into());
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err(Usage("database names no file: write sqlite:./postrider.db".into()).into());
    }
    Ok(PathBuf::from(path))
}

fn parsed(key: &Secret) -> anyhow::Result<MasterKey> {
    MasterKey::parse(key.expose()).map_err(|form| Usage(format!("a master key {form}")).into())
}

/// A file beside a database, under its name: two databases in one directory have their own.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut file = database.as_os_str().to_owned();
    file.push(suffix);
    file.into()
}
