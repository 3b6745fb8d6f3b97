//! What a bench found out: figures of each pair, their medians, and the table.

use std::collections::BTreeMap;

use serde::Serialize;

use super::figures::{Quantiles, Spread};
use super::link::Http;
use super::process::Fsync;
use crate::output::Rows;

/// Everything, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) settings: Settings,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fsync: Option<Fsync>,
    /// Resident memory of the server before the first event, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle_rss_kib: Option<u64>,
    pub(super) pairs: Vec<Pair>,
    /// Deliveries a second through the server, against exchanges a second straight to the receiver, pair by pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio: Option<Spread>,
}

/// How the load was made.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Settings {
    pub(super) connections: usize,
    pub(super) batch: usize,
    pub(super) fanout: usize,
    pub(super) endpoints: usize,
    pub(super) size: usize,
    pub(super) seconds: f64,
    pub(super) rate: Option<f64>,
    pub(super) threads: usize,
    pub(super) http: Http,
}

/// A direct run and a run through the server, one right after the other.
#[derive(Debug, Serialize)]
pub(super) struct Pair {
    pub(super) direct: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) through: Option<Figures>,
}

/// One run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) accepted_per_s: f64,
    pub(super) delivered_per_s: f64,
    /// From the intended sending to the answer.
    pub(super) ack: Quantiles,
    /// From the intended sending to the arrival at the receiver.
    pub(super) arrival: Quantiles,
    pub(super) delivered: u64,
    pub(super) lost: u64,
    pub(super) duplicates: u64,
    pub(super) strays: u64,
    /// Events that were not accepted, by status code; 0 where a connection broke.
    pub(super) refused: BTreeMap<u16, u64>,
    /// How long deliveries went on arriving after the last event was published.
    pub(super) drain_s: f64,
    /// CPU of publishers and receiver for a delivery.
    pub(super) own_cpu_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<ServerFigures>,
}

/// What a run cost the server, from its first event until everything had arrived.
#[derive(Debug, Default, Serialize)]
pub(super) struct ServerFigures {
    pub(super) cpu_us_per_delivery: f64,
    pub(super) written_bytes_per_delivery: f64,
    pub(super) wchar_per_delivery: f64,
    pub(super) write_calls_per_delivery: f64,
    pub(super) read_calls_per_delivery: f64,
    pub(super) rss_kib: u64,
    pub(super) peak_rss_kib: u64,
}

impl Report {
    /// Whether everything that was accepted arrived, once, and nothing broke.
    pub(super) fn is_clean(&self) -> bool {
        self.runs().all(|run| run.lost == 0 && run.strays == 0 && !run.refused.contains_key(&0))
    }

    fn runs(&self) -> impl Iterator<Item = &Figures> {
        self.pairs.iter().flat_map(|pair| std::iter::once(&pair.direct).chain(pair.through.as_ref()))
    }

    pub(super) fn compute_ratio(&mut self) {
        self.ratio = Spread::of(self.pairs.iter().filter_map(|pair| {
            let through = pair.through.as_ref()?.delivered_per_s;
            (pair.direct.delivered_per_s > 0.0).then(|| through / pair.direct.delivered_per_s)
        }));
    }

    /// The table for people: medians over the pairs.
    pub(super) fn table(&self) -> Rows {
        let mut rows = Rows::new(&["", "through", "direct", "note"]);
        let table = Medians { pairs: &self.pairs };
        let d = table.direct(|run| run.own_cpu_us);
        self.rate_rows(&table, &mut rows);
        for (name, pick) in [
            ("ack latency p50", (|run| run.ack.p50_us) as fn(&Figures) -> f64),
            ("ack latency p99", |run| run.ack.p99_us),
            ("ack latency max", |run| run.ack.max_us),
            ("arrival latency p50", |run| run.arrival.p50_us),
            ("arrival latency p99", |run| run.arrival.p99_us),
            ("arrival latency max", |run| run.arrival.max_us),
        ] {
            let some = |run: &Figures| Some(pick(run));
            rows.row([name.into(), time(table.through(some)), time(table.direct(some)), String::new()]);
        }
        if let Some(fsync) = self.fsync {
            rows.row([
                "fsync of the disk".into(),
                time(Some(fsync.p50_us)),
                String::new(),
                format!("p99 {}", time(Some(fsync.p99_us))),
            ]);
        }
        rows.row([
            "CPU of client and receiver".into(),
            micros(table.through(|run| run.own_cpu_us)),
            micros(d),
            "direct: D, the cost of one exchange".into(),
        ]);
        self.server_rows(&table, d, &mut rows);
        let count = |pick: fn(&Figures) -> u64| {
            let sum = |runs: &mut dyn Iterator<Item = &Figures>| runs.map(pick).sum::<u64>().to_string();
            let direct = sum(&mut self.pairs.iter().map(|pair| &pair.direct));
            let through = sum(&mut self.pairs.iter().filter_map(|pair| pair.through.as_ref()));
            [if self.has_through() { through } else { "-".into() }, direct]
        };
        for (name, pick) in [
            ("delivered", (|run| run.delivered) as fn(&Figures) -> u64),
            ("lost", |run| run.lost),
            ("duplicates", |run| run.duplicates),
            ("strays", |run| run.strays),
            ("refused", |run| run.refused.values().sum()),
        ] {
            let [through, direct] = count(pick);
            rows.row([name.into(), through, direct, "all runs together".into()]);
        }
        rows
    }

    fn has_through(&self) -> bool {
        self.pairs.iter().any(|pair| pair.through.is_some())
    }

    fn rate_rows(&self, table: &Medians<'_>, rows: &mut Rows) {
        let note = match &self.ratio {
            Some(ratio) => format!(
                "ratio {:.3} ({:.3} to {:.3}, {} pairs)",
                ratio.median,
                ratio.min,
                ratio.max,
                self.pairs.len()
            ),
            None => String::new(),
        };
        for (name, pick, note) in [
            ("accepted/s", (|run| run.accepted_per_s) as fn(&Figures) -> f64, String::new()),
            ("delivered/s", |run| run.delivered_per_s, note),
        ] {
            let some = |run: &Figures| Some(pick(run));
            rows.row([name.into(), whole(table.through(some)), whole(table.direct(some)), note]);
        }
        if self.has_through() {
            let drain = table.through(|run| Some(run.drain_s));
            rows.row([
                "drain".into(),
                drain.map_or_else(String::new, |s| format!("{s:.2} s")),
                String::new(),
                "until all had arrived".into(),
            ]);
        }
    }

    fn server_rows(&self, table: &Medians<'_>, d: Option<f64>, rows: &mut Rows) {
        let server = |pick: fn(&ServerFigures) -> f64| table.through(|run| run.server.as_ref().map(pick));
        let Some(cpu) = server(|s| s.cpu_us_per_delivery) else { return };
        let in_d = d.map_or_else(String::new, |d| format!("{:.2} D", cpu / d));
        rows.row(["server CPU per delivery".into(), micros(Some(cpu)), String::new(), in_d]);
        let written = server(|s| s.written_bytes_per_delivery).unwrap_or_default();
        let note = if written == 0.0 {
            "nothing was written: is the data directory in memory? (--data-dir)".into()
        } else {
            format!("{:.2} times the data", written / self.settings.size as f64)
        };
        rows.row(["written per delivery".into(), format!("{written:.0} B"), String::new(), note]);
        let mib = |kib: f64| format!("{:.1} MiB", kib / 1_024.0);
        if let Some(idle) = self.idle_rss_kib {
            rows.row(["server memory idle".into(), mib(idle as f64), String::new(), "resident".into()]);
        }
        let last = self.pairs.iter().rev().find_map(|pair| pair.through.as_ref()?.server.as_ref());
        if let Some(last) = last {
            let peak = format!("peak {}", mib(last.peak_rss_kib as f64));
            rows.row(["server memory after".into(), mib(last.rss_kib as f64), String::new(), peak]);
        }
    }
}

struct Medians<'a> {
    pairs: &'a [Pair],
}

impl Medians<'_> {
    fn direct(&self, pick: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        Spread::of(self.pairs.iter().filter_map(|pair| pick(&pair.direct))).map(|spread| spread.median)
    }

    fn through(&self, pick: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        Spread::of(self.pairs.iter().filter_map(|pair| pick(pair.through.as_ref()?)))
            .map(|spread| spread.median)
    }
}

fn whole(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.0}"))
}

fn micros(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |us| format!("{us:.1} µs"))
}

fn time(us: Option<f64>) -> String {
    match us {
        None => "-".into(),
        Some(us) if us < 1_000.0 => format!("{us:.0} µs"),
        Some(us) if us < 1_000_000.0 => format!("{:.2} ms", us / 1_000.0),
        Some(us) => format!("{:.2} s", us / 1_000_000.0),
    }
}
