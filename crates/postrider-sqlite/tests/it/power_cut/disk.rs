//! The files of a database as a disk could have them when the power fails.

use std::collections::{BTreeMap, HashMap};

use postrider_sqlite::open;
use postrider_store::Writer as _;
use postrider_store::conformance::crash::arrive;
use postrider_store::conformance::random::Random;

use super::trace::{DRAFT, FILES, MAIN, Step};
use super::{SEED, config};

/// What a disk writes whole, or not at all.
const SECTOR: usize = 512;

/// What becomes of writes that no fsync stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Lost,
    Kept,
    /// Each sector, truncation and removal as chance has it, in any order.
    Torn,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Shorten { length: usize },
    Remove,
}

#[derive(Default)]
struct File {
    /// What an fsync stood for.
    durable: Vec<u8>,
    /// Whether an fsync of the directory stood for its name.
    named: bool,
    /// What came since, by its number.
    pending: BTreeMap<u64, (Change, bool)>,
}

/// The files as a disk could have them.
#[derive(Default)]
pub(super) struct Disk {
    files: [File; FILES.len()],
    /// What the database was before its draft took its name, until the directory is synced.
    before: Option<File>,
    told: u64,
}

impl Disk {
    /// After the first steps.
    pub(super) fn after(steps: &[Step], cut: usize) -> Self {
        let mut disk = Self::default();
        let mut numbers = 0..;
        // The changes that have not returned, and what the fsyncs under way stand for, by thread.
        let mut calling: HashMap<u32, (usize, u64)> = HashMap::new();
        let mut syncing: HashMap<u32, (usize, [Vec<u64>; FILES.len()])> = HashMap::new();
        for (at, step) in steps[..cut].iter().enumerate() {
            // A call in one part has returned where the next step stands.
            let alone = |thread: u32| {
                !steps[at + 1..].iter().find_map(|next| next.of(thread)).is_some_and(Step::is_return)
            };
            let mut change = |thread: u32, file: usize, change: Change| {
                let number = numbers.next().unwrap();
                let returned = alone(thread);
                disk.files[file].pending.insert(number, (change, returned));
                if !returned {
                    calling.insert(thread, (file, number));
                }
            };
            match step {
                Step::Wrote { thread, file, at, bytes } => {
                    change(*thread, *file, Change::Write { at: *at, bytes: bytes.clone() });
                }
                Step::Shortened { thread, file, length } => {
                    change(*thread, *file, Change::Shorten { length: *length });
                }
                Step::Removed { file } => {
                    let number = numbers.next().unwrap();
                    disk.files[*file].pending.insert(number, (Change::Remove, true));
                }
                Step::Renamed => {
                    let draft = std::mem::take(&mut disk.files[DRAFT]);
                    disk.before = Some(std::mem::replace(&mut disk.files[MAIN], draft));
                }
                Step::Returned { thread } => {
                    if let Some((file, number)) = calling.remove(thread)
                        && let Some((_, returned)) = disk.files[file].pending.get_mut(&number)
                    {
                        *returned = true;
                    }
                }
                Step::Began { thread, file } => {
                    let meant = disk.files.each_ref().map(File::returned);
                    if alone(*thread) {
                        disk.synced(*file, &meant);
                    } else {
                        syncing.insert(*thread, (*file, meant));
                    }
                }
                Step::Synced { thread } => {
                    if let Some((file, meant)) = syncing.remove(thread) {
                        disk.synced(file, &meant);
                    }
                }
                Step::Told(number) => disk.told = *number,
            }
        }
        disk
    }

    /// An fsync of a file or of the directory has returned, which began when these changes had.
    fn synced(&mut self, file: usize, meant: &[Vec<u64>; FILES.len()]) {
        match self.files.get_mut(file) {
            Some(one) => one.sync(&meant[file]),
            None => {
                self.before = None;
                self.files.iter_mut().zip(meant).for_each(|(file, meant)| file.name(meant));
            }
        }
    }

    /// Opens the database that is left, and says what is wrong with it.
    pub(super) fn judge(&self, fate: Fate, random: &mut Random) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("p.db");
        // A new name that is not sure may be there or not.
        let forgotten = self.before.is_some()
            && match fate {
                Fate::Lost => true,
                Fate::Kept => false,
                Fate::Torn => random.below(2) == 0,
            };
        for (at, end) in FILES.into_iter().enumerate() {
            let file = match (at, &self.before) {
                (MAIN, Some(before)) if forgotten => before,
                (DRAFT, Some(_)) if forgotten => &self.files[MAIN],
                _ => &self.files[at],
            };
            if let Some(bytes) = file.left(fate, random) {
                std::fs::write(format!("{}{end}", database.display()), bytes).unwrap();
            }
        }
        let (store, writer) =
            open(&database, config()).map_err(|error| format!("it does not open: {error}"))?;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| arrive(SEED, &*store)));
        let found = found.map_err(|_| "what is there is not what was written".to_owned())?;
        drop(store);
        Box::new(writer).close().map_err(|error| error.to_string())?;
        let sound: String = rusqlite::Connection::open(&database)
            .and_then(|conn| conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)))
            .map_err(|error| error.to_string())?;
        if sound != "ok" {
            return Err(sound);
        }
        // The group that was on its way may be there or not.
        if (self.told..=self.told + 1).contains(&found) {
            Ok(())
        } else {
            Err(format!("{found} groups are there, {} were acknowledged", self.told))
        }
    }
}

impl File {
    /// What has returned so far, and so is meant by an fsync that begins.
    fn returned(&self) -> Vec<u64> {
        self.pending.iter().filter(|(_, (_, returned))| *returned).map(|(number, _)| *number).collect()
    }

    fn sync(&mut self, numbers: &[u64]) {
        for number in numbers {
            // That it is gone is for the directory to know.
            if !matches!(self.pending.get(number), Some((Change::Remove, _)) | None)
                && let Some((change, _)) = self.pending.remove(number)
            {
                change.apply(&mut self.durable);
            }
        }
    }

    /// The directory was synced when these changes had returned.
    fn name(&mut self, numbers: &[u64]) {
        self.named |= !self.durable.is_empty() || !self.pending.is_empty();
        let is_removal = |number: &&u64| matches!(self.pending.get(number), Some((Change::Remove, _)));
        if let Some(last) = numbers.iter().rfind(is_removal).copied() {
            self.durable.clear();
            self.pending.retain(|number, _| *number > last);
            self.named = !self.pending.is_empty();
        }
    }

    /// What a disk has of it.
    fn left(&self, fate: Fate, random: &mut Random) -> Option<Vec<u8>> {
        let mut bytes = self.durable.clone();
        let mut there = self.named;
        match fate {
            Fate::Lost => {}
            Fate::Kept => {
                for (change, _) in self.pending.values() {
                    there = !matches!(change, Change::Remove);
                    change.apply(&mut bytes);
                }
                there |= !bytes.is_empty();
            }
            Fate::Torn => {
                let mut parts: Vec<Change> =
                    self.pending.values().flat_map(|(change, _)| change.parts()).collect();
                parts.retain(|_| random.below(2) == 0);
                for left in (1..parts.len()).rev() {
                    parts.swap(left, random.below(left as u64 + 1) as usize);
                }
                parts.iter().for_each(|part| part.apply(&mut bytes));
                there |= random.below(2) == 0 && !bytes.is_empty();
            }
        }
        there.then_some(bytes)
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes: written } => {
                bytes.resize(bytes.len().max(at + written.len()), 0);
                bytes[*at..at + written.len()].copy_from_slice(written);
            }
            Self::Shorten { length } => bytes.resize(*length, 0),
            Self::Remove => bytes.clear(),
        }
    }

    /// Writes by sector.
    fn parts(&self) -> Vec<Self> {
        let Self::Write { at, bytes } = self else { return vec![self.clone()] };
        let (mut parts, mut from) = (Vec::new(), *at);
        while from < at + bytes.len() {
            let to = (from / SECTOR * SECTOR + SECTOR).min(at + bytes.len());
            parts.push(Self::Write { at: from, bytes: bytes[from - at..to - at].to_vec() });
            from = to;
        }
        parts
    }
}
