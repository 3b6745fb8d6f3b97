//! The suite that every engine passes.

use std::sync::Arc;

use postrider_sqlite::{SqliteConfig, open};
use postrider_store::conformance::Harness;
use postrider_store::{Store, Writer};

struct Sqlite(tempfile::TempDir);

impl Harness for Sqlite {
    fn open(&self) -> (Arc<dyn Store>, Box<dyn Writer>) {
        let (store, writer) = open(&self.0.path().join("postrider.db"), SqliteConfig::default()).unwrap();
        (store, Box::new(writer))
    }
}

fn fresh() -> Sqlite {
    Sqlite(tempfile::tempdir().unwrap())
}

postrider_store::conformance!(fresh);
