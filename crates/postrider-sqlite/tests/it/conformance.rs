//! The suite that every engine passes.

use std::sync::Arc;

use postrider_sqlite::{SqliteConfig, open};
use postrider_store::conformance::{CASES, Harness, for_each};
use postrider_store::{Store, Writer};

struct Sqlite(tempfile::TempDir);

impl Harness for Sqlite {
    fn open(&self) -> (Arc<dyn Store>, Box<dyn Writer>) {
        let (store, writer) = open(&self.0.path().join("postrider.db"), SqliteConfig::default()).unwrap();
        (store, Box::new(writer))
    }
}

#[test]
fn the_conformance_suite_passes() {
    assert!(CASES.len() > 10);
    for_each(|| Sqlite(tempfile::tempdir().unwrap()));
}
