//! Whether the server lives, and whether it keeps up.

use http::Method;

use crate::{Client, Error};

/// The answer of a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether the check passed (2xx).
    pub ok: bool,
    /// HTTP status.
    pub status: u16,
    /// What the server said about it.
    pub body: String,
}

impl Client {
    /// Whether the process answers at all.
    ///
    /// # Errors
    /// See [`Error`]; a failed check is no error.
    pub async fn healthz(&self) -> Result<Health, Error> {
        self.health("healthz").await
    }

    /// Whether the store commits and due work is delivered in time.
    ///
    /// # Errors
    /// See [`Error`]; a failed check is no error.
    pub async fn readyz(&self) -> Result<Health, Error> {
        self.health("readyz").await
    }

    async fn health(&self, path: &str) -> Result<Health, Error> {
        let request = self.request(Method::GET, &[path], &[], None)?;
        let (status, _, body) = self.exchange_any(request).await?;
        Ok(Health {
            ok: (200..300).contains(&status),
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}
