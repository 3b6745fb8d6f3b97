//! Layouts: what is opened again, by this version or a later one, is what it was.
//!
//! That the layouts of earlier releases still open is each engine's own to show, with files that those releases wrote.

use super::Harness;
use super::random::{Journey, Random, compare};

/// Opening writes nothing that anybody could see, however often, after a close and after a crash.
pub fn opening_again_changes_nothing(harness: &dyn Harness) {
    let mut journey = Journey::begin(11);
    {
        let (_store, mut writer) = harness.open();
        for _ in 0..8 {
            writer.commit(&journey.group()).unwrap();
        }
    }
    let mut recovered = Vec::new();
    for closes in [true, false, true, true, false, false] {
        let (store, writer) = harness.open();
        compare(&*store, &journey.model, &mut Random(1), journey.now());
        recovered.push(format!("{:?}", store.recover().unwrap()));
        drop(store);
        if closes {
            writer.close().unwrap();
        }
    }
    recovered.dedup();
    assert_eq!(recovered.len(), 1, "each start finds what the one before did: {recovered:#?}");
}
