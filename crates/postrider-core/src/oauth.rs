//! Tokens by client credentials (OAuth 2.0, RFC 6749, section 4.4): what is asked, and what an answer means.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::card;
use crate::endpoint::{CredentialsIn, OAuth2};
use crate::fields::is_plain;
use crate::json;
use crate::secret::Secret;

/// The media type of a request for a token.
pub const REQUEST_TYPE: &str = "application/x-www-form-urlencoded";
/// The longest answer with a token, in bytes.
pub const MAX_ANSWER: usize = 64 * 1_024;
/// The longest token, in bytes.
pub const MAX_ACCESS_TOKEN: usize = 8 * 1_024;
/// How long a token is used of which its authorization server does not say how long it is good.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
/// How long a token is used at most.
pub const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// How long before its end a token is not used any more; a tenth of its life, where that is less.
pub const MARGIN: Duration = Duration::from_secs(30);
/// The most characters of what an authorization server says in words.
const MAX_SAID: usize = 200;

/// A request for a token: a `POST` of [`REQUEST_TYPE`].
pub struct TokenRequest {
    /// The value of `Authorization`, if the credentials go there.
    pub authorization: Option<Secret>,
    /// The body.
    pub body: Secret,
    /// What must not be seen of an answer that repeats the credentials.
    hidden: Vec<Secret>,
}

/// A token that was given out.
#[derive(Debug)]
pub struct Grant {
    /// The value of `Authorization` that it makes.
    pub authorization: Secret,
    /// How long it is used.
    pub lifetime: Duration,
}

impl TokenRequest {
    /// What a client asks.
    ///
    /// ```
    /// use postrider_core::endpoint::EndpointConfig;
    /// use postrider_core::oauth::TokenRequest;
    /// let body = br#"{"url": "https://partner.example/", "auth": {"type": "oauth2", "scope": "a b",
    ///     "token_url": "https://login.example/", "client_id": "till", "client_secret": "hush"}}"#;
    /// let endpoint = EndpointConfig::parse_create(body, [7; 24]).unwrap();
    /// let request = TokenRequest::of(endpoint.auth.oauth2().unwrap());
    /// let expected = "grant_type=client_credentials&scope=a+b&client_id=till&client_secret=hush";
    /// assert_eq!(request.body.reveal(), expected);
    /// ```
    pub fn of(client: &OAuth2) -> Self {
        let (id, secret) = (encoded(&client.client_id), encoded(client.client_secret.reveal()));
        let scope = client.scope.as_deref().map(encoded);
        let audience = client.audience.as_deref().map(encoded);
        let mut parts = vec!["grant_type=client_credentials"];
        for (name, value) in [("&scope=", &scope), ("&audience=", &audience)] {
            parts.extend(value.iter().flat_map(|value| [name, value.reveal()]));
        }
        let mut hidden = vec![client.client_secret.clone()];
        let authorization = match client.credentials_in {
            CredentialsIn::Body => {
                parts.extend(["&client_id=", id.reveal(), "&client_secret=", secret.reveal()]);
                None
            }
            CredentialsIn::Basic => {
                // Encoded before they are joined (RFC 6749, section 2.3.1), so a colon may be in either.
                let pair = Secret::of(&[id.reveal(), ":", secret.reveal()]);
                let credentials = Zeroizing::new(STANDARD.encode(pair.reveal()));
                hidden.push(Secret::of(&[&credentials]));
                Some(Secret::of(&["Basic ", &credentials]))
            }
        };
        let body = Secret::of(&parts);
        hidden.push(secret);
        Self { authorization, body, hidden }
    }

    /// What an answer means. `cut`: there was more of it than [`MAX_ANSWER`].
    ///
    /// # Errors
    /// Why it gives no token, in words for the endpoint's owner: no token and no credential is in them.
    pub fn read(&self, status: u16, body: &[u8], cut: bool) -> Result<Grant, String> {
        // A list would be read as one, too.
        let is_object = !cut && body.trim_ascii_start().starts_with(b"{");
        let answer = is_object.then(|| serde_json::from_slice::<Answer<'_>>(body).ok()).flatten();
        let Some(answer) = answer else {
            let fault = if cut { "is too long" } else { "is not a JSON object" };
            return Err(match status {
                200..300 => format!("the token endpoint's answer {fault}"),
                _ => format!("the token endpoint answered {status}"),
            });
        };
        if !(200..300).contains(&status) || answer.access_token.is_none() {
            let said = self.said(&answer).map_or_else(String::new, |said| format!(": {said}"));
            let without = if (200..300).contains(&status) { " without an access_token" } else { "" };
            return Err(format!("the token endpoint answered {status}{without}{said}"));
        }
        answer.grant().map_err(|fault| format!("the token endpoint's answer {fault}"))
    }

    /// What an answer says of its error (RFC 6749, section 5.2).
    fn said(&self, answer: &Answer<'_>) -> Option<String> {
        let text = |value: Option<&RawValue>| {
            let text = value.and_then(|value| json::string(value).ok())?;
            let mut text: String = text.chars().take(MAX_SAID).collect();
            for hidden in &self.hidden {
                text = text.replace(hidden.reveal(), "***");
            }
            is_plain(&text).then_some(text).filter(|text| !text.is_empty())
        };
        let (error, description) = (text(answer.error), text(answer.error_description));
        let said = match (error, description) {
            (Some(error), Some(description)) => format!("{error} ({description})"),
            (error, description) => error.or(description)?,
        };
        let masked = card::mask_body(said.as_bytes(), false);
        Some(masked.map_or(said, |masked| String::from_utf8_lossy(&masked).into_owned()))
    }
}

/// An answer with a token or an error (RFC 6749, sections 5.1 and 5.2); what else is in it is nothing to us.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    access_token: Option<&'a RawValue>,
    #[serde(borrow, default)]
    token_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    expires_in: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error_description: Option<&'a RawValue>,
}

impl Answer<'_> {
    fn grant(&self) -> Result<Grant, &'static str> {
        const TOKEN: &str = "has an access_token that is no token (RFC 6750, section 2.1)";
        let token = self.access_token.and_then(|token| json::secret(token).ok()).ok_or(TOKEN)?;
        let text = token.reveal();
        // Visible characters alone: no line break of it gets into a request, and no space changes what it is.
        if !(1..=MAX_ACCESS_TOKEN).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TOKEN);
        }
        let is_bearer = |kind: &RawValue| json::string(kind).is_ok_and(|k| k.eq_ignore_ascii_case("bearer"));
        if self.token_type.is_some_and(|kind| !is_bearer(kind)) {
            return Err("has a token_type other than Bearer");
        }
        let lifetime = self.expires_in.map_or(Ok(DEFAULT_LIFETIME), lifetime)?;
        Ok(Grant { authorization: Secret::of(&["Bearer ", text]), lifetime })
    }
}

/// How long a token is used that is good for so many seconds; some authorization servers write them as a text.
fn lifetime(expires_in: &RawValue) -> Result<Duration, &'static str> {
    let seconds = expires_in.get().trim_matches('"').parse::<f64>().ok().filter(|s| s.is_finite());
    match seconds {
        Some(seconds) if seconds > 0.0 => {
            let life = Duration::from_secs_f64(seconds.min(MAX_LIFETIME.as_secs_f64()));
            Ok(life - MARGIN.min(life / 10))
        }
        Some(_) => Err("has a token that has expired already: expires_in is not above 0"),
        None => Err("has an expires_in that is no number of seconds"),
    }
}

/// A text as a form writes it.
fn encoded(text: &str) -> Secret {
    let parts: Vec<&str> = byte_serialize(text.as_bytes()).collect();
    Secret::of(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(credentials_in: CredentialsIn) -> OAuth2 {
        OAuth2 {
            token_url: "https://login.example/".into(),
            client_id: "a:b&c".into(),
            client_secret: Secret::new("s&1=é/hush"),
            scope: Some("read write".into()),
            audience: Some("https://a.example/?b".into()),
            credentials_in,
        }
    }

    fn read(status: u16, body: &str) -> Result<Grant, String> {
        TokenRequest::of(&client(CredentialsIn::Basic)).read(status, body.as_bytes(), false)
    }

    #[test]
    fn credentials_go_into_the_body_or_the_header_encoded_as_a_form() {
        let body = TokenRequest::of(&client(CredentialsIn::Body));
        let common = "grant_type=client_credentials&scope=read+write&audience=https%3A%2F%2Fa.example%2F%3Fb";
        let credentials = "&client_id=a%3Ab%26c&client_secret=s%261%3D%C3%A9%2Fhush";
        assert_eq!(body.body.reveal(), [common, credentials].concat());
        assert!(body.authorization.is_none());
        let basic = TokenRequest::of(&client(CredentialsIn::Basic));
        assert_eq!(basic.body.reveal(), common);
        let expected = format!("Basic {}", STANDARD.encode("a%3Ab%26c:s%261%3D%C3%A9%2Fhush"));
        assert_eq!(basic.authorization.unwrap().reveal(), expected);
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        for (expires_in, seconds) in [
            ("", 300.0),
            (r#","expires_in":null"#, 300.0),
            (r#","expires_in":3600"#, 3_570.0),
            (r#","expires_in":"3600""#, 3_570.0),
            (r#","expires_in":3600.0"#, 3_570.0),
            (r#","expires_in":100"#, 90.0),
            (r#","expires_in":1"#, 0.9),
            (r#","expires_in":1e300"#, 86_370.0),
        ] {
            let grant = read(200, &format!(r#"{{"access_token":"t.-~+/=","x":[1]{expires_in}}}"#)).unwrap();
            assert_eq!(grant.authorization.reveal(), "Bearer t.-~+/=");
            assert!((grant.lifetime.as_secs_f64() - seconds).abs() < 1e-6, "{expires_in}: {grant:?}");
        }
        assert!(read(201, r#"{"access_token":"t","token_type":"bEARER"}"#).is_ok());
    }

    #[test]
    fn abuse_a48_what_gives_no_token_says_so() {
        let long = format!(r#"{{"access_token":"{}"}}"#, "t".repeat(MAX_ACCESS_TOKEN + 1));
        for (status, body, said) in [
            (503, "<html>", "the token endpoint answered 503"),
            (302, "", "the token endpoint answered 302"),
            (200, "<html>", "the token endpoint's answer is not a JSON object"),
            (200, "", "the token endpoint's answer is not a JSON object"),
            (200, "[]", "the token endpoint's answer is not a JSON object"),
            (
                200,
                r#"{"access_token":"a","access_token":"b"}"#,
                "the token endpoint's answer is not a JSON object",
            ),
            (200, "{}", "the token endpoint answered 200 without an access_token"),
            (
                200,
                r#"{"error":"slow_down"}"#,
                "the token endpoint answered 200 without an access_token: slow_down",
            ),
            (401, r#"{"error":"invalid_client"}"#, "the token endpoint answered 401: invalid_client"),
            (400, r#"{"error":7,"error_description":"no"}"#, "the token endpoint answered 400: no"),
            (500, r#"{"access_token":"t"}"#, "the token endpoint answered 500"),
            (200, r#"{"access_token":"t","token_type":"mac"}"#, "other than Bearer"),
            (200, r#"{"access_token":7}"#, "no token"),
            (200, r#"{"access_token":""}"#, "no token"),
            (200, r#"{"access_token":"a b"}"#, "no token"),
            (200, r#"{"access_token":"a\r\nX: 1"}"#, "no token"),
            (200, r#"{"access_token":"a\u0000"}"#, "no token"),
            (200, r#"{"access_token":"é"}"#, "no token"),
            (200, &long, "no token"),
            (200, r#"{"access_token":"t","expires_in":0}"#, "expired already"),
            (200, r#"{"access_token":"t","expires_in":-5}"#, "expired already"),
            (200, r#"{"access_token":"t","expires_in":"soon"}"#, "no number of seconds"),
            (200, r#"{"access_token":"t","expires_in":[]}"#, "no number of seconds"),
        ] {
            let fault = read(status, body).unwrap_err();
            assert!(fault.contains(said), "{status} {body}: {fault}");
        }
        let request = TokenRequest::of(&client(CredentialsIn::Body));
        assert!(request.read(200, br#"{"access_token":"t"}"#, true).unwrap_err().contains("too long"));
    }

    #[test]
    fn abuse_a53_an_answer_that_repeats_credentials_or_a_card_number_is_told_without_them() {
        let basic = TokenRequest::of(&client(CredentialsIn::Basic));
        let credentials = basic.authorization.as_ref().unwrap().reveal().strip_prefix("Basic ").unwrap();
        for repeated in ["s&1=é/hush", "s%261%3D%C3%A9%2Fhush", credentials, "4242424242424242"] {
            let body =
                serde_json::json!({"error": repeated, "error_description": format!("for {repeated}!")});
            let fault = basic.read(400, body.to_string().as_bytes(), false).unwrap_err();
            assert!(fault.contains("for ") && !fault.contains(repeated), "{fault}");
        }
        let endless = serde_json::json!({"error_description": "x".repeat(10_000)}).to_string();
        assert!(read(400, &endless).unwrap_err().len() < 300);
        assert_eq!(read(400, r#"{"error":"a\u001b[31m"}"#).unwrap_err(), "the token endpoint answered 400");
    }
}
