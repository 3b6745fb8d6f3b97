//! Secrets of endpoints on their way between memory and store: sealed before they leave, opened where they are needed and
//! for as long.

use bytes::Bytes;
use postrider_core::endpoint::EndpointConfig;
use postrider_core::fault::ParseError;
use postrider_core::id::EndpointNo;
use postrider_core::seal::{Binding, DataKey, OpenError};
use postrider_store::StoreError;

use crate::directory::Endpoint;
use crate::error::ServiceError;
use crate::master_key::DatabaseKey;
use crate::random;

/// Why a stored endpoint is not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Its secrets do not open.
    #[error(
        "its secrets do not open: {0}; restore the database from a backup, or remove the endpoint and make it again"
    )]
    Sealed(#[from] OpenError),
    /// What is stored is not what this version writes.
    #[error("what is stored of it cannot be read: {0}")]
    Document(#[from] ParseError),
}

impl Endpoint {
    /// Its configuration with its secrets, in clear for as long as it is held.
    pub(crate) fn opened(&self, key: &DataKey) -> Result<EndpointConfig, Unreadable> {
        let secrets = key.open(Binding::endpoint(self.no, self.version), &self.secrets)?;
        Ok(EndpointConfig::from_stored(&self.doc, &secrets)?)
    }
}

/// Seals the secrets of one version of an endpoint.
///
/// # Errors
/// [`ServiceError::Internal`] where the system has no randomness.
pub(crate) fn seal(
    key: &DataKey,
    no: EndpointNo,
    version: u32,
    config: &EndpointConfig,
) -> Result<Bytes, ServiceError> {
    Ok(key.seal(Binding::endpoint(no, version), config.secrets().as_bytes(), random::bytes()?))
}

impl DatabaseKey {
    /// Seals what an older version kept in clear.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for what is not in clear: its key is gone, and sealing it once more would hide that.
    pub fn seal_clear(&self, no: EndpointNo, version: u32, clear: &[u8]) -> Result<Bytes, StoreError> {
        if clear.first() != Some(&b'{') {
            let what =
                format!("the key that the secrets of endpoint number {} are sealed with is not in it", no.0);
            return Err(StoreError::Unusable(format!("{what}; restore it from a backup")));
        }
        let nonce = random::bytes().map_err(|error| StoreError::Other(error.to_string()))?;
        Ok(self.key.seal(Binding::endpoint(no, version), clear, nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master_key::{MasterKeySource, unlock};
    use postrider_core::seal::MasterKey;

    #[test]
    fn what_is_sealed_already_is_not_sealed_once_more_when_its_key_is_gone() {
        let key = unlock(None, &MasterKeySource::Given(MasterKey::new(&[1; 32])), None).unwrap();
        let sealed = key.seal_clear(EndpointNo(3), 2, b"{}").unwrap();
        assert_eq!(&**key.key.open(Binding::endpoint(EndpointNo(3), 2), &sealed).unwrap(), b"{}");
        assert!(matches!(key.seal_clear(EndpointNo(3), 2, &sealed), Err(StoreError::Unusable(_))));
    }
}
