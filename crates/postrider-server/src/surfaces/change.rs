//! Making and changing endpoints: a platform's body is read field by field into one as `/v1` takes it, which is then judged by
//! the same rules, and what is wrong with it is told by the platform's names.

use axum::body::Body;
use http::Request;
use postrider_core::endpoint::EndpointConfig;
use postrider_core::fault::{Fault, MAX_FAULTS};
use postrider_core::json::{Members, parse_object, utf8};
use postrider_core::secret::SigningSecret;
use postrider_engine::{EndpointView, Tenant};
use serde_json::{Map, Value};

use crate::app::App;
use crate::body;
use crate::problem::Problem;

/// A platform's body that is being read. Fields that nobody asks for are passed over.
pub(super) struct Fields {
    given: Map<String, Value>,
    faults: Vec<Fault>,
}

impl Fields {
    /// Reads a request's body.
    ///
    /// # Errors
    /// As [`body::document`]; 400 and 422 for what is no JSON object, or names a field twice.
    pub(super) async fn of(request: Request<Body>) -> Result<Self, Problem> {
        Self::parse(&body::document(request).await?)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// 400 and 422 for what is no JSON object, or names a field twice.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let text = utf8(body)?;
        parse_object(text)?;
        let given = serde_json::from_str(text).map_err(|_| Problem::fault("", "must be an object"))?;
        Ok(Self { given, faults: Vec::new() })
    }

    /// Notes a fault of a field, or of one below it.
    pub(super) fn fault(&mut self, name: &str, detail: impl Into<std::borrow::Cow<'static, str>>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault::new(format!("/{name}"), detail));
        }
    }

    /// Notes a fault of a field, unless something was noted of it already.
    pub(super) fn fault_unless_told(&mut self, name: &str, detail: &'static str) {
        if !self.faults.iter().any(|fault| fault.pointer[1..] == *name) {
            self.fault(name, detail);
        }
    }

    /// Whether a field was given, `null` too.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// A field as it was given; `None` where it is absent.
    pub(super) fn raw(&self, name: &str) -> Option<&Value> {
        self.given.get(name)
    }

    /// A text; `None` where it is absent or `null`, or is none, which is noted.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.given.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                self.fault(name, "must be a string");
                None
            }
        }
    }

    /// A text that is not empty: `""` clears, like `null`.
    pub(super) fn filled(&mut self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// A boolean; `None` where it is absent or `null`, or is none, which is noted.
    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.given.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(value)) => Some(*value),
            Some(_) => {
                self.fault(name, "must be true or false");
                None
            }
        }
    }

    /// A list of texts; `None` where it is absent or `null`, or is none, which is noted.
    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let list = match self.given.get(name) {
            None | Some(Value::Null) => return None,
            Some(list) => {
                list.as_array().map(|list| list.iter().map(|text| text.as_str().map(str::to_owned)).collect())
            }
        };
        match list {
            Some(Some(texts)) => Some(texts),
            _ => {
                self.fault(name, "must be a list of strings");
                None
            }
        }
    }

    /// A text of one of these values; `None` where it is absent or `null`, or is none of them, which is noted.
    pub(super) fn one_of<T: Copy>(&mut self, name: &str, values: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = values.iter().find(|(known, _)| *known == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = values.iter().map(|(known, _)| *known).collect();
            self.fault(name, format!("must be one of {}", names.join(", ")));
        }
        found
    }

    /// All that was noted.
    pub(super) fn faults(self) -> Vec<Fault> {
        self.faults
    }
}

/// What a platform's body asks for: a document as `/v1` takes it, and what is wrong with the body already.
pub(super) struct Asked {
    /// The fields that the platform's body sets. In a change, those that are absent stay.
    pub(super) fields: Map<String, Value>,
    /// What is wrong with the platform's body, by its own names.
    pub(super) faults: Vec<Fault>,
}

/// The platform's name of a field of `/v1`, both as JSON pointers.
pub(super) type Name = fn(&str) -> String;

impl Asked {
    /// What is wrong with it, with what `/v1` finds wrong.
    fn judged<T>(self, name: Name, read: impl FnOnce(&[u8]) -> Result<T, Problem>) -> Result<T, Problem> {
        let text = Value::Object(self.fields).to_string();
        let read = read(text.as_bytes()).map_err(|problem| problem.renamed(name));
        match (read, self.faults.is_empty()) {
            (read, true) => read,
            (Ok(_), false) => Err(Problem::invalid(self.faults)),
            (Err(problem), false) => {
                let told = |fault: &Fault| self.faults.iter().any(|own| own.pointer == fault.pointer);
                let further: Vec<Fault> =
                    problem.faults().iter().filter(|fault| !told(fault)).cloned().collect();
                let all = self.faults.iter().cloned().chain(further);
                Err(Problem::invalid(all.take(MAX_FAULTS).collect()))
            }
        }
    }

    /// Makes an endpoint.
    ///
    /// # Errors
    /// 422 with every fault, by the platform's names; else as the engine fails.
    pub(super) async fn make(self, app: &App, tenant: &Tenant, name: Name) -> Result<EndpointView, Problem> {
        self.make_with_secret(app, tenant, name).await.map(|(view, _)| view)
    }

    /// Makes an endpoint, and gives its signing secret too, for who is shown it this once.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub(super) async fn make_with_secret(
        self,
        app: &App,
        tenant: &Tenant,
        name: Name,
    ) -> Result<(EndpointView, Option<SigningSecret>), Problem> {
        let (engine, judge) = (app.engine(), |url: &str| app.engine().judge_url(url));
        let fresh = engine.fresh_secret()?;
        let terms = engine.terms(tenant, &judge);
        let config =
            self.judged(name, |body| Ok(EndpointConfig::parse_create_judged(body, fresh, &terms)?))?;
        let secret = config.secret.clone();
        let made = engine.create_endpoint(tenant.no, config).await;
        Ok((made.map_err(|error| Problem::from(error).renamed(name))?, secret))
    }

    /// Makes an endpoint under an id; where it was made a moment ago, it is changed to this.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub(super) async fn make_as(
        self,
        app: &App,
        tenant: &Tenant,
        id: &str,
        name: Name,
    ) -> Result<EndpointView, Problem> {
        let (engine, judge) = (app.engine(), |url: &str| app.engine().judge_url(url));
        let id = id.parse().map_err(|form: &str| Problem::fault("/id", form.to_owned()))?;
        let fresh = engine.fresh_secret()?;
        let terms = engine.terms(tenant, &judge);
        let change = |before: Option<&EndpointConfig>| {
            self.judged(name, |body| match before {
                Some(before) => Ok(before.apply_patch_judged(body, &terms)?),
                None => Ok(EndpointConfig::parse_create_judged(body, fresh, &terms)?),
            })
        };
        let made = engine.put_endpoint(tenant.no, id, change).await;
        Ok(made.map_err(|problem: Problem| problem.renamed(name))?.0)
    }

    /// Changes an endpoint. Credentials and secret stay where they are not given, also where the URL moves to another host,
    /// which the operator is told.
    ///
    /// # Errors
    /// As [`Self::make`]; 404 where it is gone.
    pub(super) async fn change(
        self,
        app: &App,
        tenant: &Tenant,
        id: &str,
        name: Name,
    ) -> Result<EndpointView, Problem> {
        change_by(app, tenant, id, name, |_| Ok(self)).await
    }
}

/// Changes an endpoint to what `asks` makes of it, which sees it as `/v1` shows it; nobody else changes it meanwhile. Else as
/// [`Asked::change`].
///
/// # Errors
/// What `asks` says; else as [`Asked::change`].
pub(super) async fn change_by(
    app: &App,
    tenant: &Tenant,
    id: &str,
    name: Name,
    asks: impl FnOnce(&Value) -> Result<Asked, Problem> + Send,
) -> Result<EndpointView, Problem> {
    let (engine, judge) = (app.engine(), |url: &str| app.engine().judge_url(url));
    let terms = engine.terms(tenant, &judge).with_credentials_that_go_along();
    let change = |before: &EndpointConfig| {
        let asked = asks(&as_value(&before.public_view()))?;
        let after = asked.judged(name, |body| Ok(before.apply_patch_judged(body, &terms)?))?;
        let moved = after.takes_credentials_along(before);
        Ok::<_, Problem>((after, moved))
    };
    engine.change_endpoint_telling(tenant, id, change).await.map_err(|problem| problem.renamed(name))
}

/// An endpoint as `/v1` shows it.
pub(super) fn as_v1(view: &EndpointView) -> Value {
    as_value(&view.config.view())
}

fn as_value(members: &Members) -> Value {
    serde_json::to_value(members).unwrap_or_default()
}
