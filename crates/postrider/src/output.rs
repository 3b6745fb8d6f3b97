//! What is printed: tables for people, JSON for programs, both inert in a terminal.

use std::io::{self, Write};

use comfy_table::Table;
use comfy_table::presets::NOTHING;

/// Writes results to standard output in the form that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// JSON instead of text for people.
    pub(crate) json: bool,
}

impl Output {
    /// The server's own JSON with `--json`, else the table.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(crate) fn answer(self, json: &str, table: impl FnOnce() -> Rows) -> anyhow::Result<()> {
        if self.json { self.line(&inert_json(json)) } else { self.line(&table().render()) }
    }

    /// One line of text, or a JSON value in its place.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(crate) fn done(self, text: &str, json: &serde_json::Value) -> anyhow::Result<()> {
        if self.json { self.line(&inert_json(&json.to_string())) } else { self.line(&inert(text)) }
    }

    /// Text that is inert already, as it stands.
    ///
    /// # Errors
    /// When standard output cannot be written; a reader that went away is none.
    pub(crate) fn line(self, text: &str) -> anyhow::Result<()> {
        self.line_if_read(text).map(drop)
    }

    /// As [`Self::line`]; also says whether somebody reads on.
    ///
    /// # Errors
    /// When standard output cannot be written; a reader that went away is none.
    pub(crate) fn line_if_read(self, text: &str) -> anyhow::Result<bool> {
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            done => Ok(done.map(|()| true)?),
        }
    }
}

/// Rows of a table under their headings.
#[derive(Debug)]
pub(crate) struct Rows {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    note: Option<String>,
}

impl Rows {
    /// A table with these headings; with none it is a list of names and values.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { headings: headings.iter().map(ToString::to_string).collect(), rows: Vec::new(), note: None }
    }

    /// Adds a row. Each cell is made inert.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) -> &mut Self {
        self.rows.push(cells.into_iter().map(|cell| inert(&cell)).collect());
        self
    }

    /// Adds a name and a value, unless the value is empty.
    pub(crate) fn field(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        let value = value.into();
        if value.is_empty() { self } else { self.row([name.to_owned(), value]) }
    }

    /// Adds a name and a text whose line breaks are kept; everything else in it is made inert.
    pub(crate) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        let lines: Vec<_> = text.split('\n').map(inert).collect();
        self.rows.push(vec![name.to_owned(), lines.join("\n")]);
        self
    }

    /// A line under the table.
    pub(crate) fn note(&mut self, note: impl AsRef<str>) -> &mut Self {
        self.note = Some(inert(note.as_ref()));
        self
    }

    /// The table as text, without trailing blanks.
    pub(crate) fn render(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        if !self.headings.is_empty() {
            table.set_header(self.headings.iter().map(|heading| heading.to_uppercase()));
        }
        for row in &self.rows {
            table.add_row(row);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut lines: Vec<String> =
            table.to_string().lines().map(|line| line.trim_end().to_owned()).collect();
        if self.rows.is_empty() {
            lines.push("(none)".into());
        }
        lines.extend(self.note.clone());
        lines.join("\n")
    }
}

/// An optional text, or a dash.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// The text with everything escaped that could steer a terminal or hide what is there.
pub(crate) fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if steers(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// JSON with the same characters as JSON escapes. Those below U+0020 cannot stand inside its strings; between its parts a
/// carriage return, which would let what follows overwrite the line, becomes a blank.
pub(crate) fn inert_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\r' {
            out.push(' ');
        } else if steers(c) && !matches!(c, '\n' | '\t') {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Controls (C0, DEL, C1), directional marks, invisible and tag characters, line and paragraph separators.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a98_controls_and_direction_marks_are_shown_as_escapes() {
        for (hostile, shown) in [
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{7f}\u{0}", "\\u{7f}\\u{0}"),
            ("abc\u{202e}fdp.exe", "abc\\u{202e}fdp.exe"),
            ("z\u{200b}w", "z\\u{200b}w"),
            ("`$(id)` \"'", "`$(id)` \"'"),
            ("Zürich 東京", "Zürich 東京"),
        ] {
            assert_eq!(inert(hostile), shown);
        }
    }

    #[test]
    fn abuse_a98_json_stays_json_and_becomes_inert() {
        let json = "{\"a\":\r\n\"\u{7f}\u{9b}\u{202e}\u{e0041}é\"}";
        let shown = inert_json(json);
        assert_eq!(shown, "{\"a\": \n\"\\u007f\\u009b\\u202e\\udb40\\udc41é\"}");
        let (before, after): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(json).unwrap(), serde_json::from_str(&shown).unwrap());
        assert_eq!(before, after);
    }

    #[test]
    fn a_table_is_aligned_without_trailing_blanks() {
        let mut rows = Rows::new(&["id", "status"]);
        rows.row(["dlv_1".into(), "failed".into()]).row(["dlv_22".into(), "ok\u{1b}".into()]).note("more");
        assert_eq!(rows.render(), "ID      STATUS\ndlv_1   failed\ndlv_22  ok\\u{1b}\nmore");
    }

    #[test]
    fn abuse_a98_a_text_keeps_its_line_breaks_and_nothing_else_that_steers() {
        let mut rows = Rows::new(&[]);
        rows.field("id", "dlv_1").text("payload", "{\n  \"a\": \"\u{1b}[2J\"\r\n}");
        assert_eq!(
            rows.render(),
            "id       dlv_1\npayload  {\n           \"a\": \"\\u{1b}[2J\"\\r\n         }"
        );
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(Rows::new(&["id"]).render(), "ID\n(none)");
    }
}
