//! Randomness from the system, for secrets and ids.

use crate::error::ServiceError;

/// So many random bytes.
///
/// # Errors
/// [`ServiceError::Internal`] where the system has none.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], ServiceError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no random bytes");
        ServiceError::Internal
    })?;
    Ok(bytes)
}
