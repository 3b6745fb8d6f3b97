//! Which headers of their own partners may ask for: none that would change the message or its routing.

use http::{HeaderName, HeaderValue};

/// Longest name of a custom header, in bytes.
pub const MAX_NAME: usize = 128;
/// Longest value of a custom header, in bytes.
pub const MAX_VALUE: usize = 4_096;

/// Names that belong to the message's framing, its routing, or to us.
const RESERVED: &[&str] = &[
    "connection",
    "cookie",
    "early-data",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
];
/// Beginnings of such names. `webhook-` are the signature headers of Standard Webhooks.
const RESERVED_PREFIXES: &[&str] = &["content-", "proxy-", "webhook-", "x-forwarded-"];

/// Why a custom header cannot be sent. The text names the fault and the remedy, and never holds the value,
/// which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The name is empty or holds something else than token characters (RFC 9110 section 5.1).
    #[error("a header name is made of letters, digits and !#$%&'*+-.^_`|~ alone")]
    InvalidName,
    /// The name is longer than [`MAX_NAME`].
    #[error("a header name is at most {MAX_NAME} bytes long")]
    LongName,
    /// The name is one that Postrider or HTTP itself sets.
    #[error("the header {0} is set by Postrider or by HTTP itself; choose another name")]
    Reserved(String),
    /// The value holds a line break, NUL, another control character, or is not ASCII.
    #[error("a header value is made of visible ASCII characters, spaces and tabs; no line breaks")]
    InvalidValue,
    /// The value begins or ends with white space, which would not arrive (RFC 9110 section 5.5).
    #[error("a header value neither begins nor ends with a space or a tab")]
    PaddedValue,
    /// The value is longer than [`MAX_VALUE`].
    #[error("a header value is at most {MAX_VALUE} bytes long")]
    LongValue,
}

/// Checks a header that a partner asks for, and makes it ready to send.
///
/// # Errors
/// See [`HeaderFault`].
pub fn check_custom(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), HeaderFault> {
    if name.len() > MAX_NAME {
        return Err(HeaderFault::LongName);
    }
    // HeaderName lowers the case, so that the comparisons below see one spelling.
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderFault::InvalidName)?;
    let lower = name.as_str();
    if RESERVED.contains(&lower) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(HeaderFault::Reserved(lower.to_owned()));
    }
    if value.len() > MAX_VALUE {
        return Err(HeaderFault::LongValue);
    }
    if value.trim_matches([' ', '\t']).len() != value.len() {
        return Err(HeaderFault::PaddedValue);
    }
    if !value.is_ascii() {
        return Err(HeaderFault::InvalidValue);
    }
    let value = HeaderValue::from_str(value).map_err(|_| HeaderFault::InvalidValue)?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a36_a93_headers_of_the_message_or_its_routing_are_refused_in_any_case() {
        for name in [
            "Host",
            "HOST",
            "Content-Length",
            "content-type",
            "Content-Encoding",
            "Transfer-Encoding",
            "Connection",
            "Keep-Alive",
            "Upgrade",
            "TE",
            "Trailer",
            "Proxy-Authorization",
            "Proxy-Connection",
            "X-Forwarded-For",
            "x-forwarded-host",
            "Forwarded",
            "Cookie",
            "Expect",
            "webhook-id",
            "Webhook-Signature",
            "webhook-timestamp",
            "webhook-anything",
        ] {
            assert_eq!(
                check_custom(name, "x"),
                Err(HeaderFault::Reserved(name.to_ascii_lowercase())),
                "{name}"
            );
        }
    }

    #[test]
    fn abuse_a36_names_and_values_that_would_split_a_message_are_refused() {
        for name in ["", "a b", "a:b", "a\r\nb", "a\nb", "a\0b", "é", "a\u{202e}b", "\u{7f}"] {
            assert_eq!(check_custom(name, "x"), Err(HeaderFault::InvalidName), "{name:?}");
        }
        for value in ["a\r\nB: c", "a\nb", "a\rb", "a\0b", "\u{1b}[31m", "é", "a\u{7f}"] {
            assert_eq!(check_custom("X-Custom", value), Err(HeaderFault::InvalidValue), "{value:?}");
        }
        assert_eq!(check_custom("X-Custom", " a"), Err(HeaderFault::PaddedValue));
        assert_eq!(check_custom("X-Custom", "a\t"), Err(HeaderFault::PaddedValue));
    }

    #[test]
    fn abuse_a36_names_and_values_have_a_longest_length() {
        assert!(check_custom(&"a".repeat(MAX_NAME), &"v".repeat(MAX_VALUE)).is_ok());
        assert_eq!(check_custom(&"a".repeat(MAX_NAME + 1), "v"), Err(HeaderFault::LongName));
        assert_eq!(check_custom("a", &"v".repeat(MAX_VALUE + 1)), Err(HeaderFault::LongValue));
    }

    #[test]
    fn ordinary_headers_are_taken_as_they_are() {
        for (name, value) in
            [("X-Api-Key", "s3cr=t,a;b"), ("Authorization", "Bearer a b"), ("Accept", "a\tb"), ("X-E", "")]
        {
            let (checked, kept) = check_custom(name, value).unwrap();
            assert_eq!(
                (checked.as_str(), kept.to_str().unwrap()),
                (name.to_ascii_lowercase().as_str(), value)
            );
        }
    }
}
