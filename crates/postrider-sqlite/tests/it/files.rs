//! Files that are locked, damaged, foreign, newer, full, or replaced.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use postrider_core::id::{EndpointNo, Position};
use postrider_core::record::Start;
use postrider_sqlite::{SqliteConfig, open};
use postrider_store::conformance::build::{Builder, Draft, succeeded};
use postrider_store::conformance::configuration::put;
use postrider_store::{LogQuery, Maintenance, Store, StoreError, Writer};

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("postrider.db");
    (dir, path)
}

fn filled(path: &Path) {
    let (store, mut writer) = open(path, SqliteConfig::default()).unwrap();
    let mut b = Builder::default();
    (0..50).for_each(|_| drop(b.event(Draft::default())));
    b.commit(&mut writer, store.committed());
    Box::new(writer).close().unwrap();
}

fn refused(path: &Path) -> String {
    match open(path, SqliteConfig::default()) {
        Err(StoreError::Unusable(what)) => what,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn abuse_a66_a_second_opening_is_refused_and_names_the_file() {
    let (_dir, path) = fresh();
    let held = open(&path, SqliteConfig::default()).unwrap();
    let Err(StoreError::InUse(what)) = open(&path, SqliteConfig::default()) else { panic!("opened twice") };
    assert!(what.contains("postrider.db"), "{what}");
    drop(held);
    open(&path, SqliteConfig::default()).unwrap();
}

#[test]
fn abuse_a62_a_damaged_foreign_or_read_only_file_is_refused_and_untouched() {
    let (_dir, path) = fresh();
    filled(&path);
    let good = std::fs::read(&path).unwrap();
    let mut torn = good.clone();
    torn.iter_mut().skip(100).for_each(|b| *b ^= 0x5A);
    let mut foreign = good.clone();
    foreign[68..72].copy_from_slice(&[0; 4]);
    let cases: [(&[u8], &str); 4] = [
        (b"hello, this is no database", "not a database"),
        (&torn, "damaged"),
        (&foreign, "another program"),
        (&good[..60], "damaged"),
    ];
    for (bytes, says) in cases {
        std::fs::write(&path, bytes).unwrap();
        let what = refused(&path);
        assert!(what.contains(says), "{what}");
        assert!(std::fs::read(&path).unwrap() == bytes, "touched: {says}");
    }
    std::fs::write(&path, &good).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    let what = refused(&path);
    assert!(what.contains("permissions 0400"), "{what}");
    assert!(std::fs::read(&path).unwrap() == good);
}

#[test]
fn abuse_a68_a_newer_database_is_refused_and_untouched() {
    let (_dir, path) = fresh();
    filled(&path);
    let mut newer = std::fs::read(&path).unwrap();
    newer[60..64].copy_from_slice(&900_u32.to_be_bytes());
    std::fs::write(&path, &newer).unwrap();
    let what = refused(&path);
    assert!(what.contains("layout 900") && what.contains("newer"), "{what}");
    assert!(std::fs::read(&path).unwrap() == newer);
}

/// As it is left where the first start ends amid it, and where somebody removed a database without its log.
#[test]
fn abuse_a62_what_a_first_start_that_was_cut_off_left_is_in_nobody_s_way() {
    let (_dir, path) = fresh();
    filled(&path);
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    for left in [&whole[..], &whole[..4_096], b"", b"half"] {
        for suffix in [".new", ".new-wal", ".new-shm", ".new-journal", "-wal", "-shm", "-journal"] {
            std::fs::write(beside(suffix), left).unwrap();
        }
        let (store, writer) = open(&path, SqliteConfig::default()).unwrap();
        assert_eq!(store.committed(), Position::ZERO);
        drop(store);
        Box::new(writer).close().unwrap();
        assert!(!beside(".new").exists());
        filled(&path);
        let (store, _writer) = open(&path, SqliteConfig::default()).unwrap();
        assert_eq!(store.count_pending(EndpointNo(1), 1_000).unwrap().0, 50);
        drop(store);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn abuse_a106_nobody_else_can_read_the_files() {
    let (_dir, path) = fresh();
    filled(&path);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (store, mut writer) = open(&path, SqliteConfig::default()).unwrap();
    let mut b = Builder::default();
    b.event(Draft::default());
    // Positions of the groups that are there come first.
    let group = b.group(store.committed().plus(1));
    assert!(writer.commit(&group).is_ok());
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        let mode = std::fs::metadata(&name).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name:?}");
    }
}

#[test]
fn abuse_a61_a_full_disk_refuses_a_group_and_takes_it_again_when_there_is_room() {
    let (_dir, path) = fresh();
    filled(&path);
    let pages = u32::try_from(std::fs::metadata(&path).unwrap().len() / 4_096).unwrap();
    let full = SqliteConfig { max_pages: Some(pages + 2), ..SqliteConfig::default() };
    let (store, mut writer) = open(&path, full).unwrap();
    let before = store.committed();
    let mut b = Builder::default();
    (0..40).for_each(|_| drop(b.event(Draft { data: vec![b'x'; 4_000].into(), ..Draft::default() })));
    b.now = b.now + Duration::from_secs(60);
    let mut group = b.group(before.plus(1));
    shift(&mut group, before);
    for _ in 0..2 {
        assert!(matches!(writer.commit(&group), Err(StoreError::Full(_))));
    }
    assert_eq!(store.committed(), before);
    assert_eq!(store.count_pending(EndpointNo(1), 1_000).unwrap().0, 50);
    drop((store, writer));
    let (store, mut writer) = open(&path, SqliteConfig::default()).unwrap();
    writer.commit(&group).unwrap();
    assert_eq!(store.count_pending(EndpointNo(1), 1_000).unwrap().0, 90);
}

/// Moves a group that was built for an empty database behind what is there.
fn shift(group: &mut postrider_core::record::Group, by: Position) {
    for a in &mut group.accepted {
        let mut event = (*a.event).clone();
        event.position = event.position.plus(by.0);
        a.event = event.into();
        a.deliveries.iter_mut().for_each(|d| d.sequence += 50);
    }
    group.last = group.accepted.last().map_or(group.first, |a| a.last_position());
}

#[test]
fn abuse_a107_a_replaced_file_is_noticed_and_nothing_more_is_acknowledged() {
    let (_dir, path) = fresh();
    let (store, mut writer) = open(&path, SqliteConfig::default()).unwrap();
    let mut b = Builder::default();
    b.event(Draft::default());
    b.commit(&mut writer, store.committed());
    std::fs::rename(&path, path.with_extension("old")).unwrap();
    std::fs::write(&path, b"").unwrap();
    let how =
        Maintenance { now: b.now, retention: Duration::from_secs(1 << 30), budget: Duration::from_secs(1) };
    assert!(matches!(writer.maintain(how), Err(StoreError::Unusable(_))));
    b.event(Draft::default());
    let group = b.group(store.committed().plus(1));
    assert!(writer.commit(&group).is_err());
    assert!(matches!(writer.reopen(group.writer, group.number), Err(StoreError::Unusable(_))));
}

#[test]
fn abuse_a107_a_long_read_is_cut_off() {
    let (_dir, path) = fresh();
    let config = SqliteConfig { read_limit: Duration::from_millis(1), ..SqliteConfig::default() };
    let (store, mut writer) = open(&path, config).unwrap();
    let mut b = Builder::default();
    for _ in 0..4 {
        (0..4_000).for_each(|_| drop(b.event(Draft { event_type: "a.b", ..Draft::default() })));
        b.commit(&mut writer, store.committed());
    }
    let begin = Instant::now();
    let query = LogQuery { event_type: Some("no.such".into()), limit: 50, ..LogQuery::default() };
    assert!(matches!(store.log(&query), Err(StoreError::Slow)));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_start_is_not_cut_off_however_long_it_reads() {
    let (_dir, path) = fresh();
    let config = SqliteConfig { read_limit: Duration::ZERO, ..SqliteConfig::default() };
    let (store, mut writer) = open(&path, config).unwrap();
    let mut b = Builder::default();
    (1..=300).flat_map(|no| put(no, 1)).for_each(|edit| b.edit(edit));
    b.event(Draft::default());
    b.commit(&mut writer, store.committed());
    let all = postrider_store::conformance::build::ALL;
    assert!(matches!(store.due(EndpointNo(1), Position::ZERO, all), Err(StoreError::Slow)));
    assert_eq!(store.recover().unwrap().endpoints.len(), 300);
}

#[test]
fn a_backlog_that_is_too_long_to_count_is_told_as_at_least_so_much() {
    let (_dir, path) = fresh();
    let (store, mut writer) = open(&path, SqliteConfig::default()).unwrap();
    let mut b = Builder::default();
    (0..5_000).for_each(|_| drop(b.event(Draft::default())));
    b.commit(&mut writer, store.committed());
    Box::new(writer).close().unwrap();
    drop(store);
    let (store, writer) = open(&path, SqliteConfig::default()).unwrap();
    assert_eq!(
        [4_096, 4_500, 9_000].map(|most| store.count_pending(EndpointNo(1), most).unwrap().0),
        [4_096, 4_500, 5_000]
    );
    drop((store, writer));
    let (store, _writer) =
        open(&path, SqliteConfig { read_limit: Duration::ZERO, ..SqliteConfig::default() }).unwrap();
    assert!(store.count_pending(EndpointNo(1), 9_000).unwrap().0 < 5_000);
}

#[test]
fn readers_never_miss_or_double_a_delivery_while_it_is_settled() {
    let (_dir, path) = fresh();
    let (store, mut writer) = open(&path, SqliteConfig::default()).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u64;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let page = store
                    .due(EndpointNo(1), Position::ZERO, postrider_store::conformance::build::ALL)
                    .unwrap();
                let sequences: Vec<u64> = page.entries.iter().map(|e| e.delivery.sequence).collect();
                let gapless = sequences.windows(2).all(|w| w[1] == w[0] + 1);
                assert!(gapless, "{sequences:?}");
                assert!(store.committed() >= page.watermark);
                reads += 1;
            }
            reads
        });
        let mut b = Builder::default();
        let mut owed = std::collections::VecDeque::new();
        for _ in 0..300 {
            (0..20).for_each(|_| {
                owed.extend(b.event(Draft { deliveries: vec![(1, Start::Due)], ..Draft::default() }))
            });
            while owed.len() > 200 {
                owed.pop_front().into_iter().for_each(|d| b.update(succeeded(d, b.now)));
            }
            b.commit(&mut writer, store.committed());
            let how = Maintenance {
                now: b.now,
                retention: Duration::from_secs(1 << 30),
                budget: Duration::from_micros(1),
            };
            writer.maintain(how).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}
