//! Subjects: whose a card or an account is.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::{Answer, Client, Error};

/// A subject as read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its id.
    pub id: String,
    /// The tenants that it belongs to.
    pub tenants: Vec<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it was last changed, RFC 3339.
    pub updated_at: String,
}

/// Whose a subject is.
#[derive(Serialize)]
struct SubjectSpec<'a> {
    tenants: &'a [String],
}

impl Client {
    /// Makes the subject or gives it to other tenants.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put_subject(&self, subject: &str, tenants: &[String]) -> Result<Answer<Subject>, Error> {
        self.send(Method::PUT, &["v1", "subjects", subject], &SubjectSpec { tenants }).await
    }

    /// Reads one subject.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_subject(&self, subject: &str) -> Result<Answer<Subject>, Error> {
        self.get(&["v1", "subjects", subject], &[]).await
    }

    /// Removes the subject.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_subject(&self, subject: &str) -> Result<(), Error> {
        self.send_for_nothing(Method::DELETE, &["v1", "subjects", subject]).await
    }
}
