//! The other side: what a request tells its receiver of the delivery, and what speaks against it.

use std::time::Duration;

use super::sign::Keys;
use super::template::{self, Part, Value};
use super::{Header, WireFormat};
use crate::time::Timestamp;

/// What a request says of the delivery, and all that speaks against it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Received {
    /// The event's id, if the format tells it.
    pub event_id: Option<String>,
    /// The event's type, if the format tells it.
    pub event_type: Option<String>,
    /// The endpoint's number for the delivery, if the format tells it.
    pub sequence: Option<u64>,
    /// All that is not as the format declares it, in words for whoever receives; none repeats anything of the request.
    pub faults: Vec<String>,
}

/// What is found while a request is read.
#[derive(Default)]
struct Reading {
    known: Vec<(Value, String)>,
    /// What headers hold in the place of a signature: its place among the format's, the header's name, the text.
    signatures: Vec<(usize, Box<str>, String)>,
    faults: Vec<String>,
}

impl Reading {
    fn text(&self, value: Value) -> Option<&str> {
        self.known.iter().find(|(known, _)| *known == value).map(|(_, text)| &**text)
    }

    /// Takes a value as a header writes it. `false` where it was said otherwise before.
    fn learn(&mut self, value: Value, text: &str) -> bool {
        match self.text(value) {
            Some(before) => before == text,
            None => {
                self.known.push((value, text.to_owned()));
                true
            }
        }
    }

    fn header(&mut self, header: &Header, given: Option<&str>) {
        let name = &header.name;
        let Some(given) = given else {
            let is_free = |part: &Part<usize>| matches!(part, Part::Value(value) if value.may_lack());
            if !header.value.iter().any(is_free) {
                self.faults.push(format!("the header {name} is missing"));
            }
            return;
        };
        let Some(found) = template::read(&header.value, given) else {
            self.faults.push(format!("the header {name} has not the form that the profile declares"));
            return;
        };
        for (part, text) in found {
            match part {
                Part::Special(at) => self.signatures.push((*at, name.clone(), text.to_owned())),
                Part::Value(value) if !self.learn(*value, text) => {
                    self.faults.push(format!("the header {name} differs from another that says the same"));
                }
                Part::Value(_) | Part::Text(_) => {}
            }
        }
    }

    fn times(&mut self, now: Timestamp, tolerance: Duration) {
        for (value, text) in &self.known {
            let Value::Timestamp(format) = value else { continue };
            let allowed = tolerance.as_secs();
            let Some(at) = format.read(text) else {
                self.faults.push("the timestamp is no time in the form that the profile declares".into());
                continue;
            };
            let distance = now.as_secs().abs_diff(at.as_secs());
            if distance > allowed {
                let by = if at < now { "old" } else { "ahead" };
                self.faults.push(format!(
                    "the timestamp is {distance} s {by}, {allowed} s are allowed; is the clock right?"
                ));
            }
        }
    }
}

impl WireFormat {
    /// Reads a request as a receiver does: `header` gives the value of the one of that name. Signatures are checked under
    /// `keys`; without any they are not. Headers that have two values without a text between them cannot be read.
    ///
    /// ```
    /// use postrider_core::profile::Profile;
    /// use postrider_core::secret::{Secret, SigningSecret};
    /// use postrider_core::time::Timestamp;
    /// let declared = r#"
    ///     body = { shape = "raw" }
    ///     headers = { X-Id = "{event.id}", X-Signature = "{signatures.body}" }
    ///     signatures.body = { encoding = "hex", over = "{body}" }
    /// "#;
    /// let profile = Profile::parse("own".parse().unwrap(), declared).unwrap();
    /// let keys = profile.keys(&SigningSecret::of_text(Secret::new("Jefe")).unwrap()).unwrap();
    /// // Test case 2 of RFC 4231, which is no JSON.
    /// let header = |name: &str| match name {
    ///     "X-Id" => Some("evt_1"),
    ///     _ => Some("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    /// };
    /// let (now, body) = (Timestamp::from_secs(0), b"what do ya want for nothing?");
    /// let received = profile.wire().receive(header, body, Some(&keys), now, Default::default());
    /// assert_eq!(received.event_id.as_deref(), Some("evt_1"));
    /// assert_eq!(received.faults, ["the body is not JSON of the shape that the profile declares"]);
    /// ```
    pub fn receive<'h>(
        &self,
        header: impl Fn(&str) -> Option<&'h str>,
        body: &[u8],
        keys: Option<&Keys>,
        now: Timestamp,
        tolerance: Duration,
    ) -> Received {
        let mut reading = Reading::default();
        for declared in &self.headers {
            reading.header(declared, header(&declared.name));
        }
        let mut agrees = true;
        let has_shape = self.body.receive(body, |value, text| {
            let mut visible = String::new();
            template::visible_into(&mut visible, text);
            agrees &= reading.learn(value, &visible);
        });
        if !has_shape {
            reading.faults.push("the body is not JSON of the shape that the profile declares".into());
        }
        if !agrees {
            reading.faults.push("the body differs from a header that says the same".into());
        }
        reading.times(now, tolerance);
        let check = |keys| {
            let of = |(at, name, given): &(usize, Box<str>, String)| {
                let known = |value| reading.text(value);
                let checked = self.signatures[*at].check(*at, keys, known, body, given);
                checked.err().map(|fault| format!("the header {name}: {fault}"))
            };
            reading.signatures.iter().filter_map(of).collect::<Vec<_>>()
        };
        let unsigned = keys.map(check).unwrap_or_default();
        reading.faults.extend(unsigned);
        let text = |value| reading.text(value).map(str::to_owned);
        Received {
            event_id: text(Value::EventId),
            event_type: text(Value::EventType),
            sequence: reading.text(Value::Sequence).and_then(|text| text.parse().ok()),
            faults: reading.faults,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;
    use crate::id::{Position, TenantNo};
    use crate::profile::Profile;
    use crate::record::Event;
    use crate::secret::{Secret, SigningSecret};
    use crate::signature::DEFAULT_TOLERANCE;

    /// The example of the Standard Webhooks reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const MADE: i64 = 1_614_265_330;

    type Given<'a> = Vec<(&'a str, &'a str)>;

    fn receive(
        profile: &Profile,
        given: &[(&str, &str)],
        body: &[u8],
        secret: &str,
        now: Timestamp,
    ) -> Received {
        let secret = SigningSecret::of_text(Secret::new(secret)).unwrap();
        let keys = profile.keys(&secret).unwrap();
        let header = |name: &str| {
            given.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
        };
        profile.wire().receive(header, body, Some(&keys), now, DEFAULT_TOLERANCE)
    }

    #[test]
    fn a_signature_of_the_standard_holds_for_its_own_content_and_time_alone() {
        let faults = |signature: &str, body: &[u8], secret: &str, now: i64| {
            let given: Given<'_> = vec![
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", signature),
                ("webhook-attempt", "1"),
            ];
            let found = receive(Profile::standard(), &given, body, secret, Timestamp::from_secs(now));
            // Theirs is another body than ours.
            let shape = "the body is not JSON of the shape that the profile declares";
            found.faults.into_iter().filter(|fault| fault != shape).collect::<Vec<_>>()
        };
        assert_eq!(faults(SIGNATURE, BODY, SECRET, MADE + 300), [""; 0]);
        let two = format!("v1,AAAA v1a,{} {SIGNATURE}", &SIGNATURE[3..]);
        assert_eq!(faults(&two, BODY, SECRET, MADE), [""; 0], "one of several is enough");
        let mismatch = "the header webhook-signature: no signature fits: another secret, or the body is not the bytes that came";
        for (signature, body, secret, now, expected) in [
            (SIGNATURE, &br#"{"test":2432232314}"#[..], SECRET, MADE, mismatch),
            (SIGNATURE, BODY, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", MADE, mismatch),
            ("v1,!", BODY, SECRET, MADE, mismatch),
            (
                SIGNATURE,
                BODY,
                SECRET,
                MADE + 301,
                "the timestamp is 301 s old, 300 s are allowed; is the clock right?",
            ),
            (
                SIGNATURE,
                BODY,
                SECRET,
                MADE - 301,
                "the timestamp is 301 s ahead, 300 s are allowed; is the clock right?",
            ),
            ("v2,AAAA", BODY, SECRET, MADE, "the header webhook-signature: no signature begins with \"v1,\""),
        ] {
            assert_eq!(faults(signature, body, secret, now), [expected]);
        }
    }

    #[test]
    fn whatever_is_rendered_is_received_without_faults() {
        for text in [
            "body = { shape = 'flat', field = 'kind' }\nheaders = { X-S = 'sha512={signatures.a}' }\n\
             signatures.a = { algorithm = 'hmac-sha512', encoding = 'base64', over = '{body}.{event.type}' }",
            "body = { shape = 'raw' }\nheaders = { X-S = 't={timestamp:unix_ms},v1={signatures.a};', X-Key = '{event.key}' }\n\
             signatures.a = { encoding = 'hex', prefix = 'a=', separator = ' ', over = '{timestamp:unix_ms}.{body}' }",
            "body = { shape = 'envelope', fields = [{ name = 'n', from = 'sequence' }, { name = 'id', from = 'event.id' }, \
             { name = 'c', constant = { a = 1 } }, { name = 'd', from = 'event.data' }, { name = 'of', from = 'event.type' }, \
             { name = 'key', from = 'event.key' }, { name = 'x', from = 'event.attributes' }] }\n\
             headers = { X-Id = '{event.id}', X-S = '{signatures.a}' }\n\
             signatures.a = { encoding = 'hex', over = '{event.id}{body}' }",
        ] {
            let profile = Profile::parse("own".parse().unwrap(), text).unwrap();
            for data in [r#"{ "a": 1e2, "b":"\ud800" }"#, r#"{"kind":"card.é"}"#] {
                let at = Timestamp::from_millis(1_763_000_000_123);
                let event = Event {
                    position: Position(1),
                    tenant: TenantNo(1),
                    accepted_at: at,
                    occurred_at: at,
                    event_type: "card.é".into(),
                    own_id: None,
                    key: None,
                    subject: None,
                    expires_at: None,
                    attributes: bytes::Bytes::new(),
                    data: bytes::Bytes::from_static(data.as_bytes()),
                };
                let message = Message {
                    event: &event,
                    id: "e 1",
                    sequence: Some(7),
                    attempt: 1,
                    at,
                    endpoint: "till",
                    tenant: "acme",
                };
                let secret = SigningSecret::of_text(Secret::new("one")).unwrap();
                let keys = [profile.keys(&secret).unwrap()];
                let body = profile.wire().render_body(&message);
                let mut sent = Vec::new();
                let names: Vec<&str> = profile.wire().header_names().collect();
                profile.wire().render_headers(&message, &body, keys.iter(), |at, value, _| {
                    sent.push((names[at], value));
                });
                let given: Given<'_> = sent.iter().map(|(name, value)| (*name, &**value)).collect();
                let good = receive(&profile, &given, &body, "one", at);
                // The type of the first one's signature stands in its body.
                assert_eq!(good.faults, [""; 0], "{text}\n{given:?}");
                let other = receive(&profile, &given, &body, "two", at);
                assert_eq!(other.faults.len(), 1, "{other:?}");
                let changed = receive(&profile, &given, &[&body[..], b" "].concat(), "one", at);
                assert!(!changed.faults.is_empty());
                let bare = receive(&profile, &[], &body, "one", at);
                assert!(bare.faults.contains(&"the header X-S is missing".to_owned()), "{bare:?}");
            }
        }
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        let text = "body = { shape = 'flat', field = 'kind' }\nheaders = { X-A = '{event.type}', X-B = 'b:{event.type}' }";
        let profile = Profile::parse("own".parse().unwrap(), text).unwrap();
        let faults = |a, b, body: &str| {
            receive(&profile, &[("X-A", a), ("X-B", b)], body.as_bytes(), "s", Timestamp::EPOCH).faults
        };
        assert_eq!(faults("k", "b:k", r#"{"kind":"k"}"#), [""; 0]);
        assert_eq!(
            faults("k", "b:l", r#"{"kind":"m"}"#),
            [
                "the header X-B differs from another that says the same",
                "the body differs from a header that says the same",
            ]
        );
        assert_eq!(
            faults("k", "k", "{}"),
            [
                "the header X-B has not the form that the profile declares",
                "the body is not JSON of the shape that the profile declares",
            ]
        );
    }
}
