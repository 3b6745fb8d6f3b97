//! Reading a profile's declaration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Acknowledged, BearerForm, DeliveryRules, IdForm, Profile, ProfileName, SecretRule, challenge};
use crate::endpoint::{DEFAULT_TIMEOUT_MS, MAX_SCHEDULE_STEPS, SCHEDULE_STEP_S, TIMEOUT_MS};
use crate::fields::{MAX_DESCRIPTION_CHARS, one_of, plain_text};
use crate::json::{self, Object};
use crate::wire::WireFormat;

pub(super) fn profile(name: ProfileName, text: &str, object: &mut Object<'_>) -> Option<Profile> {
    let description = object.optional("description", |v| plain_text(v, MAX_DESCRIPTION_CHARS).map(Box::from));
    let wire = WireFormat::read(object);
    let secret = object.object("secret", SecretRule::read).unwrap_or_default();
    let delivery = object.object("delivery", |inner| Some(delivery(inner)));
    let bearer = object.object("authentication", |inner| {
        let forms = [("always", BearerForm::Always), ("unless_schemed", BearerForm::UnlessSchemed)];
        inner.optional("bearer", |v| one_of(v, &forms))
    });
    let forms = [("native", IdForm::Native), ("uuid", IdForm::Uuid), ("integer", IdForm::Integer)];
    let ids = object.optional("ids", |v| one_of(v, &forms)).unwrap_or_default();
    let challenge = object.object("challenge", challenge::read);
    let catalogs = [("open", false), ("closed", true)];
    let closed =
        object.optional("catalog", |v| one_of(v, &catalogs)).unwrap_or(name.as_str() != super::STANDARD);
    if object.optional_raw("decision").is_some() {
        object.fault(
            "decision",
            "is kept for the form of decisions, which no declaration has yet; leave it out",
        );
    }
    if challenge.is_some() && !secret.required {
        object.fault(
            "challenge",
            "needs a secret that every endpoint has: set secret.required or secret.generate",
        );
    }
    Some(Profile {
        name,
        description: description.unwrap_or_default(),
        declaration: text.into(),
        wire: wire?,
        secret,
        delivery: delivery.unwrap_or_else(defaults),
        bearer: bearer.unwrap_or_default(),
        ids,
        challenge: challenge.map(Arc::new),
        closed,
        types: BTreeMap::new(),
    })
}

fn defaults() -> DeliveryRules {
    DeliveryRules {
        acknowledged: Acknowledged::default(),
        timeout: Duration::from_millis(DEFAULT_TIMEOUT_MS.into()),
        schedule: None,
        pause_skips: false,
        gone_disables: false,
        failing_disables: false,
        directives: false,
    }
}

fn delivery(object: &mut Object<'_>) -> DeliveryRules {
    let mut rules = defaults();
    if let Some(acknowledged) = object.object("acknowledged", Acknowledged::read) {
        rules.acknowledged = acknowledged;
    }
    if let Some(timeout_ms) = object.optional("timeout_ms", |v| json::integer(v, TIMEOUT_MS)) {
        rules.timeout = Duration::from_millis(timeout_ms.into());
    }
    let schedule = object.list("schedule_s", MAX_SCHEDULE_STEPS, |v| {
        json::integer(v, SCHEDULE_STEP_S).map(|s| Duration::from_secs(s.into()))
    });
    rules.schedule = schedule.map(Into::into);
    rules.pause_skips =
        object.optional("paused", |v| one_of(v, &[("hold", false), ("skip", true)])).unwrap_or_default();
    let mut flag = |name| object.optional(name, json::boolean).unwrap_or_default();
    rules.gone_disables = flag("gone_disables");
    rules.failing_disables = flag("failing_disables");
    rules.directives = flag("directives");
    rules
}
