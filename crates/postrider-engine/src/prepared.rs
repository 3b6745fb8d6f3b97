//! What an attempt needs of an endpoint, made ready once for each version: address, headers, signing keys.
//!
//! Of a delivery's request only id, times, numbers and signature are made anew. What is ready is kept in a bounded cache,
//! since it takes several times the memory of the endpoint itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::RwLock;
use postrider_core::endpoint::{EndpointConfig, headers as rules};
use postrider_core::id::EndpointNo;
use postrider_core::profile::{Profile, ProfileName, Rotates};
use postrider_core::record::Event;
use postrider_core::time::Timestamp;
use postrider_core::wire::{self, Keys, Message};
use postrider_dispatch::{Target, UrlPolicy};
use rustc_hash::FxHashMap;

use crate::clock;
use crate::directory::{Directory, Endpoint};
use crate::oauth::Client;
use crate::sealed::Unreadable;

/// Parts of the cache, so that endpoints of different parts never wait for each other.
const PARTS: usize = 16;
/// Endpoints kept ready, at most; about 2 KiB each.
const MAX_PREPARED: usize = 2_048;

/// What a masked value is shown as.
pub(crate) const MASK: &str = "***";

/// One version of an endpoint, ready for attempts.
pub(crate) struct PreparedEndpoint {
    /// The version of its configuration.
    pub(crate) version: u32,
    /// Where requests go.
    pub(crate) target: Arc<Target>,
    /// How long an attempt may take.
    pub(crate) timeout: Duration,
    id: Box<str>,
    tenant: Box<str>,
    /// Whoever asks for the tokens of its requests, where they need one.
    pub(crate) client: Option<Arc<Client>>,
    base: HeaderMap,
    own: Format,
    /// Further ones whose headers are sent, each until a time.
    also: Vec<(Format, Timestamp)>,
}

/// A profile's format, ready to render and sign.
struct Format {
    profile: Arc<Profile>,
    names: Box<[HeaderName]>,
    /// What it signs with, each until a time.
    keys: Vec<(Keys, Timestamp)>,
}

/// Why an endpoint is not ready for attempts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unprepared {
    /// It does not exist (any more).
    #[error("it does not exist")]
    Gone,
    /// It is not stored as it should be.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Its stored form does not pass today's rules.
    #[error("{0}")]
    Unfit(String),
    /// Its profile, or one that it also signs as, is there no more.
    #[error(
        "there is no profile {0}: put its declaration back into profiles_dir, or give the endpoint another"
    )]
    NoProfile(ProfileName),
}

impl Unprepared {
    /// What its owner is told.
    pub(crate) const fn shown(&self) -> &'static str {
        match self {
            Self::Unreadable(Unreadable::Sealed(_)) => {
                "the endpoint's secrets cannot be read; the operator's log says why"
            }
            Self::NoProfile(_) => "the endpoint's profile is there no more; give it another",
            Self::Gone | Self::Unreadable(_) | Self::Unfit(_) => {
                "the endpoint's configuration cannot be used any more"
            }
        }
    }
}

impl PreparedEndpoint {
    /// Makes an endpoint ready.
    ///
    /// Where the operator has narrowed down since where deliveries may go, it is made ready all the same: the dispatcher
    /// judges every connection, and each attempt then says why it failed.
    ///
    /// # Errors
    /// [`Unprepared`] for secrets that do not open, for a profile that is there no more, and for a stored form that does not
    /// pass today's rules.
    pub(crate) fn new(endpoint: &Endpoint, directory: &Directory) -> Result<Self, Unprepared> {
        let config = endpoint.opened(directory.key())?;
        let target = stored_target(&config.url)?;
        let own = Format::new(&config.profile, &config, directory)?;
        let tenant = directory.tenant_by_no(endpoint.tenant);
        // What is over is over, whatever became of its profile.
        let also = config.also_sign.iter().filter(|also| clock::wall() < also.until);
        let client = config.auth.oauth2().map(|client| Client::new(endpoint.no, endpoint.version, client));
        Ok(Self {
            version: endpoint.version,
            target: Arc::new(target),
            timeout: config.timeout,
            client: client.transpose()?.map(Arc::new),
            id: endpoint.id.as_str().into(),
            tenant: tenant.map(|tenant| tenant.id.as_str().into()).unwrap_or_default(),
            base: base_headers(&config, &own)?,
            own,
            also: also
                .map(|also| Ok((Format::new(&also.profile, &config, directory)?, also.until)))
                .collect::<Result<_, Unprepared>>()?,
        })
    }

    /// How its webhooks look.
    pub(crate) fn profile(&self) -> &Profile {
        &self.own.profile
    }

    /// The headers of a request that has no body.
    pub(crate) fn bare_headers(&self) -> HeaderMap {
        let mut headers = self.base.clone();
        headers.remove(CONTENT_TYPE);
        headers
    }

    /// Headers and body of one attempt at a time of the wall clock; a test has no sequence.
    pub(crate) fn render(
        &self,
        event: &Event,
        sequence: Option<u64>,
        attempt: u32,
        now: Timestamp,
    ) -> (HeaderMap, Bytes) {
        let id = event.id();
        let (endpoint, tenant) = (&*self.id, &*self.tenant);
        let message = Message { event, id: &id, sequence, attempt, at: now, endpoint, tenant };
        let body = self.profile().wire().render_body(&message);
        let mut headers = self.base.clone();
        self.own.put_headers(&message, &body, &mut headers);
        for (format, _) in self.also.iter().filter(|(_, until)| now < *until) {
            format.put_headers(&message, &body, &mut headers);
        }
        (headers, body)
    }
}

impl Format {
    fn new(name: &ProfileName, config: &EndpointConfig, directory: &Directory) -> Result<Self, Unprepared> {
        let profile =
            directory.profiles().get(name.as_str()).ok_or_else(|| Unprepared::NoProfile(name.clone()))?;
        let fallback = || directory.secret_of(name).filter(|_| profile.secret().fallback);
        let current = config.secret.clone().or_else(fallback);
        let current = current.iter().map(|secret| {
            let keys =
                profile.keys(secret).map_err(|form| Unprepared::Unfit(format!("its secret {form}")))?;
            Ok((keys, Timestamp::FAR_FUTURE))
        });
        let mut keys = current.collect::<Result<Vec<_>, Unprepared>>()?;
        // What was rotated away signs only where several signatures can be told apart, and where it can be a key.
        if profile.secret().rotates == Rotates::Overlapping {
            let previous = config.previous_secrets.iter();
            keys.extend(previous.filter_map(|(secret, until)| Some((profile.keys(secret).ok()?, *until))));
        }
        let names = profile.wire().header_names().map(|name| {
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Unprepared::Unfit(format!("{name}: cannot be sent as a header")))
        });
        let names = names.collect::<Result<_, _>>()?;
        Ok(Self { profile: Arc::clone(profile), names, keys })
    }

    fn put_headers(&self, message: &Message<'_>, body: &[u8], headers: &mut HeaderMap) {
        let keys = self.keys.iter().filter(|(_, until)| message.at < *until).map(|(keys, _)| keys);
        self.profile.wire().render_headers(message, body, keys, |at, value, signs| {
            // Formats write visible ASCII alone.
            if let Ok(mut value) = HeaderValue::try_from(value) {
                value.set_sensitive(signs);
                headers.insert(self.names[at].clone(), value);
            }
        });
    }
}

/// A stored URL, wherever it leads.
pub(crate) fn stored_target(url: &str) -> Result<Target, Unprepared> {
    let anywhere = UrlPolicy { allow_loopback: true, allow_private: true, ..UrlPolicy::default() };
    Target::parse(url, &anywhere).map_err(|fault| Unprepared::Unfit(fault.to_string()))
}

/// What every request to an endpoint carries.
fn base_headers(config: &EndpointConfig, format: &Format) -> Result<HeaderMap, Unprepared> {
    let mut headers = HeaderMap::with_capacity(config.headers.len() + format.names.len() + 3);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(wire::CONTENT_TYPE));
    headers.insert(USER_AGENT, HeaderValue::from_static(wire::USER_AGENT));
    for (name, value) in &config.headers {
        // Asked again, so that nothing that came into the store otherwise changes a message or its routing.
        let checked = rules::check_name(name).and_then(|()| rules::check_value(value));
        checked.map_err(|fault| Unprepared::Unfit(format!("{name}: {fault}")))?;
        let unfit = || Unprepared::Unfit(format!("{name}: cannot be sent as a header"));
        let mut value = HeaderValue::from_str(value).map_err(|_| unfit())?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
        value.set_sensitive(name == AUTHORIZATION);
        headers.insert(name, value);
    }
    if let Some((name, credential)) = config.auth.header_in(format.profile.bearer()) {
        let unfit = |_| Unprepared::Unfit("the credential cannot be sent as a header".into());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| unfit(e.to_string()))?;
        let mut value = HeaderValue::from_str(credential.reveal()).map_err(|e| unfit(e.to_string()))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The endpoints that are ready.
pub(crate) struct PreparedCache {
    parts: [RwLock<FxHashMap<EndpointNo, Arc<PreparedEndpoint>>>; PARTS],
}

impl Default for PreparedCache {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| RwLock::default()) }
    }
}

impl PreparedCache {
    fn part(&self, no: EndpointNo) -> &RwLock<FxHashMap<EndpointNo, Arc<PreparedEndpoint>>> {
        &self.parts[no.0 as usize % PARTS]
    }

    /// Drops what is ready of an endpoint.
    pub(crate) fn forget(&self, no: EndpointNo) {
        self.part(no).write().remove(&no);
    }
}

impl Directory {
    /// What attempts to an endpoint need.
    ///
    /// # Errors
    /// [`Unprepared`]; unless it is gone, the log has said why.
    pub(crate) fn prepared(&self, no: EndpointNo) -> Result<Arc<PreparedEndpoint>, Unprepared> {
        self.prepared_as(no, 0)
    }

    /// The same, of that version at least: attempts for one that is on its way to the store go where it says.
    ///
    /// # Errors
    /// As for [`Self::prepared`].
    pub(crate) fn prepared_as(
        &self,
        no: EndpointNo,
        version: u32,
    ) -> Result<Arc<PreparedEndpoint>, Unprepared> {
        let part = self.ready().part(no);
        if let Some(ready) = part.read().get(&no).filter(|ready| ready.version >= version) {
            return Ok(Arc::clone(ready));
        }
        let endpoint = self.endpoint_of_version(no, version).ok_or(Unprepared::Gone)?;
        let prepared = PreparedEndpoint::new(&endpoint, self).inspect_err(
            |error| tracing::error!(endpoint = endpoint.id.as_str(), %error, "nothing is delivered to an endpoint"),
        )?;
        let prepared = Arc::new(prepared);
        let mut part = part.write();
        // An edit first changes the endpoint and then drops what was ready of it: what is kept here is current.
        if self.endpoint_by_no(no).is_some_and(|now| now.version == prepared.version) {
            if part.len() >= MAX_PREPARED / PARTS
                && let Some(any) = part.keys().next().copied()
            {
                part.remove(&any);
            }
            part.insert(no, Arc::clone(&prepared));
        }
        Ok(prepared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed;
    use postrider_core::id::{Position, TenantNo};
    use postrider_core::seal::DataKey;
    use postrider_core::signature::SigningKey;
    use postrider_store::{Recovery, StoredEndpoint};

    const NOW: Timestamp = Timestamp::from_secs(1_763_000_000);

    fn key() -> DataKey {
        DataKey::new(&[7; 32])
    }

    fn directory() -> Directory {
        Directory::load(
            &Recovery::default(),
            key(),
            &Default::default(),
            &Default::default(),
            &Default::default(),
        )
        .unwrap()
    }

    fn sealed(no: u32, version: u32, config: &EndpointConfig) -> Bytes {
        sealed::seal(&key(), EndpointNo(no), version, config).unwrap()
    }

    fn endpoint(no: u32, version: u32, body: &str) -> Arc<Endpoint> {
        let config = EndpointConfig::parse_create(body.as_bytes(), [7; 24]).unwrap();
        Arc::new(Endpoint {
            no: EndpointNo(no),
            tenant: TenantNo(1),
            id: format!("ep_{no}").parse().unwrap(),
            version,
            doc: config.to_doc()[..].into(),
            secrets: sealed(no, version, &config)[..].into(),
            verification: None,
            created_at: NOW,
            updated_at: NOW,
        })
    }

    fn event() -> Event {
        Event {
            position: Position(1),
            tenant: TenantNo(1),
            accepted_at: NOW,
            occurred_at: NOW,
            event_type: "card.frozen".into(),
            own_id: Some("own".into()),
            key: None,
            subject: None,
            expires_at: None,
            attributes: Bytes::new(),
            data: Bytes::from_static(b"1"),
        }
    }

    #[test]
    fn a_request_carries_what_was_configured_and_a_signature_that_verifies() {
        let body =
            r#"{"url":"https://a.example/","headers":{"X-App":"1"},"auth":{"type":"bearer","token":"hush"}}"#;
        let endpoint = endpoint(1, 1, body);
        let prepared = PreparedEndpoint::new(&endpoint, &directory()).unwrap();
        let (headers, sent) = prepared.render(&event(), Some(9), 2, NOW);
        for (name, value) in [
            ("content-type", "application/json"),
            ("x-app", "1"),
            ("authorization", "Bearer hush"),
            ("webhook-id", "own"),
            ("webhook-timestamp", "1763000000"),
            ("webhook-sequence", "9"),
            ("webhook-attempt", "2"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        let config = endpoint.opened(&key()).unwrap();
        let signature = headers["webhook-signature"].to_str().unwrap();
        let key = SigningKey::new(config.secret.as_ref().unwrap());
        key.verify("own", "1763000000", signature, &sent, NOW, Duration::from_secs(1)).unwrap();
        assert!(!format!("{headers:?}").contains("hush") && !format!("{headers:?}").contains(signature));
        assert!(!prepared.render(&event(), None, 1, NOW).0.contains_key("webhook-sequence"));
    }

    #[test]
    fn an_edit_is_seen_by_the_next_attempt_and_a_removal_too() {
        let directory = directory();
        directory.put_endpoint(endpoint(1, 1, r#"{"url":"https://a.example/"}"#));
        assert_eq!(directory.prepared(EndpointNo(1)).unwrap().target.as_str(), "https://a.example/");
        directory.put_endpoint(endpoint(1, 2, r#"{"url":"https://b.example/"}"#));
        let prepared = directory.prepared(EndpointNo(1)).unwrap();
        assert_eq!((prepared.version, prepared.target.as_str()), (2, "https://b.example/"));
        directory.remove_endpoint(EndpointNo(1));
        assert!(matches!(directory.prepared(EndpointNo(1)), Err(Unprepared::Gone)));
    }

    #[test]
    fn what_is_on_its_way_to_the_store_is_ready_for_the_attempts_that_are_for_it() {
        let directory = directory();
        let at = |version| directory.prepared_as(EndpointNo(1), version).unwrap().version;
        directory.put_endpoint(endpoint(1, 1, r#"{"url":"https://a.example/"}"#));
        let next = endpoint(1, 2, r#"{"url":"https://b.example/"}"#);
        directory.stage_endpoint(Arc::clone(&next));
        assert_eq!((at(1), at(2), at(1)), (1, 2, 1));
        directory.put_endpoint(next);
        directory.unstage_endpoint(EndpointNo(1));
        assert_eq!((at(1), at(2)), (2, 2));
    }

    #[test]
    fn abuse_a106_secrets_of_another_endpoint_or_an_earlier_version_are_not_used() {
        let body = r#"{"url":"https://a.example/","auth":{"type":"bearer","token":"hush"}}"#;
        let directory = directory();
        let (one, two) = (endpoint(1, 1, body), endpoint(2, 1, body));
        let mixed = |from: &Endpoint, no: u32, version: u32| {
            Arc::new(Endpoint {
                secrets: from.secrets.clone(),
                ..Arc::into_inner(endpoint(no, version, body)).unwrap()
            })
        };
        for mixed in [mixed(&two, 1, 1), mixed(&one, 2, 1), mixed(&one, 1, 2)] {
            let no = mixed.no;
            directory.put_endpoint(mixed);
            let Err(unprepared) = directory.prepared(no) else { panic!("it was used") };
            assert!(unprepared.shown().contains("secrets cannot be read"), "{unprepared}");
        }
        directory.put_endpoint(one);
        assert!(directory.prepared(EndpointNo(1)).is_ok());
    }

    #[test]
    fn no_more_endpoints_are_kept_ready_than_there_is_room_for() {
        let directory = directory();
        let all = u32::try_from(MAX_PREPARED).unwrap() + 500;
        for no in 0..all {
            directory.put_endpoint(endpoint(no, 1, r#"{"url":"https://a.example/"}"#));
            assert!(directory.prepared(EndpointNo(no)).is_ok());
        }
        let kept: usize = directory.ready().parts.iter().map(|part| part.read().len()).sum();
        assert!(kept <= MAX_PREPARED, "{kept}");
        assert!((0..all).all(|no| directory.prepared(EndpointNo(no)).is_ok()));
    }

    #[test]
    fn what_a_start_finds_is_known_and_what_was_removed_keeps_its_name_alone() {
        let config = EndpointConfig::parse_create(br#"{"url":"https://a.example/"}"#, [7; 24]).unwrap();
        let stored = |no: u32, deleted| StoredEndpoint {
            no: EndpointNo(no),
            tenant: TenantNo(1),
            id: format!("ep_{no}"),
            version: 3,
            doc: config.to_doc(),
            secrets: sealed(no, 3, &config),
            created_at: NOW,
            updated_at: NOW,
            deleted,
            health: Default::default(),
            verification: Bytes::new(),
            last_sequence: 0,
            has_pending: deleted,
            blocking: Vec::new(),
            held: Vec::new(),
        };
        let recovery = Recovery { endpoints: vec![stored(1, false), stored(2, true)], ..Recovery::default() };
        let directory =
            Directory::load(&recovery, key(), &Default::default(), &Default::default(), &Default::default())
                .unwrap();
        assert!(directory.endpoint(TenantNo(1), "ep_1").is_some_and(|endpoint| endpoint.version == 3));
        assert!(
            directory.endpoint(TenantNo(1), "ep_2").is_none() && directory.prepared(EndpointNo(2)).is_err()
        );
        assert_eq!(directory.endpoint_id(EndpointNo(2)).unwrap().as_str(), "ep_2");
        assert_eq!(directory.endpoints_after(TenantNo(1), None, 10).len(), 1);
    }
}
