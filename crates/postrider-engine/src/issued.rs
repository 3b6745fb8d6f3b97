//! What whoever gets a token is told, this once, and what is kept of it.

use postrider_core::seal::{Binding, DataKey};
use postrider_core::secret::Secret;
use postrider_core::token::{self, Kept, TokenKind};

use crate::error::ServiceError;
use crate::random;

/// What the holder of a token needs. Names (client id, user name, key) are the token's id.
#[derive(Debug)]
pub enum Issued {
    /// The token itself.
    Bearer {
        /// Its text.
        token: Secret,
    },
    /// For the client credentials grant (RFC 6749, section 4.4).
    Client {
        /// The name.
        client_id: String,
        /// The secret.
        client_secret: Secret,
    },
    /// For a login.
    Login {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
        /// What goes along with the login and with every request after it.
        api_key: Secret,
    },
    /// For requests with an HMAC of their body.
    Hmac {
        /// The name.
        key: String,
        /// What is calculated with.
        secret: Secret,
    },
}

/// A token about to be stored.
pub(crate) struct Made {
    pub(crate) issued: Issued,
    pub(crate) hash: [u8; 32],
    pub(crate) kept: Kept,
}

impl Issued {
    /// Makes what a kind of token needs, of 256 random bits each.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] where the system has no randomness.
    pub(crate) fn make(kind: TokenKind, id: &str, key: &DataKey) -> Result<Made, ServiceError> {
        let fresh = || Ok::<_, ServiceError>(token::generate_secret(random::bytes()?));
        let hash = |secret: &Secret| token::hash_of(kind, secret.reveal());
        let name = id.to_owned();
        Ok(match kind {
            TokenKind::Bearer => {
                let token = token::generate(random::bytes()?);
                Made { hash: hash(&token), kept: Kept::Nothing, issued: Self::Bearer { token } }
            }
            TokenKind::Client => {
                let client_secret = fresh()?;
                let hash = hash(&client_secret);
                Made { hash, kept: Kept::Nothing, issued: Self::Client { client_id: name, client_secret } }
            }
            TokenKind::Login => {
                let (password, api_key) = (fresh()?, fresh()?);
                let kept = Kept::ApiKey(hash(&api_key));
                Made {
                    hash: hash(&password),
                    kept,
                    issued: Self::Login { username: name, password, api_key },
                }
            }
            TokenKind::Hmac => {
                let secret = fresh()?;
                let sealed = key.seal(Binding::credential(id), secret.reveal().as_bytes(), random::bytes()?);
                Made {
                    hash: hash(&secret),
                    kept: Kept::Sealed(sealed),
                    issued: Self::Hmac { key: name, secret },
                }
            }
        })
    }
}
