//! The platforms' management APIs, each called as its partners call it.

mod fourpay;

use aws_lc_rs::hmac;

/// The HMAC of a text in hex.
pub(crate) fn hex_hmac(key: &hmac::Key, text: &[u8]) -> String {
    hmac::sign(key, text).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The body of a request that a receiver told of.
pub(crate) fn request_body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

/// A header of a request that a receiver told of; empty if it is absent. The receiver tells it in lower case.
pub(crate) fn request_header<'a>(request: &'a str, name: &str) -> &'a str {
    let head = request.split_once("\r\n\r\n").unwrap().0;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("")
}
