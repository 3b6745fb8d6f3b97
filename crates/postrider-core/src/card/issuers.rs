//! Which digits are a card number: a length that is used, an issuer's range, and the check digit.
//!
//! The numbering is ISO/IEC 7812. The ranges are those that the networks publish, as Wikipedia's "Payment card number"
//! (table of issuer identification numbers) and `braintree/credit-card-type` gather them. Where national schemes share a
//! network's range (Elo, Verve, Dankort and RuPay in 50; Elo, InterPayment and InstaPayment in 63; RuPay, Elo and Troy in
//! 65), one line stands for all of them.

/// Fewest digits of a card number that is looked for.
pub(super) const MIN_DIGITS: usize = 13;
/// Most digits of a card number.
pub(super) const MAX_DIGITS: usize = 19;
/// Digits that tell the issuer, and that masking leaves where there are enough others.
pub(super) const ISSUER_DIGITS: usize = 6;

/// A range by its first six digits, and a bit for each length in use.
type Range = (u32, u32, u32);

/// In ascending order; where ranges overlap, each counts.
const RANGES: [Range; 25] = [
    (220_000, 220_499, from_to(16, 19)),                     // Mir
    (222_100, 272_099, one(16)),                             // Mastercard
    (300_000, 305_999, from_to(14, 19)),                     // Diners Club
    (309_500, 309_599, from_to(14, 19)),                     // Diners Club
    (340_000, 349_999, one(15)),                             // American Express
    (352_800, 358_999, from_to(16, 19)),                     // JCB
    (360_000, 369_999, from_to(14, 19)),                     // Diners Club
    (370_000, 379_999, one(15)),                             // American Express
    (380_000, 399_999, from_to(14, 19)),                     // Diners Club
    (400_000, 499_999, one(13) | one(16) | from_to(18, 19)), // Visa
    (500_000, 509_999, from_to(13, 19)),                     // Maestro, Elo, Verve, RuPay, Dankort
    (510_000, 559_999, one(16)),                             // Mastercard
    (560_000, 589_999, from_to(13, 19)),                     // Maestro
    (600_000, 609_999, one(16)),                             // RuPay, Hipercard
    (601_100, 601_199, from_to(16, 19)),                     // Discover
    (620_000, 629_999, from_to(16, 19)),                     // UnionPay
    (630_000, 639_999, from_to(13, 19)),                     // Maestro, Elo, InterPayment, InstaPayment
    (644_000, 649_999, from_to(16, 19)),                     // Discover
    (650_000, 659_999, from_to(16, 19)),                     // Discover, RuPay, Elo, Troy
    (670_000, 679_999, from_to(13, 19)),                     // Maestro
    (810_000, 829_999, from_to(16, 19)),                     // UnionPay, RuPay
    (860_000, 860_099, one(16)),                             // Uzcard
    (970_400, 970_499, one(16) | one(19)),                   // Napas
    (979_200, 979_299, one(16)),                             // Troy
    (986_000, 986_099, one(16)),                             // Humo
];

const fn one(length: u32) -> u32 {
    1 << length
}

const fn from_to(first: u32, last: u32) -> u32 {
    (1 << (last + 1)) - (1 << first)
}

/// Whether digits are a card number.
pub(super) fn is_card_number(digits: &[u8]) -> bool {
    // Nothing that is known begins with 0, 1 or 7: times since 1970 begin with 1.
    (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len())
        && !matches!(digits[0], 0 | 1 | 7)
        && has_check_digit(digits)
        && lengths(digits) >> digits.len() & 1 == 1
}

/// Whether digits can be the beginning of a card number, of which the rest is not seen.
pub(super) fn may_begin_one(digits: &[u8]) -> bool {
    digits.len() >= ISSUER_DIGITS && lengths(digits) != 0
}

/// The lengths in use in the ranges that digits lie in.
fn lengths(digits: &[u8]) -> u32 {
    let issuer = digits.iter().take(ISSUER_DIGITS).fold(0, |n, &d| n * 10 + u32::from(d));
    RANGES
        .iter()
        .filter(|(from, to, _)| (*from..=*to).contains(&issuer))
        .fold(0, |all, (_, _, some)| all | some)
}

/// Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B: the Luhn formula).
fn has_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(n, &d)| match (n % 2, u32::from(d)) {
            (0, d) => d,
            (_, d) if d > 4 => 2 * d - 9,
            (_, d) => 2 * d,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether masking leaves the `n`th of so many digits: the last four, and from 15 digits on the first six too.
pub(super) const fn stays(n: usize, digits: usize) -> bool {
    n + 4 >= digits || n < ISSUER_DIGITS && digits >= 15
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(text: &str) -> bool {
        let digits: Vec<u8> = text.bytes().map(|b| b - b'0').collect();
        is_card_number(&digits)
    }

    /// Numbers that the networks and payment services publish for tests.
    #[test]
    fn abuse_a50_the_published_test_numbers_of_each_network_are_card_numbers() {
        for text in [
            "4111111111111111",
            "4012888888881881",
            "4222222222222",
            "5555555555554444",
            "5105105105105100",
            "2223003122003222",
            "2720994326581252",
            "378282246310005",
            "341111111111111",
            "30569309025904",
            "38520000023237",
            "36227206271667",
            "6011111111111117",
            "6445644564456445",
            "6500000000000002",
            "3530111333300000",
            "3566002020360505",
            "6200000000000005",
            "6205500000000000004",
            "8171999927660000",
            "6759649826438453",
            "6799990100000000019",
            "2200000000000004",
            "6062828888666688",
            "9792030000000000",
            "5066991111111118",
        ] {
            assert!(is(text), "{text}");
        }
    }

    #[test]
    fn abuse_a51_another_check_digit_length_or_beginning_is_none() {
        for text in [
            "4111111111111112", // check digit
            "411111111111116",  // 15 digits of Visa
            "5555555555557",    // 13 digits of Mastercard
            "0000000000000000",
            "1111111111111117",
            "1742048551000",
            "9999999999999995",
            "7992739871379927",
            "41111111111111111115",
        ] {
            assert!(!is(text), "{text}");
        }
    }

    #[test]
    fn the_ranges_are_in_order_and_begin_with_no_other_digit() {
        assert!(
            RANGES
                .iter()
                .all(|(from, to, _)| [from, to].iter().all(|n| ![0, 1, 7].contains(&(*n / 100_000))))
        );
        assert!(RANGES.is_sorted_by_key(|(from, _, _)| *from));
        assert!(RANGES.iter().all(|(from, to, lengths)| from <= to && *lengths >> MIN_DIGITS != 0));
    }

    #[test]
    fn masking_leaves_the_ends() {
        let shown =
            |digits| (0..digits).map(|n| if stays(n, digits) { 'd' } else { '*' }).collect::<String>();
        assert_eq!(shown(13), "*********dddd");
        assert_eq!(shown(14), "**********dddd");
        assert_eq!(shown(15), "dddddd*****dddd");
        assert_eq!(shown(16), "dddddd******dddd");
        assert_eq!(shown(19), "dddddd*********dddd");
    }
}
