//! JSON numbers as exact decimals: compared by sign, exponent and digits, never through a float and never written out,
//! so that `1e999999` costs what `9` costs.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// A JSON number (RFC 8259, section 6) of any length, with the text that it came as. Numbers are equal when their values
/// are, however they are written.
///
/// ```
/// use postrider_core::decimal::Decimal;
/// let decimal = |text| Decimal::parse(text).unwrap();
/// assert_eq!(decimal("1.0"), decimal("1e0"));
/// assert!(decimal("0.1") < decimal("0.10000000000000000000000000001"));
/// assert!(decimal("-1e999999") < decimal("9") && decimal("9") < decimal("1e999999"));
/// assert_eq!(decimal("42.50").as_str(), "42.50");
/// ```
#[derive(Clone, Debug)]
pub struct Decimal<'a> {
    text: Cow<'a, str>,
    negative: bool,
    /// Where in the text the significant digits lie, perhaps with the point among them: from the first to the last that
    /// is not zero. Empty for zero.
    digits: (usize, usize),
    /// The value is 0.digits × 10 to the power of this.
    exponent: Exponent,
}

impl<'a> Decimal<'a> {
    /// Reads a number; `None` for what is none by JSON's grammar, such as `01`, `.5`, `+1` or `1 `.
    pub fn parse(text: &'a str) -> Option<Self> {
        let negative = text.starts_with('-');
        let whole_at = usize::from(negative);
        let whole = digits_at(text, whole_at);
        if whole.is_empty() || whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let mut at = whole_at + whole.len();
        if text[at..].starts_with('.') {
            let fraction = digits_at(text, at + 1);
            if fraction.is_empty() {
                return None;
            }
            at += 1 + fraction.len();
        }
        let written = match text[at..].strip_prefix(['e', 'E']) {
            Some(exponent) => exponent,
            None if at == text.len() => "0",
            None => return None,
        };
        let power = written.strip_prefix(['+', '-']).unwrap_or(written);
        if power.is_empty() || !power.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let significant = |b: u8| matches!(b, b'1'..=b'9');
        let Some(first) = text[..at].bytes().position(significant) else {
            return Some(Self {
                text: text.into(),
                negative: false,
                digits: (0, 0),
                exponent: Exponent::Small(0),
            });
        };
        let last = text[..at].bytes().rposition(significant).unwrap_or(first);
        // By how much the point lies behind the first significant digit, or before it.
        let point = whole_at + whole.len();
        let shift = if first < point {
            i64::try_from(point - first).ok()?
        } else {
            -i64::try_from(first - point - 1).ok()?
        };
        let exponent = Exponent::new(written.starts_with('-'), power, shift);
        Some(Self { text: text.into(), negative, digits: (first, last + 1), exponent })
    }

    /// The same, with a text of its own.
    pub fn into_owned(self) -> Decimal<'static> {
        Decimal { text: Cow::Owned(self.text.into_owned()), ..self }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has no fraction.
    pub fn is_whole(&self) -> bool {
        match &self.exponent {
            Exponent::Small(exponent) => *exponent >= self.digits().count() as i128,
            Exponent::Large { negative, .. } => !negative,
        }
    }

    /// Writes it so that equal numbers are written alike, and no other begins the same way and goes on.
    pub(crate) fn write_canonical(&self, out: &mut Vec<u8>) {
        out.push(if self.negative { b'-' } else { b'+' });
        match &self.exponent {
            Exponent::Small(exponent) => out.extend(exponent.to_string().bytes()),
            Exponent::Large { negative, digits } => {
                out.push(if *negative { b'-' } else { b'+' });
                out.extend(digits.bytes());
            }
        }
        out.push(b':');
        out.extend(self.digits());
        out.push(b';');
    }

    fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.text[self.digits.0..self.digits.1].bytes().filter(|b| *b != b'.')
    }

    const fn is_zero(&self) -> bool {
        self.digits.1 == 0
    }

    /// How far from zero it lies, compared.
    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Neither begins nor ends with a zero: of two where one goes on, that one is greater.
            (false, false) => {
                self.exponent.cmp(&other.exponent).then_with(|| self.digits().cmp(other.digits()))
            }
        }
    }
}

/// The digits from `at` on.
fn digits_at(text: &str, at: usize) -> &str {
    let rest = &text[at..];
    let end = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    &rest[..end]
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal<'_> {}

impl Hash for Decimal<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.negative.hash(state);
        self.exponent.hash(state);
        self.digits().for_each(|digit| state.write_u8(digit));
    }
}

/// An exponent, which JSON does not bound.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Exponent {
    /// One of at most [`SMALL_DIGITS`] digits.
    Small(i128),
    /// One of more, without leading zeros.
    Large { negative: bool, digits: Box<str> },
}

/// Digits that a small exponent has at most: with the place of the point added it still fits.
const SMALL_DIGITS: u32 = 38;

impl Exponent {
    /// The one that is written, moved by how far the point lies from the first significant digit.
    fn new(negative: bool, digits: &str, shift: i64) -> Self {
        let digits = digits.trim_start_matches('0');
        if digits.len() <= SMALL_DIGITS as usize {
            let moved = small(negative, digits) + i128::from(shift);
            if moved.unsigned_abs() < 10_u128.pow(SMALL_DIGITS) {
                return Self::Small(moved);
            }
            return Self::Large { negative, digits: moved.unsigned_abs().to_string().into() };
        }
        let mut digits = digits.as_bytes().to_vec();
        // Far smaller than the digits, so that the sign stays.
        let mut rest = if negative { -i128::from(shift) } else { i128::from(shift) };
        for digit in digits.iter_mut().rev() {
            let sum = i128::from(*digit - b'0') + rest;
            *digit = b'0' + u8::try_from(sum.rem_euclid(10)).unwrap_or(0);
            rest = sum.div_euclid(10);
            if rest == 0 {
                break;
            }
        }
        if rest > 0 {
            digits.insert(0, b'1');
        }
        let digits = String::from_utf8_lossy(&digits);
        let digits = digits.trim_start_matches('0');
        // Each value has one form alone, so that equal ones are alike.
        if digits.len() <= SMALL_DIGITS as usize {
            return Self::Small(small(negative, digits));
        }
        Self::Large { negative, digits: digits.into() }
    }
}

fn small(negative: bool, digits: &str) -> i128 {
    let magnitude = digits.bytes().fold(0_i128, |n, b| n * 10 + i128::from(b - b'0'));
    if negative { -magnitude } else { magnitude }
}

impl Ord for Exponent {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |negative: &bool| if *negative { Ordering::Less } else { Ordering::Greater };
        match (self, other) {
            (Self::Small(a), Self::Small(b)) => a.cmp(b),
            (Self::Large { negative, .. }, Self::Small(_)) => sign(negative),
            (Self::Small(_), Self::Large { negative, .. }) => sign(negative).reverse(),
            (Self::Large { negative: a, digits: x }, Self::Large { negative: b, digits: y }) => {
                let longer = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
                b.cmp(a).then(if *a { longer.reverse() } else { longer })
            }
        }
    }
}

impl PartialOrd for Exponent {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_numbers_are_told_by_their_value() {
        for (text, whole) in [
            ("0", true),
            ("-0.0", true),
            ("1", true),
            ("1.0", true),
            ("1.5", false),
            ("0.1", false),
            ("1e2", true),
            ("1e-2", false),
            ("100e-2", true),
            ("12.34e2", true),
            ("12.34e1", false),
            ("0e-9", true),
            ("1e999999", true),
            ("1e-999999", false),
            (&format!("1e{}", "9".repeat(60)), true),
            (&format!("1e-{}", "9".repeat(60)), false),
        ] {
            assert_eq!(Decimal::parse(text).unwrap().is_whole(), whole, "{text}");
        }
    }

    fn decimal(text: &str) -> Decimal<'_> {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn what_is_no_number_in_json_is_none() {
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-01",
            ".5",
            "1.",
            "1.e1",
            "1e",
            "1e+",
            "1e1.5",
            "1 ",
            " 1",
            "0x1",
            "1_0",
            "NaN",
            "Infinity",
            "--1",
            "1e--1",
            "1,5",
            "\u{661}",
            "1e\u{661}",
            "\"1\"",
        ] {
            assert!(Decimal::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_number_is_equal_to_itself_however_it_is_written() {
        let nines = "9".repeat(38);
        let one_and_zeros = format!("1{}", "0".repeat(38));
        for same in [
            vec!["0", "-0", "0.0", "0e5", "-0.00E-7", "0e99999999999999999999999999999999999999999999"],
            vec!["1", "1.0", "1e0", "10e-1", "0.1e1", "0.01E+2", "1.000000e-00"],
            vec!["-42.5", "-42.50", "-425e-1", "-0.00425e4"],
            vec!["100", "1e2", "0.1e3", "100.00"],
            vec![
                &*format!("1e{one_and_zeros}"),
                &format!("10e{nines}"),
                &format!("0.1e1{}1", "0".repeat(37)),
            ],
            vec![
                &*format!("1e-{one_and_zeros}"),
                &format!("0.1e-{nines}"),
                &format!("10e-1{}1", "0".repeat(37)),
            ],
        ] {
            for (a, b) in same.iter().flat_map(|a| same.iter().map(move |b| (a, b))) {
                assert_eq!(decimal(a), decimal(b), "{a} {b}");
                assert_eq!(hash(&decimal(a)), hash(&decimal(b)), "{a} {b}");
            }
        }
    }

    #[test]
    fn abuse_a05_numbers_beyond_any_float_are_in_order() {
        let long = |exponent: &str| format!("1e{exponent}{}", "7".repeat(200_000));
        let (far, near) = (long(""), long("-"));
        let (a, b) = (format!("{}.1", "9".repeat(100_000)), format!("{}.2", "9".repeat(100_000)));
        let rising = [
            &*format!("-{far}"),
            "-1e999999",
            "-9",
            "-0.5",
            &*format!("-{near}"),
            "0",
            &*near,
            "1e-999999",
            "0.1",
            "0.10000000000000000000000000001",
            "0.2",
            "9",
            "9007199254740992",
            "9007199254740992.5",
            "9007199254740993",
            "1e100",
            &a,
            &b,
            "1e999999",
            "1.1e999999",
            "1e1000000",
            &far,
        ];
        for (i, x) in rising.iter().enumerate() {
            for (j, y) in rising.iter().enumerate() {
                assert_eq!(
                    decimal(x).cmp(&decimal(y)),
                    i.cmp(&j),
                    "{} {}",
                    &x[..x.len().min(40)],
                    &y[..y.len().min(40)]
                );
            }
        }
    }

    fn hash(decimal: &Decimal<'_>) -> u64 {
        let mut hasher = rustc_hash::FxHasher::default();
        decimal.hash(&mut hasher);
        hasher.finish()
    }

    /// A whole number: whether it is negative, and its digits without leading zeros.
    fn naive(negative: bool, whole: &str, fraction: &str, exponent: i32) -> (bool, String) {
        let zeros = usize::try_from(100 + exponent).unwrap() - fraction.len();
        let digits = format!("{whole}{fraction}{}", "0".repeat(zeros));
        let digits = digits.trim_start_matches('0').to_owned();
        (negative && !digits.is_empty(), digits)
    }

    fn naive_order(a: &(bool, String), b: &(bool, String)) -> Ordering {
        let magnitude = a.1.len().cmp(&b.1.len()).then_with(|| a.1.cmp(&b.1));
        b.0.cmp(&a.0).then(if a.0 { magnitude.reverse() } else { magnitude })
    }

    fn any_parts() -> impl Strategy<Value = (bool, String, String, i32)> {
        (any::<bool>(), "0|[1-9][0-9]{0,6}", "[0-9]{0,6}", -8..8_i32)
    }

    fn written((negative, whole, fraction, exponent): &(bool, String, String, i32)) -> String {
        let sign = if *negative { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        let exponent = if *exponent == 0 { String::new() } else { format!("e{exponent}") };
        format!("{sign}{whole}{point}{fraction}{exponent}")
    }

    proptest! {
        #[test]
        fn they_compare_like_whole_numbers_written_out(a in any_parts(), b in any_parts()) {
            let (x, y) = (written(&a), written(&b));
            let expected = naive_order(&naive(a.0, &a.1, &a.2, a.3), &naive(b.0, &b.1, &b.2, b.3));
            prop_assert_eq!(decimal(&x).cmp(&decimal(&y)), expected, "{} {}", x, y);
            prop_assert_eq!(decimal(&x) == decimal(&y), expected == Ordering::Equal);
            prop_assert!(expected != Ordering::Equal || hash(&decimal(&x)) == hash(&decimal(&y)));
            let owned = decimal(&x).into_owned();
            prop_assert_eq!(owned.as_str(), x.as_str());
        }

        #[test]
        fn huge_exponents_are_added_up_exactly(
            near in -40..40_i128, other in -40..40_i128, places in 1..30_usize, negative in any::<bool>(),
        ) {
            // About where an exponent stops being small.
            let (near, other) = (10_i128.pow(38) + near, 10_i128.pow(38) + other);
            let sign = if negative { -1 } else { 1 };
            let plain = format!("1e{}", sign * near);
            let moved = format!("1{}e{}", "0".repeat(places), sign * other - i128::try_from(places).unwrap());
            let below = format!("0.{}1e{}", "0".repeat(places - 1), sign * other + i128::try_from(places).unwrap());
            prop_assert_eq!(decimal(&plain).cmp(&decimal(&moved)), (sign * near).cmp(&(sign * other)));
            prop_assert_eq!(decimal(&moved), decimal(&below));
            prop_assert_eq!(hash(&decimal(&moved)), hash(&decimal(&below)));
        }

        #[test]
        fn a_text_is_a_number_where_json_says_so(text in "-?[0-9]{0,3}\\.?[0-9]{0,2}([eE][+-]?[0-9]{0,2})?") {
            let json = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(Decimal::parse(&text).is_some(), json);
        }
    }
}
