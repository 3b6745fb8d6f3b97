//! The simplest text that a pattern matches.

use regex_syntax::hir::{Class, Hir, HirKind};

/// The most parts of a pattern that are written, repetitions counted.
const MAX_PARTS: u32 = 1_000;

/// Such a text; `None` where the pattern is not understood, or asks for a long one.
pub(super) fn sample(pattern: &str) -> Option<String> {
    let hir = regex_syntax::Parser::new().parse(pattern).ok()?;
    let mut sample = Sample { text: String::new(), parts: MAX_PARTS };
    sample.write(&hir)?;
    Some(sample.text)
}

struct Sample {
    text: String,
    parts: u32,
}

impl Sample {
    fn write(&mut self, hir: &Hir) -> Option<()> {
        self.parts = self.parts.checked_sub(1)?;
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => self.text.push_str(std::str::from_utf8(&literal.0).ok()?),
            HirKind::Class(class) => self.text.push(choose(class)?),
            HirKind::Repetition(repetition) => {
                for _ in 0..repetition.min {
                    self.write(&repetition.sub)?;
                }
            }
            HirKind::Capture(capture) => self.write(&capture.sub)?,
            HirKind::Concat(parts) => parts.iter().try_for_each(|part| self.write(part))?,
            HirKind::Alternation(parts) => self.write(parts.first()?)?,
        }
        Some(())
    }
}

/// A character of a class: one that can be read, where there is one.
fn choose(class: &Class) -> Option<char> {
    let Class::Unicode(class) = class else { return None };
    let in_class = |c: &char| class.ranges().iter().any(|range| (range.start()..=range.end()).contains(c));
    let first = class.ranges().first().map(|range| range.start());
    ['a', 'A', '0', '1'].into_iter().find(in_class).or_else(|| ('!'..='~').find(in_class)).or(first)
}
