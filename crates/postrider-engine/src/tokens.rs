//! Tokens as service functions: who may call. Only hashes are stored; a token's text is known once, to whoever made it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_core::card;
use postrider_core::fault::Fault;
use postrider_core::id::{IdKind, random_id};
use postrider_core::node::Change;
use postrider_core::record::Edit;
use postrider_core::secret::Secret;
use postrider_core::token::{self, Kept, TokenConfig, TokenKind};

use crate::Engine;
use crate::clock::wall;
use crate::directory::{Directory, Token};
use crate::error::ServiceError;
use crate::issued::Issued;
use crate::{access, private_file, random};

/// The id of the operator's own token.
pub const OPERATOR_TOKEN: &str = "tok_operator";
/// The shortest token that an operator may set, in characters.
pub const MIN_OPERATOR_TOKEN: usize = 32;
/// The longest token that is looked at, in bytes.
pub(crate) const MAX_TOKEN: usize = 512;

/// Where the operator's token comes from.
#[derive(Debug)]
pub enum AdminToken {
    /// The configuration sets it.
    Configured,
    /// An earlier start made it, or was configured with it; only its hash is known.
    Kept {
        /// The file to which a start writes the token that it makes.
        file: PathBuf,
    },
    /// Made just now, or by a start that ended before its token was stored.
    Made {
        /// The token, to be shown once.
        token: Secret,
        /// The file that holds it, readable by its owner alone.
        file: PathBuf,
    },
}

/// Why there is no operator's token.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    /// The configured one is too easily guessed, or cannot be sent.
    #[error("the operator's token must be {MIN_OPERATOR_TOKEN} to {MAX_TOKEN} visible ASCII characters")]
    Unfit,
    /// The file is there already, and holds no token that only its owner can read.
    #[error(
        "{file} is there already, and is not a token that only its owner can read: move it away, or set a token in the configuration (admin_token)"
    )]
    Occupied {
        /// The file in the way.
        file: PathBuf,
    },
    /// The file cannot be written.
    #[error("the operator's token cannot be written to {file}: {error}")]
    File {
        /// Where it should be.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The store or the machine failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl Engine {
    /// The token of that text, or the one behind that access token, if it is valid now. The comparison is of hashes, so that
    /// its time says nothing about how close a guess came.
    pub fn authenticate(&self, text: &str) -> Option<Arc<Token>> {
        if text.len() > MAX_TOKEN {
            return None;
        }
        if text.starts_with(access::PREFIX) {
            return self.behind_access_token(text);
        }
        let token = self.directory().token(&token::hash(text))?;
        // No hash of another kind is one of a text; should it ever be, it is no token for that.
        if token.config.kind != TokenKind::Bearer {
            return None;
        }
        // Tokens without an end need no look at the clock.
        let expired = token.config.expires_at.is_some() && token.config.is_expired(wall());
        (!expired).then_some(token)
    }

    /// Whether a token that was valid is so still: neither revoked nor expired.
    pub fn is_valid(&self, token: &Token) -> bool {
        self.directory().token(&token.hash).is_some_and(|now| now.id == token.id)
            && !token.config.is_expired(wall())
    }

    /// Makes a token; what its holder needs is given this once.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a tenant that does not exist, or an end in the past; else as the store fails.
    pub async fn create_token(&self, config: TokenConfig) -> Result<(Arc<Token>, Issued), ServiceError> {
        let editing = self.directory().editing().await;
        let shown = serde_json::Value::Object(config.public_view());
        let mut faults = card::faults_of_configuration(shown.to_string().as_bytes());
        if let Some(tenant) = config.exact_tenant()
            && self.directory().tenant(tenant).is_none()
        {
            faults.push(Fault::new("/tenant", "does not exist"));
        }
        if config.is_expired(wall()) {
            faults.push(Fault::new("/expires_at", "is in the past: the token would never be valid"));
        }
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        let id = random_id(IdKind::Token, wall(), u128::from_le_bytes(random::bytes()?));
        let made = Issued::make(config.kind, &id, self.directory().key())?;
        let token = self.put_token(editing, id.into(), (made.hash, made.kept), config).await?;
        Ok((token, made.issued))
    }

    /// At most `limit` tokens in order of their ids, after the given one.
    pub fn tokens_after(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Token>> {
        self.directory().tokens_after(after, limit)
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Conflict`] for the operator's own; else as the store fails.
    pub async fn delete_token(&self, id: &str) -> Result<(), ServiceError> {
        if id == OPERATOR_TOKEN {
            return Err(ServiceError::Conflict(
                "the operator's own token is changed by the configuration (admin_token)".into(),
            ));
        }
        let editing = self.directory().editing().await;
        let token = self.directory().token_by_id(id).ok_or(ServiceError::NotFound("the token"))?;
        let change = Change { edit: Edit::DeleteToken { id: id.into() }, policy: None };
        let then = move |directory: &Directory, durable: bool| {
            if durable {
                directory.remove_token(&token.id);
            }
        };
        self.apply(editing, vec![change], then).await.map(drop)
    }

    /// Sees to it that the operator has a token: the configured one, else the one of an earlier start, else a new one,
    /// which is written to `file` with mode 0600. A file that is there is never replaced: where it holds a token, that is
    /// the new one, so that a start that was cut off between file and store is simply repeated.
    ///
    /// # Errors
    /// See [`AdminTokenError`].
    pub async fn ensure_admin_token(
        &self,
        configured: Option<&str>,
        file: &Path,
    ) -> Result<AdminToken, AdminTokenError> {
        let present = self.directory().token_by_id(OPERATOR_TOKEN);
        if let Some(text) = configured {
            if !is_fit(text) {
                return Err(AdminTokenError::Unfit);
            }
            if present.is_none_or(|token| token.hash != token::hash(text)) {
                self.put_operator_token(token::hash(text)).await?;
            }
            return Ok(AdminToken::Configured);
        }
        if present.is_some() {
            return Ok(AdminToken::Kept { file: file.to_owned() });
        }
        let failed = |error| AdminTokenError::File { file: file.to_owned(), error };
        let token = if file.try_exists().map_err(failed)? {
            token_in(file).ok_or_else(|| AdminTokenError::Occupied { file: file.to_owned() })?
        } else {
            // First the file: a token that is in force and known to nobody would lock the operator out.
            let token = token::generate(random::bytes()?);
            private_file::write(file, &token).map_err(failed)?;
            token
        };
        self.put_operator_token(token::hash(token.reveal())).await?;
        Ok(AdminToken::Made { token, file: file.to_owned() })
    }

    async fn put_operator_token(&self, hash: [u8; 32]) -> Result<(), ServiceError> {
        let editing = self.directory().editing().await;
        let proof = (hash, Kept::Nothing);
        self.put_token(editing, OPERATOR_TOKEN.into(), proof, TokenConfig::operator()).await.map(drop)
    }

    async fn put_token(
        &self,
        editing: crate::directory::Editing,
        id: Box<str>,
        (hash, kept): ([u8; 32], Kept),
        config: TokenConfig,
    ) -> Result<Arc<Token>, ServiceError> {
        let at = wall();
        let edit = Edit::PutToken { id: id.clone(), hash, doc: config.to_doc(&kept), at };
        let change = Change { edit, policy: None };
        let token = Arc::new(Token { id, hash, kept, config, created_at: at });
        let made = Arc::clone(&token);
        let then = move |directory: &Directory, durable: bool| {
            if durable {
                directory.put_token(made);
            }
        };
        self.apply(editing, vec![change], then).await?;
        Ok(token)
    }
}

fn is_fit(text: &str) -> bool {
    (MIN_OPERATOR_TOKEN..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The token in a file that only its owner can read.
fn token_in(file: &Path) -> Option<Secret> {
    private_file::read(file, MAX_TOKEN).ok().flatten().filter(|token| is_fit(token.reveal()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_token_is_not_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("postrider.db.admin-token");
        for (text, is_one) in [
            ("", false),
            ("short", false),
            ("with a space 0123456789-0123456789-0123456789", false),
            (&*"x".repeat(MAX_TOKEN + 1), false),
            (&*"x".repeat(MAX_TOKEN), true),
        ] {
            private_file::write(&file, &Secret::new(text)).unwrap();
            assert_eq!(token_in(&file).is_some(), is_one, "{text:?}");
            std::fs::remove_file(&file).unwrap();
        }
    }
}
