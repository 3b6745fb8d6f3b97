//! Going through a JSON document: every name, string and number in it with its place, also of JSON within its strings.
//!
//! What is no JSON, or is cut off, is gone through as far as its parts can be told; nothing makes the walk fail.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;

use super::edits::{Edits, Removal};
use super::issuers::{MAX_DIGITS, is_card_number, stays};
use super::layer::Layer;
use super::names::{self, Secret};
use super::runs::{self, Hit, MAX_PHONE_DIGITS};
use super::units::{Unit, unit};

/// How deep JSON is looked for in strings of JSON.
const MAX_NESTED: usize = 4;
/// What a hidden digit is replaced by.
pub(super) const HIDDEN: &str = "*";
/// What a hidden secret is replaced by.
pub(super) const HIDDEN_SECRET: &str = "***";

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// A card number.
    Number,
    /// A card number with the rest of a track behind it.
    Track,
    /// Authentication data, as the name of its field promises.
    Secret,
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It stays.
    Pass,
    /// Its digits are hidden, those of a number but for its ends.
    Mask,
    /// The value goes: a member of an object as a whole, an item of an array becomes `null`.
    Strip,
}

/// Where in the document something was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place<'a>(&'a [Frame<'a>]);

/// A step towards a value.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// To the member of that name.
    Name(Cow<'a, str>),
    /// To the item of that number.
    Item(usize),
}

impl<'a> Place<'a> {
    /// From the document to what was found; for what stands in a name, to the object that has it.
    pub(super) fn steps(self) -> impl Iterator<Item = &'a Step<'a>> {
        self.0.iter().map(|frame| &frame.step)
    }
}

/// An object or array that is open.
#[derive(Debug)]
struct Frame<'a> {
    is_object: bool,
    /// To its present member or item.
    step: Step<'a>,
    /// Where the name of the present member begins.
    member: Option<usize>,
    removal: Removal,
    says: Says,
}

/// What the name of a member says of its value, and of the items of an array that is its value.
#[derive(Clone, Copy, Debug, Default)]
struct Says {
    secret: Option<Secret>,
    phone: bool,
}

/// Goes through documents, asks what becomes of each thing found, and notes what is to be changed.
pub(super) struct Walk<J> {
    judge: J,
    /// Texts may be percent-encoded.
    encoded: bool,
    /// It need not be JSON afterwards.
    loose: bool,
    edits: Edits,
}

impl<J: FnMut(Place<'_>, What) -> Verdict> Walk<J> {
    pub(super) fn new(judge: J) -> Self {
        Self { judge, encoded: false, loose: false, edits: Edits::default() }
    }

    /// Looks into percent-encoding too.
    pub(super) fn encoded(self) -> Self {
        Self { encoded: true, ..self }
    }

    /// Takes what is gone through for something that only resembles JSON.
    pub(super) fn loose(self) -> Self {
        Self { loose: true, ..self }
    }

    /// What is to be changed.
    pub(super) fn into_edits(self) -> Edits {
        self.edits
    }

    /// Goes through a document.
    pub(super) fn document(&mut self, layer: &Layer<'_>) {
        self.within(layer, 0, None);
    }

    /// Goes through a text that is no JSON.
    pub(super) fn text(&mut self, layer: &Layer<'_>) -> bool {
        self.text_at(layer, false, Place(&[]))
    }

    /// Goes through a document that `nested` strings lie around. What is found in it has the place of the outermost.
    fn within(&mut self, layer: &Layer<'_>, nested: usize, outer: Option<Place<'_>>) {
        let bytes = layer.text.as_bytes();
        let mut frames: Vec<Frame<'_>> = Vec::new();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let start = at;
            at += 1;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b':' => {}
                b'{' => frames.push(Frame::object()),
                b'[' => frames.push(Frame::array(said(&frames))),
                b'}' | b']' => {
                    if let Some(mut closed) = frames.pop() {
                        self.take_out(layer, closed.removal.end());
                    }
                    if let Some(frame) = frames.last_mut() {
                        frame.keep(at);
                    }
                }
                b',' => {
                    if let Some(frame) = frames.last_mut() {
                        frame.go_on();
                    }
                }
                b'"' => {
                    let inner = at..end_of_string(bytes, at);
                    at = (inner.end + 1).min(bytes.len());
                    if frames.last().is_some_and(Frame::awaits_name)
                        && bytes[at..].trim_ascii_start().starts_with(b":")
                    {
                        self.name(layer, start, inner, &mut frames, outer);
                    } else {
                        let place = outer.unwrap_or(Place(&frames));
                        let goes = self.string(layer, inner, said(&frames), place, nested);
                        self.settle(layer, start..at, goes, frames.last_mut());
                    }
                }
                _ => {
                    let length = bytes[at..].iter().position(|b| b"{}[],:\" \t\r\n".contains(b));
                    at = length.map_or(bytes.len(), |length| at + length);
                    let place = outer.unwrap_or(Place(&frames));
                    let goes = self.literal(layer, start..at, said(&frames), place, nested);
                    self.settle(layer, start..at, goes, frames.last_mut());
                }
            }
        }
    }

    /// A member's name, of which `inner` stands between the quotes.
    fn name<'l>(
        &mut self,
        layer: &'l Layer<'_>,
        start: usize,
        inner: Range<usize>,
        frames: &mut [Frame<'l>],
        outer: Option<Place<'_>>,
    ) {
        let Some((frame, around)) = frames.split_last_mut() else { return };
        let name = layer.unescaped(inner);
        // A name cannot go without its value: where it should, its digits do.
        self.text_at(&name, false, outer.unwrap_or(Place(around)));
        let gone = frame.removal.begin(start);
        frame.member = Some(start);
        frame.says = Says { secret: names::secret(&name.text), phone: names::is_phone(&name.text) };
        frame.step = Step::Name(name.text);
        self.take_out(layer, gone);
    }

    /// Whether a string goes as a whole.
    fn string(
        &mut self,
        layer: &Layer<'_>,
        inner: Range<usize>,
        says: Says,
        place: Place<'_>,
        nested: usize,
    ) -> bool {
        let meant = layer.unescaped(inner.clone());
        match self.is_secret(says, &meant.text, place) {
            Verdict::Pass => {}
            Verdict::Mask => {
                self.edits.replace(layer.origins(inner), HIDDEN_SECRET);
                return false;
            }
            Verdict::Strip => return true,
        }
        let json = meant.text.trim_ascii();
        let is_json = |json| serde_json::from_str::<IgnoredAny>(json).is_ok();
        match json.as_bytes().first() {
            Some(b'{' | b'[' | b'"') if nested < MAX_NESTED && is_json(json) => {
                self.within(&meant, nested + 1, Some(place));
                false
            }
            _ => {
                // A number as JSON writes it, such as 4.1e15, may be more than the digits that it is written with.
                let number = Number::parse(json);
                if json.contains(['.', 'e', 'E']) && self.is_card(number, says, place) == Verdict::Mask {
                    self.edits.replace(layer.origins(inner), number.masked());
                }
                self.text_at(&meant, says.phone, place)
            }
        }
    }

    /// Whether a number goes as a whole; also for `true`, `false`, `null` and what is no value.
    fn literal(
        &mut self,
        layer: &Layer<'_>,
        whole: Range<usize>,
        says: Says,
        place: Place<'_>,
        nested: usize,
    ) -> bool {
        let number = Number::parse(&layer.text[whole.clone()]);
        let shown = match self.is_secret(says, &number.to_string(), place) {
            Verdict::Strip => return true,
            Verdict::Mask => HIDDEN_SECRET.to_owned(),
            Verdict::Pass if self.is_card(number, says, place) == Verdict::Mask => number.masked(),
            Verdict::Pass => return false,
        };
        let quote = if self.loose { String::new() } else { quote(nested) };
        self.edits.replace(layer.origins(whole), format!("{quote}{shown}{quote}"));
        false
    }

    fn is_secret(&mut self, says: Says, text: &str, place: Place<'_>) -> Verdict {
        if !says.secret.is_some_and(|secret| secret.is_plausible(text)) {
            return Verdict::Pass;
        }
        (self.judge)(place, What::Secret)
    }

    fn is_card(&mut self, number: Number, says: Says, place: Place<'_>) -> Verdict {
        let digits = number.digits();
        if !is_card_number(digits) || says.phone && digits.len() <= MAX_PHONE_DIGITS {
            return Verdict::Pass;
        }
        (self.judge)(place, What::Number)
    }

    /// Whether the value that a text is goes as a whole.
    fn text_at(&mut self, layer: &Layer<'_>, phone: bool, place: Place<'_>) -> bool {
        let mut goes = false;
        let decoded = if self.encoded { layer.percent_decoded() } else { None };
        for layer in [Some(layer), decoded.as_ref()].into_iter().flatten() {
            for hit in runs::find(&layer.text, phone) {
                let what = if hit.track.is_some() { What::Track } else { What::Number };
                let verdict = (self.judge)(place, what);
                if verdict != Verdict::Pass {
                    self.hide(layer, &hit);
                }
                goes |= verdict == Verdict::Strip;
            }
        }
        goes
    }

    /// Hides the digits of a number but for its ends, and all that follows it in a track.
    fn hide(&mut self, layer: &Layer<'_>, hit: &Hit) {
        let chars = |part: &Range<usize>| {
            let from = part.start;
            layer.text[part.clone()]
                .char_indices()
                .map(move |(at, c)| (from + at..from + at + c.len_utf8(), c))
        };
        let is_digit = |c: char| matches!(unit(c), Unit::Digit(_));
        let digits = || chars(&hit.number).filter(|(_, c)| is_digit(*c)).map(|(part, _)| part);
        let count = digits().count();
        let hidden = digits().enumerate().filter(|(n, _)| !stays(*n, count)).map(|(_, part)| part);
        let track =
            hit.track.iter().flat_map(chars).filter(|(_, c)| c.is_alphanumeric()).map(|(part, _)| part);
        for part in hidden.chain(track) {
            self.edits.replace(layer.origins(part), HIDDEN);
        }
    }

    /// A value ended: it stays, or goes as a whole.
    fn settle(&mut self, layer: &Layer<'_>, whole: Range<usize>, goes: bool, frame: Option<&mut Frame<'_>>) {
        match frame {
            Some(Frame { member: Some(name), removal, .. }) if goes => {
                let gone = removal.remove(*name, whole.end);
                self.take_out(layer, gone);
            }
            Some(frame) if !goes => frame.keep(whole.end),
            None if !goes => {}
            _ => self.edits.replace(layer.origins(whole), "null"),
        }
    }

    fn take_out(&mut self, layer: &Layer<'_>, part: Option<Range<usize>>) {
        if let Some(part) = part {
            self.edits.replace(layer.origins(part), "");
        }
    }
}

impl Frame<'_> {
    fn object() -> Self {
        let step = Step::Name(Cow::Borrowed(""));
        Self { is_object: true, step, member: None, removal: Removal::default(), says: Says::default() }
    }

    fn array(says: Says) -> Self {
        Self { is_object: false, step: Step::Item(0), member: None, removal: Removal::default(), says }
    }

    fn awaits_name(&self) -> bool {
        self.is_object && self.member.is_none()
    }

    /// A value ended that stays.
    fn keep(&mut self, end: usize) {
        self.removal.keep(end);
        if self.is_object {
            self.says = Says::default();
        }
    }

    /// The next member or item comes.
    fn go_on(&mut self) {
        self.member = None;
        if let Step::Item(n) = &mut self.step {
            *n += 1;
        }
    }
}

/// What is said of the value that comes next.
fn said(frames: &[Frame<'_>]) -> Says {
    frames.last().map(|frame| frame.says).unwrap_or_default()
}

/// Where the string ends whose content begins at `at`: its closing quote, or the end of the text.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    loop {
        match memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
            Some(length) if bytes[at + length] == b'\\' => at += length + 2,
            Some(length) => return at + length,
            None => return bytes.len(),
        }
    }
}

/// A quote in JSON that stands in so many strings of JSON.
fn quote(nested: usize) -> String {
    (0..nested).fold("\"".to_owned(), |quote, _| quote.replace('\\', r"\\").replace('"', r#"\""#))
}

/// The digits of a whole number of at most [`MAX_DIGITS`], however it is written; without digits for any other.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    digits: [u8; MAX_DIGITS],
    count: usize,
}

impl Number {
    fn parse(text: &str) -> Self {
        Self::whole(text).unwrap_or_default()
    }

    fn whole(text: &str) -> Option<Self> {
        let text = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (units, decimals) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let all = || units.bytes().chain(decimals.bytes());
        let is_number = !units.is_empty() && !decimals.is_empty() && all().all(|b| b.is_ascii_digit());
        if !is_number || units.len() > 1 && units.starts_with('0') {
            return None;
        }
        let zeros_before = all().take_while(|b| *b == b'0').count();
        let zeros_behind = all().rev().take_while(|b| *b == b'0').count();
        let significant = (units.len() + decimals.len()).checked_sub(zeros_before + zeros_behind)?;
        let shift = i64::try_from(zeros_behind).ok()? - i64::try_from(decimals.len()).ok()?;
        let zeros = usize::try_from(exponent.checked_add(shift)?).ok()?;
        let count = significant.checked_add(zeros).filter(|count| *count <= MAX_DIGITS)?;
        let mut digits = [0; MAX_DIGITS];
        for (digit, byte) in digits.iter_mut().zip(all().skip(zeros_before).take(significant)) {
            *digit = byte - b'0';
        }
        Some(Self { digits, count })
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }

    /// Its digits, those in the middle hidden.
    fn masked(&self) -> String {
        let shown =
            |(n, digit): (usize, &u8)| if stays(n, self.count) { char::from(b'0' + digit) } else { '*' };
        self.digits().iter().enumerate().map(shown).collect()
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.digits().iter().try_for_each(|digit| write!(f, "{digit}"))
    }
}
