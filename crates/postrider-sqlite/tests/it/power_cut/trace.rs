//! What the traced process asked of the kernel, read from what strace wrote.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use super::DATABASE;

/// What the traced process did, in the order in which the kernel heard of it. Files are told by their place in [`FILES`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Wrote {
        thread: u32,
        file: usize,
        at: usize,
        bytes: Vec<u8>,
    },
    Shortened {
        thread: u32,
        file: usize,
        length: usize,
    },
    Removed {
        file: usize,
    },
    /// The draft became the database.
    Renamed,
    /// A write or a truncation of a thread has returned.
    Returned {
        thread: u32,
    },
    Began {
        thread: u32,
        file: usize,
    },
    Synced {
        thread: u32,
    },
    /// A group was acknowledged.
    Told(u64),
}

impl Step {
    /// The step, if a thread took it.
    pub(super) fn of(&self, by: u32) -> Option<&Self> {
        match self {
            Self::Wrote { thread, .. }
            | Self::Shortened { thread, .. }
            | Self::Returned { thread }
            | Self::Began { thread, .. }
            | Self::Synced { thread } => (*thread == by).then_some(self),
            Self::Removed { .. } | Self::Renamed | Self::Told(_) => None,
        }
    }

    pub(super) fn is_return(&self) -> bool {
        matches!(self, Self::Returned { .. } | Self::Synced { .. })
    }
}

/// What follows the database's name in those of its files. What is in shared memory is no file to a power cut.
pub(super) const FILES: [&str; 6] = ["", "-wal", "-journal", ".new", ".new-wal", ".new-journal"];
/// The places of the database and of its log.
pub(super) const MAIN: usize = 0;
pub(super) const LOG: usize = 1;
/// The place of the name under which the database is made.
pub(super) const DRAFT: usize = 3;
/// The directory, where a file is told by its place: it is synced too.
const DIRECTORY: usize = FILES.len();

/// Runs the travel under strace, and reads what it did.
pub(super) fn trace(directory: &Path, database: &Path) -> Vec<Step> {
    let trace = directory.join("trace");
    let calls = "trace=pwrite64,write,ftruncate,fsync,fdatasync,unlink,rename,mmap,pwritev,pwritev2,writev,io_uring_enter";
    let status = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "16777216", "-e", calls, "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "power_cut::traced", "--ignored", "--nocapture"])
        .env(DATABASE, database)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    read(&std::fs::read_to_string(&trace).unwrap(), database)
}

/// The steps of a trace that concern the files of a database.
fn read(trace: &str, database: &Path) -> Vec<Step> {
    let names = FILES.map(|end| format!("{}{end}", database.display()));
    // The threads that are amid a call on one of the files.
    let mut amid = HashSet::new();
    trace.lines().filter_map(|line| step(line, &names, &mut amid)).collect()
}

/// What ends the first part of a call that others come between.
const UNFINISHED: &str = "<unfinished ...>";

/// One line of a trace: `7 pwrite64(9<path>, "bytes", 5, 4096) = 5`, all texts as `\x` and two digits, or one of the two
/// parts of a call that others come between. The second part names no file, so the threads that are amid a call are kept.
fn step(line: &str, names: &[String; FILES.len()], amid: &mut HashSet<u32>) -> Option<Step> {
    let (thread, call) = line.split_once(' ')?;
    let (thread, call) = (thread.parse().ok()?, call.trim_start());
    let Some(resumed) = call.strip_prefix("<... ") else {
        let step = begun(thread, call, names)?;
        if call.ends_with(UNFINISHED) {
            amid.insert(thread);
        }
        return Some(step);
    };
    if !amid.remove(&thread) {
        return None;
    }
    assert!(!resumed.contains("= -1"), "{line}");
    match resumed.split(' ').next()? {
        "fsync" | "fdatasync" => Some(Step::Synced { thread }),
        "pwrite64" | "ftruncate" => Some(Step::Returned { thread }),
        _ => None,
    }
}

/// A call that a line tells whole, or the first part of.
fn begun(thread: u32, call: &str, names: &[String; FILES.len()]) -> Option<Step> {
    let (name, rest) = call.trim_end_matches(UNFINISHED).split_once('(')?;
    if name == "write" {
        let text = String::from_utf8_lossy(&unescaped(rest.split('"').nth(1)?)).into_owned();
        let number = text.strip_prefix("told ")?.split('.').next()?;
        return Some(Step::Told(number.parse().unwrap()));
    }
    let path = if matches!(name, "unlink" | "rename") {
        rest.split('"').nth(1)?
    } else {
        rest.split(['<', '>']).nth(1)?
    };
    let path = unescaped(path);
    let directory = || Path::new(&names[0]).parent().unwrap().as_os_str().as_encoded_bytes() == path;
    let file = names.iter().position(|name| name.as_bytes() == path);
    let file = file.or_else(|| directory().then_some(DIRECTORY))?;
    let number = |text: &str| text.trim_matches([' ', ',', ')']).parse::<usize>().ok();
    let step = match name {
        "pwrite64" => {
            let mut parts = rest.split('"').skip(1);
            let (bytes, numbers) = (unescaped(parts.next()?), parts.next()?);
            let numbers = numbers.trim_start_matches(", ").split([',', ')', '<']).map(number);
            let numbers: Vec<usize> = numbers.take(2).map(Option::unwrap).collect();
            assert_eq!(bytes.len(), numbers[0], "the trace has all bytes");
            Step::Wrote { thread, file, at: numbers[1], bytes }
        }
        "ftruncate" => {
            let length = rest.split(", ").nth(1).and_then(|n| number(n.split([')', '<']).next()?)).unwrap();
            Step::Shortened { thread, file, length }
        }
        // What is to be removed is not always there.
        "unlink" if call.contains("= -1 ENOENT") => return None,
        "unlink" => Step::Removed { file },
        "rename" => {
            assert_eq!(file, DRAFT);
            Step::Renamed
        }
        "fsync" | "fdatasync" => Step::Began { thread, file },
        // What is written by a mapping is not told.
        "mmap" if !call.contains("PROT_WRITE") => return None,
        other => panic!("{other}: a call of another kind, which this test does not follow"),
    };
    assert!(!call.contains("= -1"), "{call}");
    Some(step)
}

/// The bytes of a text that is all `\x` and two digits.
fn unescaped(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    text.as_bytes()
        .chunks_exact(4)
        .map(|escape| {
            assert_eq!(&escape[..2], b"\\x");
            digit(escape[2]) * 16 + digit(escape[3])
        })
        .collect()
}

/// A text as strace escapes it.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
}

#[test]
fn a_trace_is_read_whatever_comes_between_the_parts_of_a_call() {
    let (log, other) = (escaped("/d/p.db-wal"), escaped("/d/p.db-shm"));
    let bytes = escaped("abc");
    let trace = format!(
        r#"7 pwrite64(9<{log}>, "{bytes}", 3, 32 <unfinished ...>
8 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0 <unfinished ...>
7 <... pwrite64 resumed>) = 3
8 <... mmap resumed>) = 0x7f0000000000
7 fdatasync(9<{log}>) = 0
7 pwrite64(5<{other}>, "{bytes}", 3, 0 <unfinished ...>
8 fdatasync(4<{log}> <unfinished ...>
7 <... pwrite64 resumed>) = 3
8 <... fdatasync resumed>) = 0
8 ftruncate(9<{log}>, 0) = 0
"#
    );
    let expected = [
        Step::Wrote { thread: 7, file: LOG, at: 32, bytes: b"abc".to_vec() },
        Step::Returned { thread: 7 },
        // What follows in its thread is no part of it.
        Step::Began { thread: 7, file: LOG },
        Step::Began { thread: 8, file: LOG },
        Step::Synced { thread: 8 },
        Step::Shortened { thread: 8, file: LOG, length: 0 },
    ];
    assert_eq!(read(&trace, Path::new("/d/p.db")), expected);
}
