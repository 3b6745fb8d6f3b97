//! The committed corpus, tried on stable Rust without a fuzzer.

use std::path::{Path, PathBuf};

use postrider_fuzz::{MAX_INPUT, TARGETS};

/// The most files that a target may keep: a corpus is minimised before it is committed.
const MAX_FILES: usize = 100;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The inputs that are kept for a target.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn every_promise_holds_for_the_whole_corpus() {
    for target in TARGETS {
        let inputs = corpus(target.name);
        assert!((1..=MAX_FILES).contains(&inputs.len()), "{} keeps {} files", target.name, inputs.len());
        for (path, bytes) in inputs {
            assert!(bytes.len() <= MAX_INPUT, "{} is {} bytes long", path.display(), bytes.len());
            let run = std::panic::catch_unwind(|| (target.run)(&bytes));
            assert!(run.is_ok(), "{} breaks a promise", path.display());
        }
    }
}

/// Bytes near those that are kept: each cut short, and with a byte changed here and there.
#[test]
fn every_promise_holds_near_the_corpus() {
    for target in TARGETS {
        for (path, bytes) in corpus(target.name) {
            for step in 0..8 {
                let at = bytes.len() * step / 8;
                let mut changed = bytes.clone();
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= 1 << step;
                }
                for near in [&bytes[..at], &changed] {
                    let run = std::panic::catch_unwind(|| (target.run)(near));
                    assert!(run.is_ok(), "near {}: {:?}", path.display(), String::from_utf8_lossy(near));
                }
            }
        }
    }
}

#[test]
fn every_target_has_its_fuzzer_and_every_fuzzer_its_target() {
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let mut listed: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .collect();
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    listed.sort_unstable();
    names.sort_unstable();
    assert_eq!(listed, names);
}
