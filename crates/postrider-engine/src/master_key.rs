//! The operator's master key: found, or made at the first start; and the database's data key, unwrapped by it.

use std::io;
use std::path::{Path, PathBuf};

use postrider_core::seal::{DataKey, Fingerprint, MasterKey, OpenError, WrappedKey};
use zeroize::Zeroizing;

use crate::private_file::{self, ReadError};
use crate::random;

/// Bytes of a master key's text.
const KEY_TEXT: usize = 44;

/// Where the master key comes from.
#[derive(Debug, Clone)]
pub enum MasterKeySource {
    /// The configuration has it.
    Given(MasterKey),
    /// A file that the configuration names.
    File(PathBuf),
    /// A file beside the database, which is made where no key is needed yet.
    Beside(PathBuf),
}

/// What opens and seals the secrets of a database.
#[derive(Debug)]
pub struct DatabaseKey {
    /// The key.
    pub key: DataKey,
    /// The key as the database is to have it from now on.
    pub wrapped: WrappedKey,
}

/// Why a database's secrets cannot be opened. Nothing of the database was touched by then.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The database was made under a key that is not here.
    #[error(
        "the database needs the master key with the fingerprint {needs}: {found}. Restore its file from a backup, or set \
         POSTRIDER_MASTER_KEY to it; where the key is to change, set POSTRIDER_PREVIOUS_MASTER_KEY to it. Nothing was touched"
    )]
    NotHere {
        /// What the database needs.
        needs: Fingerprint,
        /// What was found where.
        found: String,
    },
    /// The file that should hold it does not, or not for us alone.
    #[error("the master key in {} is not used: {fault}. {remedy}. Nothing was touched", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        fault: String,
        /// What to do.
        remedy: &'static str,
    },
    /// None could be made.
    #[error("a master key cannot be written to {}: {error}", file.display())]
    Made {
        /// Where it should be.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The right key, but the data key does not open.
    #[error(
        "the data key in the database does not open under its master key ({by}): {error}. Restore the database from a \
         backup. Nothing was touched"
    )]
    Damaged {
        /// The master key.
        by: Fingerprint,
        /// What is wrong.
        error: OpenError,
    },
    /// The system has no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

/// Finds the key of a database, given how it is wrapped there. A database without one gets one; one whose key is wrapped
/// under `previous` gets it wrapped anew under the present master key.
///
/// # Errors
/// See [`MasterKeyError`].
pub fn unlock(
    stored: Option<&WrappedKey>,
    source: &MasterKeySource,
    previous: Option<&MasterKey>,
) -> Result<DatabaseKey, MasterKeyError> {
    let present = source.read(stored)?;
    let Some(stored) = stored else {
        let key = DataKey::new(&Zeroizing::new(fresh()?));
        let wrapped = key.wrap(&present.or_make()?, fresh()?, fresh()?);
        return Ok(DatabaseKey { key, wrapped });
    };
    let needs = stored.wrapped_by;
    let fits = |key: &&MasterKey| key.fingerprint() == needs;
    let damaged = |error| MasterKeyError::Damaged { by: needs, error };
    if let Some(master) = present.key().filter(fits) {
        if previous.is_some() {
            tracing::info!(
                "the database is under master key {needs} already: previous_master_key is not needed any more"
            );
        }
        let key = stored.unwrap_by(master).map_err(damaged)?;
        return Ok(DatabaseKey { key, wrapped: stored.clone() });
    }
    let Some(fitting) = previous.filter(fits) else {
        let previous = previous.map(|key| format!(", and previous_master_key is {}", key.fingerprint()));
        let found = format!("{}{}", source.describe(&present), previous.unwrap_or_default());
        return Err(MasterKeyError::NotHere { needs, found });
    };
    let key = stored.unwrap_by(fitting).map_err(damaged)?;
    let master = present.or_make()?;
    tracing::warn!(
        "the master key changes from {needs} to {}: from this start on the database needs the new one; keep the old one for \
         as long as there are backups of before",
        master.fingerprint()
    );
    let wrapped = key.wrap(&master, stored.database, fresh()?);
    Ok(DatabaseKey { key, wrapped })
}

/// The master key as it was found.
enum Present<'a> {
    Key(MasterKey),
    /// There is none, and one may be made there.
    Nowhere(&'a Path),
}

impl Present<'_> {
    fn key(&self) -> Option<&MasterKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Nowhere(_) => None,
        }
    }

    fn or_make(self) -> Result<MasterKey, MasterKeyError> {
        let file = match self {
            Self::Key(key) => return Ok(key),
            Self::Nowhere(file) => file,
        };
        let key = MasterKey::new(&Zeroizing::new(fresh()?));
        let failed = |error| MasterKeyError::Made { file: file.to_owned(), error };
        private_file::write(file, &key.to_text()).map_err(failed)?;
        tracing::warn!(
            "made the master key {} in {}: back it up, apart from the database; without it the secrets in the database are lost",
            key.fingerprint(),
            file.display()
        );
        Ok(key)
    }
}

impl MasterKeySource {
    fn read(&self, stored: Option<&WrappedKey>) -> Result<Present<'_>, MasterKeyError> {
        let file = match self {
            Self::Given(key) => return Ok(Present::Key(key.clone())),
            Self::File(file) | Self::Beside(file) => file,
        };
        let unfit = |fault: String, remedy| MasterKeyError::File { file: file.clone(), fault, remedy };
        let text = private_file::read(file, KEY_TEXT).map_err(|error| {
            let remedy = match error {
                ReadError::Exposed(_) => {
                    "Make it private with chmod 600, and change the key if somebody may have read it; where its permissions \
                     are not yours to set, give the key as POSTRIDER_MASTER_KEY instead"
                }
                ReadError::Io(_) => "Let this program read it",
                ReadError::NoText => "It must hold one line: the base64 of 32 bytes",
            };
            unfit(error.to_string(), remedy)
        })?;
        match text {
            Some(text) => MasterKey::parse(text.reveal())
                .map(Present::Key)
                .map_err(|form| unfit(format!("it {form}"), "Restore it from its backup")),
            None if matches!(self, Self::Beside(_)) => Ok(Present::Nowhere(file)),
            None => {
                let needs = stored.map(|stored| format!(", and the database needs {}", stored.wrapped_by));
                let fault = format!("there is no such file{}", needs.unwrap_or_default());
                Err(unfit(fault, "Correct master_key_file, or make a key there: openssl rand -base64 32"))
            }
        }
    }

    /// Says what was found where.
    fn describe(&self, present: &Present<'_>) -> String {
        match (present, self) {
            (Present::Nowhere(file), _) => {
                format!("neither master_key nor master_key_file is set, and there is no {}", file.display())
            }
            (Present::Key(key), Self::Given(_)) => format!("master_key is {}", key.fingerprint()),
            (Present::Key(key), Self::File(file) | Self::Beside(file)) => {
                format!("the one in {} is {}", file.display(), key.fingerprint())
            }
        }
    }
}

fn fresh<const N: usize>() -> Result<[u8; N], MasterKeyError> {
    random::bytes().map_err(|_| MasterKeyError::Random)
}

#[cfg(test)]
mod tests {
    use postrider_core::id::EndpointNo;
    use postrider_core::seal::Binding;

    use super::*;

    const ROW: Binding = Binding::endpoint(EndpointNo(1), 1);

    fn given(byte: u8) -> (MasterKeySource, MasterKey) {
        let key = MasterKey::new(&[byte; 32]);
        (MasterKeySource::Given(key.clone()), key)
    }

    /// Whether two of them are for the same secrets.
    fn same(a: &DatabaseKey, b: &DatabaseKey) -> bool {
        b.key.open(ROW, &a.key.seal(ROW, b"hush", [1; 12])).is_ok()
    }

    #[test]
    fn the_first_start_makes_a_key_beside_the_database_and_the_next_one_finds_it() {
        let directory = tempfile::tempdir().unwrap();
        let beside = MasterKeySource::Beside(directory.path().join("p.db.master-key"));
        let first = unlock(None, &beside, None).unwrap();
        let next = unlock(Some(&first.wrapped), &beside, None).unwrap();
        assert!(same(&first, &next) && next.wrapped == first.wrapped);
        // A start that was cut off before the database had its key takes the same master key, with another data key.
        let again = unlock(None, &beside, None).unwrap();
        assert_eq!(again.wrapped.wrapped_by, first.wrapped.wrapped_by);
        assert!(!same(&first, &again) && again.wrapped.database != first.wrapped.database);
    }

    #[test]
    fn a_previous_key_gives_way_to_the_present_one_or_to_one_that_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let (old, old_key) = given(1);
        let first = unlock(None, &old, None).unwrap();
        let (new, new_key) = given(2);
        let beside = MasterKeySource::Beside(directory.path().join("p.db.master-key"));
        for source in [&new, &beside] {
            let changed = unlock(Some(&first.wrapped), source, Some(&old_key)).unwrap();
            assert!(same(&first, &changed));
            assert_ne!(changed.wrapped.wrapped_by, old_key.fingerprint());
            assert_eq!(changed.wrapped.database, first.wrapped.database);
            // With the old one still configured, and without it.
            assert_eq!(
                unlock(Some(&changed.wrapped), source, Some(&old_key)).unwrap().wrapped,
                changed.wrapped
            );
            assert_eq!(unlock(Some(&changed.wrapped), source, None).unwrap().wrapped, changed.wrapped);
            assert!(unlock(Some(&changed.wrapped), &old, None).is_err());
        }
        assert_eq!(
            unlock(Some(&first.wrapped), &new, Some(&old_key)).unwrap().wrapped.wrapped_by,
            new_key.fingerprint()
        );
    }

    #[test]
    fn abuse_a106_a_key_that_is_missing_or_wrong_is_named_and_none_is_made_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("p.db.master-key");
        let stored = unlock(None, &given(1).0, None).unwrap().wrapped;
        let (needs, other) = (stored.wrapped_by.to_string(), given(2).1.fingerprint().to_string());
        let said = |source: &MasterKeySource, previous: Option<&MasterKey>| {
            let said = unlock(Some(&stored), source, previous).unwrap_err().to_string();
            assert!(said.contains(&needs) && said.ends_with("Nothing was touched"), "{said}");
            said
        };
        let missing = said(&MasterKeySource::Beside(file.clone()), None);
        assert!(missing.contains("there is no") && missing.contains("p.db.master-key"), "{missing}");
        assert!(said(&MasterKeySource::Beside(file.clone()), Some(&given(2).1)).contains(&other));
        assert!(said(&given(2).0, None).contains(&format!("master_key is {other}")));
        assert!(said(&MasterKeySource::File(file.clone()), None).contains("there is no such file"));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "no key was made");
        private_file::write(&file, &given(2).1.to_text()).unwrap();
        for source in [MasterKeySource::Beside(file.clone()), MasterKeySource::File(file)] {
            assert!(said(&source, None).contains(&format!("master-key is {other}")));
        }
        // The right one, but the stored row was changed.
        let changed = WrappedKey { database: [0; 16], ..stored };
        assert!(matches!(unlock(Some(&changed), &given(1).0, None), Err(MasterKeyError::Damaged { .. })));
    }

    #[test]
    fn abuse_a106_a_key_that_others_can_read_or_that_is_none_is_refused_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        let source = MasterKeySource::File(file.clone());
        std::fs::write(&file, given(1).1.to_text().reveal()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let said = unlock(None, &source, None).unwrap_err().to_string();
        assert!(said.contains("0644") && said.contains("chmod 600"), "{said}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(unlock(None, &source, None).is_ok());
        std::fs::write(&file, "hunter2hunter2").unwrap();
        let said = unlock(None, &source, None).unwrap_err().to_string();
        assert!(said.contains("32 bytes") && !said.contains("hunter2"), "{said}");
    }
}
