//! Which headers of their own endpoints may ask for: none that would change the message, its routing or its signature.

use crate::json::Detail;

/// The most headers of an endpoint.
pub const MAX_HEADERS: usize = 32;
/// The longest name of a header, in bytes.
pub const MAX_HEADER_NAME: usize = 128;
/// The longest value of a header, in bytes.
pub const MAX_HEADER_VALUE: usize = 4_096;

/// Names that belong to the message's framing, its routing, or to us; in lower case.
const RESERVED: &[&str] = &[
    "connection",
    "cookie",
    "date",
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
    "user-agent",
    "via",
    "x-real-ip",
];
/// Beginnings of such names. Those with `webhook-` are the headers of Standard Webhooks.
const RESERVED_PREFIXES: &[&str] = &["content-", "proxy-", "webhook-", "x-forwarded-"];

/// Checks the name of a header that an endpoint asks for.
///
/// # Errors
/// A sentence for what is no name (RFC 9110, section 5.1), too long, or reserved.
pub fn check_name(name: &str) -> Result<(), Detail> {
    check_token(name)?;
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&&*lower) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(format!(
            "is reserved: {lower} is set by Postrider or by HTTP itself; choose another name"
        )
        .into());
    }
    Ok(())
}

/// Checks the name of a header that a profile sets: as an endpoint's own, save that those with `webhook-` are taken, and that
/// credentials are the endpoint's.
///
/// # Errors
/// As [`check_name`].
pub fn check_profile_name(name: &str) -> Result<(), Detail> {
    let lower = name.to_ascii_lowercase();
    if lower == "authorization" {
        return Err("carries the credential of an endpoint; choose another name".into());
    }
    if lower.starts_with("webhook-") { check_token(name) } else { check_name(name) }
}

fn check_token(name: &str) -> Result<(), Detail> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > MAX_HEADER_NAME || !name.bytes().all(token) {
        return Err(format!(
            "must be a header name: 1 to {MAX_HEADER_NAME} letters, digits and !#$%&'*+-.^_`|~"
        )
        .into());
    }
    Ok(())
}

/// Checks the value of a header.
///
/// # Errors
/// A sentence for a value that is too long, would split the message, or would not arrive as it is
/// (RFC 9110, section 5.5). The value is not in it.
pub fn check_value(value: &str) -> Result<(), Detail> {
    let visible = |b: u8| b == b'\t' || (0x20..0x7f).contains(&b);
    if value.len() > MAX_HEADER_VALUE || !value.bytes().all(visible) {
        return Err(format!(
            "must be at most {MAX_HEADER_VALUE} visible ASCII characters, spaces and tabs, without line breaks"
        )
        .into());
    }
    if value.trim_matches([' ', '\t']).len() != value.len() {
        return Err("must not begin or end with a space or tab, which would not arrive".into());
    }
    Ok(())
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
            "X-Real-IP",
            "HTTP2-Settings",
            "Early-Data",
            "Via",
            "Forwarded",
            "Cookie",
            "Expect",
            "webhook-id",
            "Webhook-Signature",
            "webhook-timestamp",
            "webhook-anything",
            "User-Agent",
        ] {
            assert!(check_name(name).unwrap_err().starts_with("is reserved"), "{name}");
        }
    }

    #[test]
    fn abuse_a36_names_and_values_that_would_split_a_message_are_refused() {
        let long = "a".repeat(MAX_HEADER_NAME + 1);
        for name in ["", "a b", "a:b", "a\r\nb", "a\nb", "a\0b", "é", "a\u{202e}b", "\u{7f}", &long] {
            assert!(check_name(name).unwrap_err().starts_with("must be a header name"), "{name:?}");
        }
        let long = "v".repeat(MAX_HEADER_VALUE + 1);
        for value in ["a\r\nB: c", "a\nb", "a\rb", "a\0b", "\u{1b}[31m", "é", "a\u{7f}", " a", "a\t", &long]
        {
            assert!(check_value(value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn ordinary_headers_are_taken() {
        for (name, value) in
            [("X-Api-Key", "s3cr=t,a;b"), ("Authorization", "Bearer a b"), ("Accept", "a\tb"), ("x", "")]
        {
            assert_eq!((check_name(name), check_value(value)), (Ok(()), Ok(())), "{name}");
        }
        assert!(check_value(&"v".repeat(MAX_HEADER_VALUE)).is_ok());
    }
}
