//! Numbers as the validator reads them: by their text, so that 100 digits and `1e999999` are as good as any.

use std::borrow::Cow;

use jsonschema::json::JsonNumber;
use serde_json::Number as ValueNumber;

use crate::decimal::Decimal;

/// A number of JSON (RFC 8259, section 6) by its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'a>(pub(super) &'a str);

impl Number<'_> {
    /// Whether it has the value of a number in a schema.
    pub(super) fn equals(self, other: &ValueNumber) -> bool {
        match (self.as_i64(), other.as_i64()) {
            (Some(a), Some(b)) => a == b,
            _ => Decimal::parse(self.0) == Decimal::parse(&other.to_string()),
        }
    }
}

impl JsonNumber for Number<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// What is larger than the largest counts as the largest.
    fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok().map(|number: f64| number.clamp(f64::MIN, f64::MAX))
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn to_number(&self) -> Cow<'_, ValueNumber> {
        let number = self.as_i64().map(Into::into).or_else(|| ValueNumber::from_f64(self.as_f64()?));
        Cow::Owned(number.unwrap_or_else(|| 0.into()))
    }

    fn is_integer(&self) -> bool {
        !self.0.contains(['.', 'e', 'E']) || Decimal::parse(self.0).is_some_and(|number| number.is_whole())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_compared_by_its_value() {
        for (text, other, same) in [
            ("1.0", "1", true),
            ("1e2", "100", true),
            ("42.50", "42.5", true),
            ("-0.0", "0", true),
            ("0.10000000000000001", "0.1", false),
            ("9007199254740993", "9007199254740992", false),
            ("18446744073709551615", "18446744073709551615", true),
            ("1e999999", "1e308", false),
        ] {
            let other: ValueNumber = serde_json::from_str(other).unwrap();
            assert_eq!(Number(text).equals(&other), same, "{text} {other}");
        }
    }

    #[test]
    fn numbers_beyond_a_float_s_range_stay_finite() {
        for text in ["1e999999", "-1e999999", &"9".repeat(1_000)] {
            assert!(Number(text).as_f64().is_some_and(f64::is_finite), "{text}");
            assert!(!Number(text).to_number().to_string().is_empty());
        }
    }
}
