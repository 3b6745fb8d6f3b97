//! What is everywhere in events and must not be taken for card numbers: a hundred thousand of each kind.

use super::has_finding;

/// Generated of each kind.
const EACH: usize = 100_000;
/// Mistaken of them, at most: one in ten thousand.
const MISTAKEN: usize = EACH / 10_000;

/// A seeded generator (SplitMix64): the same run everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn digits(&mut self, count: u64) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }

    fn hex(&mut self, count: u64) -> String {
        (0..count).map(|_| char::from_digit(self.below(16) as u32, 16).unwrap()).collect()
    }
}

/// Generates events with one kind of value each, and counts those in which a card number is seen.
fn mistaken(seed: u64, make: impl Fn(&mut Random) -> String) -> usize {
    let mut random = Random(seed);
    (0..EACH).map(|_| make(&mut random)).filter(|event| has_finding(event)).count()
}

#[track_caller]
fn assert_told_apart(what: &str, seed: u64, make: impl Fn(&mut Random) -> String) {
    let mistaken = mistaken(seed, make);
    assert!(mistaken < MISTAKEN, "{mistaken} of {EACH} {what} were taken for card numbers");
}

#[test]
fn abuse_a51_uuids_are_not_mistaken() {
    assert_told_apart("UUIDs", 1, |random| {
        let (a, b, c, d) = (random.hex(8), random.hex(4), random.hex(3), random.hex(3));
        let variant = ['8', '9', 'a', 'b'][random.below(4) as usize];
        let version = ['1', '4', '7'][random.below(3) as usize];
        format!(r#"{{"id":"{a}-{b}-{version}{c}-{variant}{d}-{}"}}"#, random.hex(12))
    });
}

#[test]
fn abuse_a51_hexadecimal_ids_are_not_mistaken() {
    assert_told_apart("hexadecimal ids", 2, |random| {
        let length = 8 + random.below(57);
        format!(r#"{{"id":"{}"}}"#, random.hex(length))
    });
    assert_told_apart("ids of 16 hexadecimal digits", 3, |random| {
        format!(r#"{{"id":"{}"}}"#, random.hex(16))
    });
}

#[test]
fn abuse_a51_timestamps_are_not_mistaken() {
    // From 2001 to 2033, from whole seconds to nanoseconds.
    let micros = |random: &mut Random| 1_000_000_000_000_000 + random.below(999_000_000_000_000);
    assert_told_apart("epoch numbers", 4, |random| {
        let (micros, unit) = (micros(random), random.below(4));
        let number = [micros / 1_000_000, micros / 1_000, micros, micros * 1_000][unit as usize];
        if random.below(2) == 0 { format!(r#"{{"at":{number}}}"#) } else { format!(r#"{{"at":"{number}"}}"#) }
    });
    assert_told_apart("epoch seconds with decimals", 5, |random| {
        let (micros, fraction) = (micros(random), random.digits(9));
        if random.below(2) == 0 {
            format!(r#"{{"at":{}.{fraction}}}"#, micros / 1_000_000)
        } else {
            format!(r#"{{"at":"{}.{fraction}"}}"#, micros / 1_000_000)
        }
    });
    assert_told_apart("dates with times", 6, |random| {
        let part = |random: &mut Random, from: u64, to: u64| from + random.below(to - from);
        let (year, month, day) = (part(random, 1970, 2100), part(random, 1, 13), part(random, 1, 29));
        let (hour, minute, second) = (part(random, 0, 24), part(random, 0, 60), part(random, 0, 60));
        let fraction = random.digits(9);
        let text = match random.below(5) {
            0 => format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction}Z"),
            1 => format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{}", &fraction[..3]),
            2 => format!("{year}{month:02}{day:02}{hour:02}{minute:02}{second:02}"),
            3 => format!("{year}-{month:02}-{day:02}-{hour:02}.{minute:02}.{second:02}.{}", &fraction[..6]),
            _ => format!("{year}{month:02}{day:02}{hour:02}{minute:02}{second:02}{}", &fraction[..3]),
        };
        format!(r#"{{"at":"{text}"}}"#)
    });
}

#[test]
fn abuse_a51_amounts_are_not_mistaken() {
    assert_told_apart("amounts", 7, |random| {
        let (length, decimals) = (1 + random.below(10), random.below(5));
        let mut amount = format!("{}{}", 1 + random.below(9), random.digits(length - 1));
        if decimals > 0 {
            amount = format!("{amount}.{}", random.digits(decimals));
        }
        if random.below(2) == 0 {
            format!(r#"{{"amount":{amount}}}"#)
        } else {
            format!(r#"{{"amount":"{amount} EUR"}}"#)
        }
    });
    assert_told_apart("rates as floats print them", 8, |random| {
        let (whole, decimals) = (random.below(1_000), 10 + random.below(8));
        let rate = format!("{whole}.{}", random.digits(decimals));
        if random.below(2) == 0 { format!(r#"{{"rate":{rate}}}"#) } else { format!(r#"{{"rate":"{rate}"}}"#) }
    });
}

#[test]
fn abuse_a51_telephone_numbers_are_not_mistaken() {
    assert_told_apart("telephone numbers", 9, |random| {
        let (country, length) = (1 + random.below(998), 6 + random.below(7));
        let number = random.digits(length);
        let (area, rest) = number.split_at(3);
        let text = match random.below(4) {
            0 => format!("+{country}{number}"),
            1 => format!("+{country} {area} {rest}"),
            2 => format!("+{country} ({area}) {rest}"),
            _ => format!("0{area}-{rest}"),
        };
        format!(r#"{{"contact":"{text}"}}"#)
    });
    assert_told_apart("telephone numbers without a plus, by the field's name", 10, |random| {
        let length = 8 + random.below(8);
        format!(r#"{{"phone_number":"4{}","msisdn":4{}}}"#, random.digits(length - 1), random.digits(12))
    });
}
