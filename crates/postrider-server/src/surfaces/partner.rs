//! Who calls a platform's API, and for which tenant.

use std::sync::Arc;

use http::{HeaderMap, header};
use postrider_core::fault::Fault;
use postrider_core::token::Scope;
use postrider_engine::Tenant;

use crate::app::App;
use crate::auth::{Caller, bearer};
use crate::problem::{Kind, Problem};

/// The one value of a header.
///
/// # Errors
/// 401 where it comes more than once: which of them counts cannot be known.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut given = headers.get_all(name).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(value.to_str().ok().map(str::trim)),
        (Some(_), Some(_)) => Err(unauthorized("send each credential once")),
    }
}

/// The token of `Authorization`: `Bearer <token>`, or where `bare` the token alone too.
///
/// # Errors
/// 401 as [`one`].
pub(super) fn authorization(headers: &HeaderMap, bare: bool) -> Result<Option<&str>, Problem> {
    let value = one(headers, header::AUTHORIZATION.as_str())?;
    Ok(value.and_then(|value| {
        bearer(value.as_bytes())
            .or_else(|| (bare && !value.is_empty() && !value.contains(' ')).then_some(value))
    }))
}

/// What is wrong with a field, as a sentence.
pub(super) fn told(fault: &Fault) -> String {
    match fault.pointer.trim_start_matches('/') {
        "" => fault.detail.to_string(),
        field => format!("{field} {}", fault.detail),
    }
}

/// No valid credential.
pub(super) fn unauthorized(how: &'static str) -> Problem {
    Problem::new(Kind::Unauthorized, how)
}

/// The caller's own tenant: that of a token that is bound to one, which must be of the platform's profile.
///
/// # Errors
/// 403 for a token that is for several tenants, and without the scope; 404 for a tenant of another profile.
pub(super) fn own_tenant(
    app: &App,
    caller: &Caller,
    profile: &str,
    scope: Scope,
) -> Result<Arc<Tenant>, Problem> {
    let Some(tenant) = caller.token().config.exact_tenant() else {
        return Err(Problem::new(
            Kind::Forbidden,
            "the token is for more than one tenant; use one that is bound to the tenant",
        ));
    };
    tenant_named(app, caller, profile, tenant, scope)
}

/// The tenant of that name, if it is within the caller's reach and of the platform's profile.
///
/// # Errors
/// The same 404 for one that does not exist, is somebody else's, or is of another profile; 403 without the scope.
pub(super) fn tenant_named(
    app: &App,
    caller: &Caller,
    profile: &str,
    tenant: &str,
    scope: Scope,
) -> Result<Arc<Tenant>, Problem> {
    let found = if caller.reaches(tenant) { app.engine().tenant(tenant) } else { None };
    let found = found.filter(|tenant| tenant.profile.as_str() == profile);
    let found = found.ok_or_else(|| Problem::not_found("the account"))?;
    caller.may(scope)?;
    Ok(found)
}
