//! Schemas and data: compiling and checking end soon, and an example that is made up fits.

use postrider_core::fault::MAX_FAULTS;
use postrider_core::schema::Schema;

use crate::parts;

/// A schema, and data.
pub(crate) fn schema(bytes: &[u8]) {
    let [schema, data] = parts(bytes);
    let Ok(text) = std::str::from_utf8(schema) else { return };
    let told = |faults: &Vec<_>| assert!((1..=MAX_FAULTS).contains(&faults.len()), "{} faults", faults.len());
    let Ok(schema) = Schema::compile(text).inspect_err(told) else { return };
    assert_eq!(schema.text(), text.as_bytes());
    let verdict = schema.check(data).inspect_err(told);
    assert_eq!(schema.check(data), verdict, "asked twice");
    if let Some(example) = schema.example() {
        assert_eq!(schema.check(&example), Ok(()));
    }
}
