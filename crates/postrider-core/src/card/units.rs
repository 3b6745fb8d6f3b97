//! What the characters of a text are to the search: digits, what may group them, letters, and the rest.

/// What a character is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    /// A decimal digit of any script, with its value.
    Digit(u8),
    /// What may stand once between the digits of a card number: a space, a dash, a dot.
    Separator,
    /// A letter: a digit beside it belongs to a word.
    Letter,
    /// Anything else.
    Other,
}

/// The zeros of all decimal digits (Unicode's general category Nd) beside ASCII's; nine others follow each.
const ZEROS: [u32; 65] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6,
    0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0,
    0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30,
    0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0,
    0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC,
    0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

/// What a character is.
pub(super) fn unit(c: char) -> Unit {
    match c {
        '0'..='9' => Unit::Digit(c as u8 - b'0'),
        ' ' | '-' | '.' => Unit::Separator,
        'a'..='z' | 'A'..='Z' => Unit::Letter,
        '\0'..='\u{7f}' => Unit::Other,
        // No-break, typographic and ideographic spaces; hyphens, dashes and the minus sign; small and full-width forms.
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => Unit::Separator,
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => Unit::Separator,
        '\u{fe52}' | '\u{ff0e}' => Unit::Separator,
        c => match digit(c) {
            Some(digit) => Unit::Digit(digit),
            None if c.is_alphanumeric() => Unit::Letter,
            None => Unit::Other,
        },
    }
}

fn digit(c: char) -> Option<u8> {
    let c = u32::from(c);
    let zero = *ZEROS.get(ZEROS.partition_point(|&zero| zero <= c).checked_sub(1)?)?;
    u8::try_from(c - zero).ok().filter(|&digit| digit < 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a104_digits_of_every_script_are_digits() {
        assert!(ZEROS.is_sorted());
        for zero in ZEROS {
            for value in 0..10 {
                let c = char::from_u32(zero + value).unwrap();
                assert!(c.is_numeric(), "{zero:x}");
                assert_eq!(unit(c), Unit::Digit(value as u8), "{zero:x}");
            }
            assert!(!matches!(unit(char::from_u32(zero + 10).unwrap()), Unit::Digit(d) if d > 0), "{zero:x}");
        }
        assert_eq!(unit('４'), Unit::Digit(4));
        assert_eq!(unit('٤'), Unit::Digit(4));
    }

    #[test]
    fn what_is_no_digit_is_told_apart() {
        for (c, expected) in [
            ('é', Unit::Letter),
            ('ß', Unit::Letter),
            ('字', Unit::Letter),
            ('²', Unit::Letter),
            ('_', Unit::Other),
            ('\u{2019}', Unit::Other),
            ('€', Unit::Other),
            ('\n', Unit::Other),
            ('\u{a0}', Unit::Separator),
            ('–', Unit::Separator),
        ] {
            assert_eq!(unit(c), expected, "{c:?}");
        }
    }
}
