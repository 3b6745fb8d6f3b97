//! Finding card numbers in a text: runs of digits, grouped or not, bounded by other than letters and digits.
//!
//! A run is digits with single separators between them, as long as it goes on. In it a number is looked for in the forms
//! in which cards are written, and then the run as a whole. So `4111 1111 1111 1111 12/27` is found although the run has
//! two digits more, and the groups of an IBAN or a UUID are not taken for a card.

use std::ops::Range;

use super::issuers::{MIN_DIGITS, is_card_number};
use super::units::{Unit, unit};

/// How cards group their digits.
const LAYOUTS: [&[usize]; 4] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];
/// A single point parts the digits of a card only where it has as many on either side: else it is a decimal point.
const MIN_BESIDE_POINT: usize = 5;
/// The longest telephone number, in digits (ITU-T E.164, section 6.1).
pub(super) const MAX_PHONE_DIGITS: usize = 15;
/// The lengths of the parts of a UUID (RFC 9562, section 4), and of the whole.
const UUID_PARTS: [usize; 5] = [8, 4, 4, 4, 12];
const UUID_LENGTH: usize = 36;
/// Digits that a track has at least behind its card number: the expiry as YYMM and the service code (ISO/IEC 7813).
const MIN_TRACK_DIGITS: usize = 7;
/// The longest track, in characters: track 3 (ISO/IEC 4909).
const MAX_TRACK: usize = 107;
/// The longest name of a holder in track 1, in characters, with some to spare.
const MAX_HOLDER: usize = 40;

/// A card number in a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Hit {
    /// From its first digit to its last.
    pub(super) number: Range<usize>,
    /// What follows it, where it stands in the data of a magnetic stripe: the rest of the track, without the holder's name.
    pub(super) track: Option<Range<usize>>,
}

/// Digits without anything between them.
#[derive(Clone, Debug)]
struct Group {
    /// Where they stand in the text.
    place: Range<usize>,
    /// Where they stand among the digits of the run.
    digits: Range<usize>,
    /// What stands between the group before and this one.
    separator: Option<char>,
}

/// Digits with single separators between them.
#[derive(Debug, Default)]
struct Run {
    digits: Vec<u8>,
    groups: Vec<Group>,
    /// A separator that is the last character seen.
    pending: Option<char>,
}

impl Run {
    fn digit(&mut self, place: Range<usize>, digit: u8) {
        let n = self.digits.len();
        self.digits.push(digit);
        match (self.groups.last_mut(), self.pending.take()) {
            (Some(group), None) => {
                group.place.end = place.end;
                group.digits.end = n + 1;
            }
            (_, separator) => self.groups.push(Group { place, digits: n..n + 1, separator }),
        }
    }

    fn clear(&mut self) {
        self.digits.clear();
        self.groups.clear();
        self.pending = None;
    }
}

/// The card numbers in a text, in order. `phone`: what stands there is said to be a telephone number.
pub(super) fn find(text: &str, phone: bool) -> Vec<Hit> {
    let mut found = Vec::new();
    let mut run = Run::default();
    for (at, c) in text.char_indices() {
        match unit(c) {
            Unit::Digit(digit) => run.digit(at..at + c.len_utf8(), digit),
            Unit::Separator if !run.digits.is_empty() && run.pending.is_none() => run.pending = Some(c),
            _ if run.digits.is_empty() => {}
            _ => {
                search(text, &run, phone, &mut found);
                run.clear();
            }
        }
    }
    search(text, &run, phone, &mut found);
    // What a track holds is a part of that track, whatever it looks like.
    found.dedup_by(|hit, before| before.track.as_ref().is_some_and(|track| hit.number.end <= track.end));
    found
}

fn search(text: &str, run: &Run, phone: bool, found: &mut Vec<Hit>) {
    if run.digits.len() < MIN_DIGITS {
        return;
    }
    let Some(search) = Search::of(text, run, phone) else { return };
    let before = found.len();
    let mut at = 0;
    while at < search.groups.len() {
        match search.written_like_a_card(at) {
            Some(end) => {
                found.push(search.hit(at, end));
                at = end;
            }
            None => at += 1,
        }
    }
    let end = search.groups.len();
    if found.len() == before && !is_decimal(search.groups) && search.is_number(0, end) {
        found.push(search.hit(0, end));
    }
}

/// The part of a run that is bounded by other than letters and digits.
struct Search<'a> {
    text: &'a str,
    digits: &'a [u8],
    /// At least one.
    groups: &'a [Group],
    phone: bool,
    /// A `+` stands before the first group.
    plus: bool,
}

impl<'a> Search<'a> {
    fn of(text: &'a str, run: &'a Run, phone: bool) -> Option<Self> {
        let mut groups = &run.groups[..];
        let before = |group: &Group| text[..group.place.start].chars().next_back();
        let after = |group: &Group| text[group.place.end..].chars().next();
        let is_letter = |c: Option<char>| c.is_some_and(|c| unit(c) == Unit::Letter);
        if is_letter(before(groups.first()?)) && !begins_track_1(text, groups.first()?) {
            if begins_iban(text, groups.first()?) {
                return None;
            }
            groups = groups.split_first()?.1;
        }
        let last = groups.last()?;
        if is_letter(after(last)) && track_2(text, last.place.end).is_none() {
            groups = groups.split_last()?.1;
        }
        let plus = matches!(before(groups.first()?), Some('+' | '\u{ff0b}'));
        Some(Self { text, digits: &run.digits, groups, phone, plus })
    }

    /// Where the groups end that make a number from `at` on in one of the forms in which cards are written.
    fn written_like_a_card(&self, at: usize) -> Option<usize> {
        let groups = &self.groups[at..];
        for layout in LAYOUTS {
            let Some(groups) = groups.get(..layout.len()) else { continue };
            let alike = groups[1..].windows(2).all(|pair| pair[0].separator == pair[1].separator);
            let fits = groups.iter().map(|group| group.digits.len()).eq(layout.iter().copied());
            if alike && fits && self.is_number(at, at + layout.len()) {
                return Some(at + layout.len());
            }
        }
        // Behind a point stand decimals.
        let alone = at == 0 || groups[0].separator != Some('.');
        (alone && self.is_number(at, at + 1)).then_some(at + 1)
    }

    fn is_number(&self, from: usize, to: usize) -> bool {
        let (first, last) = (&self.groups[from], &self.groups[to - 1]);
        let digits = &self.digits[first.digits.start..last.digits.end];
        let is_phone = digits.len() <= MAX_PHONE_DIGITS && (self.phone || self.plus && from == 0);
        is_card_number(digits)
            && !is_phone
            && !in_uuid(self.text.as_bytes(), first.place.start..last.place.end)
    }

    fn hit(&self, from: usize, to: usize) -> Hit {
        let end = self.groups[to - 1].place.end;
        Hit { number: self.groups[from].place.start..end, track: track(self.text, end) }
    }
}

/// Whether a run is a number with decimals rather than groups: nothing but one point in it, and few digits on one side.
fn is_decimal(groups: &[Group]) -> bool {
    matches!(groups, [whole, decimals] if decimals.separator == Some('.')
        && whole.digits.len().min(decimals.digits.len()) < MIN_BESIDE_POINT)
}

/// Whether a group is the account in `%B4111…^`: track 1 of a magnetic stripe.
fn begins_track_1(text: &str, group: &Group) -> bool {
    let mut before = text[..group.place.start].chars().rev();
    matches!(before.next(), Some('B' | 'b'))
        && !before.next().is_some_and(char::is_alphanumeric)
        && text[group.place.end..].starts_with('^')
}

/// Whether a group is the check digits of an IBAN (ISO 13616), as in `DE12 5001 …`.
fn begins_iban(text: &str, group: &Group) -> bool {
    let mut before = text[..group.place.start].chars().rev();
    let mut is_letter = || before.next().is_some_and(|c| c.is_ascii_alphabetic());
    group.digits.len() == 2 && is_letter() && is_letter() && !before.next().is_some_and(char::is_alphanumeric)
}

/// Whether a part of a text lies within a UUID.
fn in_uuid(text: &[u8], part: Range<usize>) -> bool {
    let mut offset = 0;
    UUID_PARTS.iter().any(|length| {
        let start = part.start.checked_sub(offset);
        offset += length + 1;
        start.is_some_and(|start| part.end <= start + UUID_LENGTH && is_uuid(text, start))
    })
}

fn is_uuid(text: &[u8], start: usize) -> bool {
    let Some(uuid) = text.get(start..start + UUID_LENGTH) else { return false };
    let free = |at: Option<usize>| !at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    free(start.checked_sub(1))
        && free(Some(start + UUID_LENGTH))
        && uuid.split(|&b| b == b'-').map(<[u8]>::len).eq(UUID_PARTS)
        && uuid.iter().all(|b| *b == b'-' || b.is_ascii_hexdigit())
}

/// What follows a card number up to `end` where it stands in a track of a magnetic stripe (ISO/IEC 7813).
fn track(text: &str, end: usize) -> Option<Range<usize>> {
    track_2(text, end).or_else(|| {
        // Track 1: the holder's name between two carets.
        let holder = text[end..].strip_prefix('^')?;
        let (length, _) = holder.char_indices().take(MAX_HOLDER).find(|(_, c)| *c == '^')?;
        rest_of_track(text, end + 1 + length + 1, |c| c.is_alphanumeric() || c == ' ')
    })
}

/// Track 2: `=` and digits, or in the form in which chips give it `D`, and `F` to fill up.
fn track_2(text: &str, end: usize) -> Option<Range<usize>> {
    text[end..].starts_with(['=', 'D', 'd']).then_some(())?;
    rest_of_track(text, end + 1, |c| matches!(unit(c), Unit::Digit(_)) || matches!(c, '=' | 'F' | 'f'))
}

/// The rest of a track from its expiry on, of characters that belong to it.
fn rest_of_track(text: &str, begins: usize, belongs: impl Fn(char) -> bool) -> Option<Range<usize>> {
    let rest = &text[begins..];
    let chars = rest.chars().take(MAX_TRACK).take_while(|c| belongs(*c));
    begins_with_expiry(rest).then(|| begins..begins + chars.map(char::len_utf8).sum::<usize>())
}

/// Whether a text begins with the year, month and service code of a track.
fn begins_with_expiry(text: &str) -> bool {
    let mut digits = [0; MIN_TRACK_DIGITS];
    let mut chars = text.chars();
    for digit in &mut digits {
        match chars.next().map(unit) {
            Some(Unit::Digit(value)) => *digit = value,
            _ => return false,
        }
    }
    (1..=12).contains(&(digits[2] * 10 + digits[3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<&str> {
        find(text, false).into_iter().map(|hit| &text[hit.number]).collect()
    }

    #[test]
    fn abuse_a50_a_number_is_found_in_every_form_in_which_it_is_written() {
        for (text, expected) in [
            ("4111111111111111", "4111111111111111"),
            ("card 4111 1111 1111 1111.", "4111 1111 1111 1111"),
            ("4111-1111-1111-1111", "4111-1111-1111-1111"),
            ("4111.1111.1111.1111", "4111.1111.1111.1111"),
            ("4111\u{a0}1111\u{a0}1111\u{a0}1111", "4111\u{a0}1111\u{a0}1111\u{a0}1111"),
            ("4111–1111–1111–1111", "4111–1111–1111–1111"),
            ("41111111 11111111", "41111111 11111111"),
            ("41111111.11111111", "41111111.11111111"),
            ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"),
            ("4111-1111 1111.1111", "4111-1111 1111.1111"),
            ("3782 822463 10005", "3782 822463 10005"),
            ("card_4111111111111111", "4111111111111111"),
            ("pan=4111111111111111&x=1", "4111111111111111"),
            ("(4111111111111111)", "4111111111111111"),
            ("４１１１１１１１１１１１１１１１", "４１１１１１１１１１１１１１１１"),
            ("٤١١١ ١١١١ ١١١١ ١١١١", "٤١١١ ١١١١ ١١١١ ١١١١"),
            ("-4111111111111111", "4111111111111111"),
            ("4222222222222", "4222222222222"),
            ("6799990100000000019", "6799990100000000019"),
            ("+4111111111111111", "4111111111111111"),
        ] {
            assert_eq!(numbers(text), [expected], "{text}");
        }
    }

    #[test]
    fn abuse_a50_what_stands_beside_a_number_does_not_hide_it() {
        for (text, expected) in [
            ("4111 1111 1111 1111 12/27", &["4111 1111 1111 1111"][..]),
            ("4111111111111111 1227 123", &["4111111111111111"]),
            ("2025-05-12 4111111111111111", &["4111111111111111"]),
            ("12.05.2025 4111-1111-1111-1111 5", &["4111-1111-1111-1111"]),
            ("4111111111111111 5555555555554444", &["4111111111111111", "5555555555554444"]),
            (
                "4111111111111111-5555555555554444-378282246310005",
                &["4111111111111111", "5555555555554444", "378282246310005"],
            ),
            ("4111111111111111  5555 5555 5555 4444", &["4111111111111111", "5555 5555 5555 4444"]),
            ("v2 4111111111111111 3DS", &["4111111111111111"]),
            ("paid 4111111111111111.00 EUR", &["4111111111111111"]),
            ("+4915112345678 4111111111111111", &["4111111111111111"]),
        ] {
            assert_eq!(numbers(text), expected, "{text}");
        }
    }

    #[test]
    fn abuse_a104_a_track_is_found_with_what_follows_the_number() {
        for (text, number, track) in [
            (";4111111111111111=25121010000012345678?", "4111111111111111", Some("25121010000012345678")),
            ("4111111111111111=25121010000012345678", "4111111111111111", Some("25121010000012345678")),
            ("4111111111111111D25121010000012345678F", "4111111111111111", Some("25121010000012345678F")),
            ("%B4111111111111111^DOE/JOHN^2512101100000000?", "4111111111111111", Some("2512101100000000")),
            ("%B378282246310005^DOE/J ^25121011 00?;", "378282246310005", Some("25121011 00")),
            (";4111111111111111=2512?", "4111111111111111", None),
            ("4111111111111111=9999999999", "4111111111111111", None),
        ] {
            let hits = find(text, false);
            assert_eq!(hits.len(), 1, "{text}");
            assert_eq!(&text[hits[0].number.clone()], number, "{text}");
            assert_eq!(hits[0].track.clone().map(|track| &text[track]), track, "{text}");
        }
    }

    #[test]
    fn abuse_a51_what_is_no_card_number_is_not_taken_for_one() {
        for text in [
            "",
            "4111111111111112",
            "x4111111111111111",
            "4111111111111111x",
            "é4111111111111111",
            "14111111111111111",
            "411111111111111",
            "411111******1111",
            "**** **** **** 1111",
            "1742048551000",
            "2025-03-15T14:22:31.000Z",
            "2025-03-15 14.22.31.123",
            "+4915112345678",
            "+49 151 4222222222",
            "DE12 5555 5555 5555 4444",
            "DE12 5555 5555 5555 4444 00",
            "40.71277612345678",
            "0.4111111111111111",
            "4.111111111111111",
            "411111111111.1111",
            "41111111-1111-1111-abcd-abcdabcdabcd",
            "abcdabcd-abcd-abcd-4111-111111111111",
            "4111  1111  1111  1111",
            "4111,1111,1111,1111",
            "4111/1111/1111/1111",
        ] {
            assert_eq!(numbers(text), [""; 0], "{text}");
        }
        assert!(find("4222222222222", true).is_empty(), "said to be a telephone number");
        assert_eq!(find("4111111111111111", true).len(), 1, "too long for one");
    }
}
