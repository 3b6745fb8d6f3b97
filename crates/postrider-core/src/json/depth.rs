//! How deep a JSON text nests, found without parsing it.

/// The deepest nesting that is accepted, in arrays and objects.
pub const MAX_DEPTH: usize = 128;

/// Whether a text nests deeper than [`MAX_DEPTH`].
///
/// The text need not be JSON: brackets are counted outside of what would be strings.
pub fn is_too_deep(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Most documents have too few brackets to nest that deep whatever their order, and counting is cheap.
    // Counting bytes in bytes lets the compiler look at 16 of them at once; a chunk is short enough for that.
    let count = |chunk: &[u8]| chunk.iter().map(|&b| u8::from(b | 0x20 == b'{')).fold(0, u8::wrapping_add);
    let opening: usize = bytes.chunks(usize::from(u8::MAX)).map(|chunk| usize::from(count(chunk))).sum();
    opening > MAX_DEPTH && deepest(bytes) > MAX_DEPTH
}

fn deepest(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for &b in bytes {
        if in_string {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match b {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a04_only_real_nesting_counts() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        let text = |n: usize| format!("\"{}\\\"{}\"", "[".repeat(n), "{".repeat(n));
        for (name, text, too_deep) in [
            ("at the limit", nested(MAX_DEPTH), false),
            ("over the limit", nested(MAX_DEPTH + 1), true),
            ("far over the limit, cut off", "{\"a\":".repeat(10_000), true),
            ("many side by side", format!("[{}[]]", "[],".repeat(1_000)), false),
            ("brackets in a string, behind an escaped quote", text(1_000), false),
        ] {
            assert_eq!(is_too_deep(&text), too_deep, "{name}");
        }
    }
}
