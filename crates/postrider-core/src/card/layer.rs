//! A text as a reader of it sees it, each character with the place that it has in what was sent.
//!
//! A number may be written with escapes, in JSON within a string of JSON, percent-encoded, or in another encoding. Each of
//! these is a layer over the one below; an edit is always made in the text at the bottom.

use std::borrow::Cow;
use std::ops::Range;

/// A text over the one that was sent.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    pub(super) text: Cow<'a, str>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    /// The text stands in what was sent as it is, from here on.
    At(usize),
    /// For each byte of the text, where the character that it belongs to stands in what was sent.
    Each(Vec<Range<usize>>),
}

/// A layer that is being made.
struct Builder {
    text: String,
    origins: Vec<Range<usize>>,
}

impl Builder {
    fn new(length: usize) -> Self {
        Self { text: String::with_capacity(length), origins: Vec::with_capacity(length) }
    }

    fn push(&mut self, c: char, origin: Range<usize>) {
        self.text.push(c);
        self.origins.resize(self.text.len(), origin);
    }

    fn build(self) -> Layer<'static> {
        Layer { text: Cow::Owned(self.text), origin: Origin::Each(self.origins) }
    }
}

impl<'a> Layer<'a> {
    /// What was sent.
    pub(super) fn of(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), origin: Origin::At(0) }
    }

    /// What was sent as bytes of an unknown encoding: UTF-8 where it is, and NUL passed over, so that digits in UTF-16 or
    /// UTF-32 stand beside each other too.
    pub(super) fn of_bytes(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => return Self::of(text),
            _ => {}
        }
        let mut layer = Builder::new(bytes.len());
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            for (offset, c) in chunk.valid().char_indices().filter(|(_, c)| *c != '\0') {
                layer.push(c, at + offset..at + offset + c.len_utf8());
            }
            at += chunk.valid().len();
            if !chunk.invalid().is_empty() {
                layer.push(char::REPLACEMENT_CHARACTER, at..at + chunk.invalid().len());
                at += chunk.invalid().len();
            }
        }
        layer.build()
    }

    /// Where a part of the text stands in what was sent.
    pub(super) fn origins(&self, part: Range<usize>) -> Range<usize> {
        match &self.origin {
            Origin::At(start) => start + part.start..start + part.end,
            Origin::Each(origins) => match origins.get(part).unwrap_or_default() {
                [first, .., last] => first.start..last.end,
                [only] => only.clone(),
                [] => 0..0,
            },
        }
    }

    /// A part of the text as it is.
    fn part(&self, part: Range<usize>) -> Layer<'_> {
        let origin = match &self.origin {
            Origin::At(start) => Origin::At(start + part.start),
            Origin::Each(origins) => Origin::Each(origins.get(part.clone()).unwrap_or_default().to_vec()),
        };
        Layer { text: Cow::Borrowed(self.text.get(part).unwrap_or_default()), origin }
    }

    /// What a JSON string means (RFC 8259, section 7), of which `inner` is what stands between the quotes. An escape that is
    /// none stays as it is, an unpaired surrogate becomes a replacement character.
    pub(super) fn unescaped(&self, inner: Range<usize>) -> Layer<'_> {
        let text = self.text.get(inner.clone()).unwrap_or_default();
        if !text.contains('\\') {
            return self.part(inner);
        }
        let mut layer = Builder::new(text.len());
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let (meant, length) =
                if c == '\\' { escape(&text[at..]).unwrap_or((c, 1)) } else { (c, c.len_utf8()) };
            layer.push(meant, self.origins(inner.start + at..inner.start + at + length));
            at += length;
        }
        layer.build()
    }

    /// The text without percent-encoding (RFC 3986, section 2.1), `+` as the space that it is in a form; `None` where it has
    /// none.
    pub(super) fn percent_decoded(&self) -> Option<Layer<'static>> {
        if !self.text.contains('%') {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.text.len());
        let mut origins = Vec::with_capacity(self.text.len());
        let text = self.text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            let (meant, length) = match (byte, text.get(at + 1..at + 3).and_then(hexadecimal)) {
                (b'%', Some(meant)) => (u8::try_from(meant).unwrap_or(byte), 3),
                (b'+', _) => (b' ', 1),
                _ => (byte, 1),
            };
            bytes.push(meant);
            origins.push(self.origins(at..at + length));
            at += length;
        }
        let decoded = Layer::of_bytes(&bytes);
        let places = (0..decoded.text.len()).map(|at| decoded.origins(at..at + 1));
        let origins = places.map(|place| origins[place.start].start..origins[place.end - 1].end).collect();
        Some(Layer { text: Cow::Owned(decoded.text.into_owned()), origin: Origin::Each(origins) })
    }
}

/// What an escape at the beginning of a text means, and how long it is.
pub(super) fn escape(text: &str) -> Option<(char, usize)> {
    let bytes = text.as_bytes();
    let meant = match bytes.get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return Some(unicode_escape(bytes)),
        &b @ (b'"' | b'\\' | b'/') => char::from(b),
        _ => return None,
    };
    Some((meant, 2))
}

fn unicode_escape(bytes: &[u8]) -> (char, usize) {
    let code = |from: usize| bytes.get(from..from + 4).and_then(hexadecimal);
    match code(2) {
        // A pair of surrogates.
        Some(high @ 0xd800..=0xdbff) if bytes.get(6..8) == Some(b"\\u") => match code(8) {
            Some(low @ 0xdc00..=0xdfff) => {
                let c = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                (char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
            }
            _ => (char::REPLACEMENT_CHARACTER, 6),
        },
        Some(code) => (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
        None => ('\\', 1),
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |n, &digit| Some(n << 4 | char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_escape_means_has_the_place_of_the_escape() {
        let sent = Layer::of(r#""a\u0034\\\ud83d\ude00é\n\ud800.\x""#);
        let layer = sent.unescaped(1..sent.text.len() - 1);
        assert_eq!(layer.text, "a4\\\u{1f600}é\n\u{fffd}.\\x");
        assert_eq!(layer.origins(1..2), 2..8, "the digit");
        assert_eq!(layer.origins(2..3), 8..10, "the backslash");
        assert_eq!(layer.origins(3..7), 10..22, "the pair");
        let inside = layer.part(1..2);
        assert_eq!((&*inside.text, inside.origins(0..1)), ("4", 2..8));
    }

    #[test]
    fn layers_lie_upon_each_other() {
        let sent = Layer::of(r#""{\"a\":\"\\u0034\"}""#);
        let outer = sent.unescaped(1..sent.text.len() - 1);
        assert_eq!(outer.text, r#"{"a":"\u0034"}"#);
        let inner = outer.unescaped(6..12);
        assert_eq!((&*inner.text, inner.origins(0..1)), ("4", 10..17));
        assert_eq!(&sent.text[10..17], r"\\u0034");
    }

    #[test]
    fn bytes_of_any_encoding_become_a_text() {
        let utf16: Vec<u8> = "41 ä".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let layer = Layer::of_bytes(&utf16);
        assert!(layer.text.starts_with("41 "), "{}", layer.text);
        assert_eq!(layer.origins(1..2), 2..3);
        let broken = Layer::of_bytes(b"a\xff\xfe4");
        assert_eq!(broken.text.chars().last(), Some('4'));
        assert_eq!(broken.origins(broken.text.len() - 1..broken.text.len()), 3..4);
    }

    #[test]
    fn percent_encoding_is_undone() {
        let sent = Layer::of("/a%34+%zz%C3%A9%");
        let layer = sent.percent_decoded().unwrap();
        assert_eq!(layer.text, "/a4 %zzé%");
        assert_eq!(layer.origins(2..3), 2..5);
        assert_eq!(layer.origins(7..9), 9..15);
        assert!(Layer::of("a+b").percent_decoded().is_none());
    }
}
