//! What a process costs, as the kernel counts it (`proc(5)`); Linux only, elsewhere there are no figures.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

/// Counters of a process since its start, and its memory now.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    /// CPU of all threads, user and system, in microseconds; in steps of a clock tick (10 ms).
    pub(super) cpu_us: f64,
    /// Bytes that it caused to be written to storage.
    pub(super) write_bytes: u64,
    /// Bytes that it passed to write calls, sockets included.
    pub(super) wchar: u64,
    /// Write calls.
    pub(super) syscw: u64,
    /// Read calls.
    pub(super) syscr: u64,
    /// Resident memory, in KiB.
    pub(super) rss_kib: u64,
    /// The most it ever had resident, in KiB.
    pub(super) hwm_kib: u64,
}

/// Reads the counters of a process; `None` where the system does not tell.
pub(super) fn sample(pid: u32) -> Option<Sample> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let (io, status) = (read("io").unwrap_or_default(), read("status")?);
    Some(Sample {
        cpu_us: cpu_us(&read("stat")?, ticks_per_second())?,
        write_bytes: field(&io, "write_bytes").unwrap_or_default(),
        wchar: field(&io, "wchar").unwrap_or_default(),
        syscw: field(&io, "syscw").unwrap_or_default(),
        syscr: field(&io, "syscr").unwrap_or_default(),
        rss_kib: field(&status, "VmRSS")?,
        hwm_kib: field(&status, "VmHWM")?,
    })
}

/// The counters of this process.
pub(super) fn own() -> Option<Sample> {
    sample(std::process::id())
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Fields 14 and 15 of `stat`; the second field is the name, which may hold anything, up to the last parenthesis.
fn cpu_us(stat: &str, ticks_per_second: f64) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    Some((user + system) as f64 * 1e6 / ticks_per_second)
}

/// The number after `name:`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|value| value.split_ascii_whitespace().next()?.parse().ok())
}

/// How long the disk takes to make a write durable.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Fsync {
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// Appends 4 KiB and syncs, 200 times, in a file of its own.
///
/// # Errors
/// When the directory cannot be written.
pub(super) fn fsync(directory: &Path) -> std::io::Result<Fsync> {
    use std::io::Write;
    const TIMES: usize = 200;
    let mut file = tempfile::tempfile_in(directory)?;
    let mut taken = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        file.write_all(&[0x5a; 4_096])?;
        let start = Instant::now();
        file.sync_data()?;
        taken.push(start.elapsed().as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    Ok(Fsync { p50_us: taken[TIMES / 2], p99_us: taken[TIMES * 99 / 100] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_any_process_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 7 8 20 0 3 0 1 2 3";
        assert_eq!(cpu_us(stat, 100.0), Some(2_000_000.0));
        assert_eq!(cpu_us("nonsense", 100.0), None);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let io = "rchar: 1\nwchar: 2\nwrite_bytes: 3\ncancelled_write_bytes: 4\n";
        assert_eq!(field(io, "write_bytes"), Some(3));
        assert_eq!(field("VmRSS:\t  5120 kB\n", "VmRSS"), Some(5_120));
        assert_eq!(field(io, "write"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory() {
        let own = own().unwrap();
        assert!(own.rss_kib > 0 && own.hwm_kib >= own.rss_kib, "{own:?}");
    }
}
