//! Subjects: a card or an account, and the tenants that it belongs to.

use crate::fault::ParseError;
use crate::id::TenantId;
use crate::json::{self, Object};

/// The most tenants that a subject belongs to.
pub const MAX_OWNERS: usize = 32;

/// Whose a subject is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubjectConfig {
    /// The tenants, 1 to [`MAX_OWNERS`], each once, in the order in which they were given.
    pub tenants: Vec<TenantId>,
}

impl SubjectConfig {
    /// Reads one. `exists` tells whether there is a tenant of an id.
    ///
    /// # Errors
    /// See [`ParseError`].
    ///
    /// ```
    /// use postrider_core::subject::SubjectConfig;
    /// let subject = SubjectConfig::parse(r#"{"tenants": ["acme", "shop"]}"#, |_| true).unwrap();
    /// assert_eq!(subject.tenants.len(), 2);
    /// assert!(SubjectConfig::parse(r#"{"tenants": []}"#, |_| true).is_err());
    /// ```
    pub fn parse(text: &str, exists: impl Fn(&TenantId) -> bool) -> Result<Self, ParseError> {
        let mut object = Object::parse(text)?;
        let mut tenants: Vec<TenantId> = Vec::new();
        object.required_list("tenants", 1..=MAX_OWNERS, |v| {
            let tenant: TenantId = json::string(v)?.parse()?;
            if tenants.contains(&tenant) {
                return Err("is given twice; keep one".into());
            }
            if !exists(&tenant) {
                return Err("does not exist".into());
            }
            tenants.push(tenant);
            Ok(())
        });
        object.end(Some(Self { tenants }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a02_all_faults_of_a_subject_come_at_once() {
        let faults = |text: &str| -> Vec<String> {
            let parsed = SubjectConfig::parse(text, |tenant| tenant.as_str() != "nobody");
            parsed.unwrap_err().faults().iter().map(|fault| fault.pointer.clone()).collect()
        };
        assert_eq!(
            faults(r#"{"tenants":["a","a","nobody","../x",5],"name":"x"}"#),
            ["/tenants/1", "/tenants/2", "/tenants/3", "/tenants/4", "/name"]
        );
        for text in ["{}", r#"{"tenants":[]}"#, r#"{"tenants":null}"#, r#"{"tenants":"a"}"#] {
            assert_eq!(faults(text), ["/tenants"], "{text}");
        }
        let many: Vec<String> = (0..=MAX_OWNERS).map(|n| format!("\"t{n}\"")).collect();
        assert_eq!(faults(&format!(r#"{{"tenants":[{}]}}"#, many.join(","))), ["/tenants"]);
    }
}
