//! What the name of a field says of its content: authentication data of a card, or a telephone number.
//!
//! Names are compared without case and without anything but letters and digits. A name that must never be mistaken for
//! another word's end (`cid` in `lucid`, `pin` in `spin`) counts alone only.

use super::units::{Unit, unit};

/// The longest name that is looked at, in bytes.
const MAX_NAME: usize = 64;

/// Authentication data that a field's name promises (PCI DSS 4.0, requirement 3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Secret {
    /// The code that verifies a card: three or four digits.
    Code,
    /// A PIN in clear, or in a block.
    Pin,
    /// The content of a magnetic stripe, or its equivalent in a chip.
    Track,
}

/// Names that end so.
const ENDINGS: [(&str, Secret); 41] = [
    ("cvv", Secret::Code),
    ("cvv1", Secret::Code),
    ("cvv2", Secret::Code),
    ("cvvcode", Secret::Code),
    ("cvvnumber", Secret::Code),
    ("cvvvalue", Secret::Code),
    ("cvc", Secret::Code),
    ("cvc1", Secret::Code),
    ("cvc2", Secret::Code),
    ("cvc3", Secret::Code),
    ("cvccode", Secret::Code),
    ("cvn", Secret::Code),
    ("cvn2", Secret::Code),
    ("cav2", Secret::Code),
    ("cardverificationcode", Secret::Code),
    ("cardverificationnumber", Secret::Code),
    ("cardverificationvalue", Secret::Code),
    ("securitycode", Secret::Code),
    ("pinblock", Secret::Pin),
    ("cardpin", Secret::Pin),
    ("newpin", Secret::Pin),
    ("oldpin", Secret::Pin),
    ("currentpin", Secret::Pin),
    ("encryptedpin", Secret::Pin),
    ("atmpin", Secret::Pin),
    ("userpin", Secret::Pin),
    ("customerpin", Secret::Pin),
    ("confirmpin", Secret::Pin),
    ("onlinepin", Secret::Pin),
    ("pindata", Secret::Pin),
    ("track1", Secret::Track),
    ("track2", Secret::Track),
    ("track3", Secret::Track),
    ("track1data", Secret::Track),
    ("track2data", Secret::Track),
    ("track3data", Secret::Track),
    ("trackdata", Secret::Track),
    ("track2equivalentdata", Secret::Track),
    ("magstripe", Secret::Track),
    ("magstripedata", Secret::Track),
    ("magneticstripe", Secret::Track),
];

/// Names that are nothing else.
const WHOLE: [(&str, Secret); 7] = [
    ("cid", Secret::Code),
    ("cav", Secret::Code),
    ("csc", Secret::Code),
    ("cvd", Secret::Code),
    ("pin", Secret::Pin),
    ("pinnumber", Secret::Pin),
    ("track", Secret::Track),
];

/// Parts of a name that tell a telephone number, and whole names.
const PHONE_PARTS: [&str; 5] = ["phone", "mobile", "msisdn", "telefon", "fax"];
const PHONES: [&str; 4] = ["tel", "cell", "gsm", "whatsapp"];

/// A name without case and separators.
struct Plain {
    letters: [u8; MAX_NAME],
    length: usize,
}

impl Plain {
    fn of(name: &str) -> Option<Self> {
        if name.len() > MAX_NAME {
            return None;
        }
        let mut plain = Self { letters: [0; MAX_NAME], length: 0 };
        for byte in name.bytes().filter(|b| is_letter(*b)) {
            plain.letters[plain.length] = byte.to_ascii_lowercase();
            plain.length += 1;
        }
        Some(plain)
    }

    fn bytes(&self) -> &[u8] {
        &self.letters[..self.length]
    }
}

/// Whether a name that ends so may be one of those that promise a secret: hardly any other ends in the same two letters.
pub(super) fn ends_like_a_secret(name: &[u8]) -> bool {
    let mut letters = name.iter().rev().filter(|b| is_letter(**b)).map(u8::to_ascii_lowercase);
    let last = letters.next();
    matches!(
        (letters.next(), last),
        (Some(b'v' | b'c' | b'n' | b'k'), Some(b'1'..=b'3'))
            | (Some(b'v'), Some(b'v' | b'c' | b'n' | b'd'))
            | (Some(b'i'), Some(b'd' | b'n'))
            | (Some(b'a'), Some(b'v'))
            | (Some(b's'), Some(b'c'))
            | (Some(b'c'), Some(b'k'))
            | (Some(b't'), Some(b'a'))
            | (Some(b'd' | b'u' | b'p'), Some(b'e'))
            | (Some(b'e'), Some(b'r'))
    )
}

/// What counts in a name.
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

/// The authentication data that a name promises.
pub(super) fn secret(name: &str) -> Option<Secret> {
    if !ends_like_a_secret(name.as_bytes()) {
        return None;
    }
    let plain = Plain::of(name)?;
    let plain = plain.bytes();
    let whole = WHOLE.iter().find(|(whole, _)| plain == whole.as_bytes());
    let found = whole.or_else(|| ENDINGS.iter().find(|(ending, _)| plain.ends_with(ending.as_bytes())));
    found.map(|(_, secret)| *secret)
}

/// Whether a name says that its value is a telephone number.
pub(super) fn is_phone(name: &str) -> bool {
    let Some(plain) = Plain::of(name) else { return false };
    let plain = std::str::from_utf8(plain.bytes()).unwrap_or_default();
    PHONES.contains(&plain) || PHONE_PARTS.iter().any(|part| plain.contains(part))
}

impl Secret {
    /// Whether a value's text can be what the name promises.
    pub(super) fn is_plausible(self, text: &str) -> bool {
        let text = text.trim();
        let digits = digits(text);
        match self {
            Self::Code => matches!(digits, Some(3..=4)),
            Self::Pin => matches!(digits, Some(4..=12)) || is_pin_block(text),
            Self::Track => is_track(text),
        }
    }
}

/// How many digits a text is, if it is nothing else.
fn digits(text: &str) -> Option<usize> {
    text.chars().try_fold(0, |n, c| matches!(unit(c), Unit::Digit(_)).then_some(n + 1))
}

/// Whether a text is a PIN block: 8 bytes (ISO 9564-1, formats 0 to 3) or 16 (format 4), in hexadecimal.
fn is_pin_block(text: &str) -> bool {
    matches!(text.len(), 16 | 32) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether a text has the shape of a track: an account, what parts it from the rest, and the rest.
fn is_track(text: &str) -> bool {
    let text = text.trim_start_matches(['%', ';']);
    let text = text.strip_prefix(['B', 'b']).unwrap_or(text);
    let account = text.find(|c| !matches!(unit(c), Unit::Digit(_) | Unit::Separator)).unwrap_or(text.len());
    let (account, rest) = text.split_at(account);
    let digits = account.chars().filter(|&c| matches!(unit(c), Unit::Digit(_))).count();
    let parted = rest.starts_with(['=', '^', 'D', 'd']) && rest.chars().nth(4).is_some();
    (8..=19).contains(&digits) && parted || digits > 19 && rest.chars().nth(1).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a52_names_are_known_in_every_spelling() {
        for (name, expected) in [
            ("cvv", Some(Secret::Code)),
            ("CVV2", Some(Secret::Code)),
            ("c_v_v", Some(Secret::Code)),
            ("card-cvc", Some(Secret::Code)),
            ("cardCvc2", Some(Secret::Code)),
            ("payment[cvv]", Some(Secret::Code)),
            ("Card Security Code", Some(Secret::Code)),
            ("cid", Some(Secret::Code)),
            ("CAV2", Some(Secret::Code)),
            ("pin", Some(Secret::Pin)),
            ("PIN", Some(Secret::Pin)),
            ("pin_block", Some(Secret::Pin)),
            ("atm_pin", Some(Secret::Pin)),
            ("confirmPin", Some(Secret::Pin)),
            ("pinBlock", Some(Secret::Pin)),
            ("track1", Some(Secret::Track)),
            ("Track_2", Some(Secret::Track)),
            ("track_data", Some(Secret::Track)),
            ("track2EquivalentData", Some(Secret::Track)),
            ("magstripe", Some(Secret::Track)),
            ("lucid", None),
            ("spin", None),
            ("pincode", None),
            ("soundtrack", None),
            ("tracking", None),
            ("cvv_result", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(secret(name), expected, "{name}");
        }
        assert_eq!(secret(&format!("{}cvv", "x".repeat(MAX_NAME))), None);
    }

    #[test]
    fn all_names_end_like_a_secret() {
        for (name, expected) in WHOLE.iter().chain(&ENDINGS) {
            assert_eq!(secret(name), Some(*expected), "{name}");
        }
    }

    #[test]
    fn abuse_a52_only_what_can_be_the_secret_counts() {
        for (secret, text, expected) in [
            (Secret::Code, "123", true),
            (Secret::Code, " 1234 ", true),
            (Secret::Code, "１２３", true),
            (Secret::Code, "12", false),
            (Secret::Code, "12345", false),
            (Secret::Code, "c-123-abc", false),
            (Secret::Code, "***", false),
            (Secret::Code, "", false),
            (Secret::Pin, "1234", true),
            (Secret::Pin, "123456789012", true),
            (Secret::Pin, "0412AC89ABCDEF67", true),
            (Secret::Pin, "Main Street", false),
            (Secret::Pin, "123", false),
            (Secret::Pin, "1234567890123", false),
            (Secret::Track, ";4111111111111111=2512101?", true),
            (Secret::Track, "4111111111111111=2512101", true),
            (Secret::Track, "%B4111 1111 1111 1111^DOE/JOHN^2512?", true),
            (Secret::Track, "4111111111111111D2512101F", true),
            (Secret::Track, "41111111111111112512101000", true),
            (Secret::Track, "Bohemian Rhapsody", false),
            (Secret::Track, "12", false),
            (Secret::Track, "1Z999AA10123456784", false),
        ] {
            assert_eq!(secret.is_plausible(text), expected, "{secret:?} {text}");
        }
    }

    #[test]
    fn names_of_telephone_numbers_are_known() {
        for name in ["phone", "mobile_number", "msisdn", "cardholderPhone", "tel", "FAX"] {
            assert!(is_phone(name), "{name}");
        }
        for name in ["pan", "telco", "cellar", "reference", ""] {
            assert!(!is_phone(name), "{name}");
        }
    }
}
