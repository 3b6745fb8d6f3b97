//! What is seen while the demo runs: a table that redraws itself in a terminal, a line each second elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use postrider_client::{Client, Endpoint};

use super::cast::CAST;
use super::publish::Progress;
use super::receiver::Receiver;
use crate::output::Rows;

/// How often the table is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Table,
    Lines,
    Nothing,
}

/// Shows the run until it is dropped.
pub(super) struct Live<'a> {
    form: Form,
    client: &'a Client,
    endpoints: &'a [Endpoint],
    receiver: &'a Receiver,
    progress: &'a Progress,
    /// Lines of the table that stands on the screen.
    drawn: usize,
}

impl<'a> Live<'a> {
    /// Shows nothing when the summary is asked for as JSON.
    pub(super) fn new(
        json: bool,
        client: &'a Client,
        endpoints: &'a [Endpoint],
        receiver: &'a Receiver,
        progress: &'a Progress,
    ) -> Self {
        let form = match (json, io::stdout().is_terminal()) {
            (true, _) => Form::Nothing,
            (false, true) => Form::Table,
            (false, false) => Form::Lines,
        };
        Self { form, client, endpoints, receiver, progress, drawn: 0 }
    }

    /// Shows how it goes, again and again.
    pub(super) async fn run(&mut self) -> ! {
        let every = if self.form == Form::Table { REDRAW } else { LINE_EVERY };
        let mut ticks = tokio::time::interval(every);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            match self.form {
                Form::Table => self.draw().await,
                Form::Lines => show(&self.line()),
                Form::Nothing => {}
            }
        }
    }

    /// Makes room for the summary, which takes the place of a table.
    pub(super) fn clear(&mut self) {
        if self.form == Form::Lines {
            show("");
        }
        if self.drawn > 0 {
            show(&format!("\x1b[{}A\x1b[J\x1b[A", self.drawn));
            self.drawn = 0;
        }
    }

    fn line(&self) -> String {
        let tallies = (0..CAST.len()).map(|at| self.receiver.ledger().tally(at));
        let (delivered, refused) = tallies.fold((0, 0), |sum, t| (sum.0 + t.taken, sum.1 + t.refused));
        let owed = self.progress.owed();
        format!(
            "{:4.0} s   published {:>5}   owed {owed:>5}   delivered {delivered:>5}   refused {refused:>3}   waiting {:>3}",
            self.receiver.ledger().elapsed().as_secs_f64(),
            self.progress.published(),
            owed.saturating_sub(delivered),
        )
    }

    async fn draw(&mut self) {
        let mut rows =
            Rows::new(&["endpoint", "takes", "receiver", "state", "delivered", "refused", "in order"]);
        for (at, part) in CAST.iter().enumerate() {
            let tally = self.receiver.ledger().tally(at);
            let endpoint = &self.endpoints[at];
            // A state that cannot be read right now is shown as unknown; the summary is what counts.
            let state = match self.client.get_endpoint(&endpoint.tenant, &endpoint.id).await {
                Ok(endpoint) => endpoint.state.to_string(),
                Err(_) => "?".into(),
            };
            rows.row([
                part.title(),
                part.takes.into(),
                part.manner.describe().into(),
                state,
                tally.taken.to_string(),
                tally.refused.to_string(),
                if part.ordered { if tally.disordered == 0 { "yes" } else { "NO" } } else { "-" }.into(),
            ]);
        }
        let table = format!("{}\n\n{}", rows.render(), self.line());
        let up = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
        self.drawn = table.lines().count();
        // Lines that are too long are cut, not wrapped: the next frame goes up by their number.
        let lines: String = table.lines().map(|line| format!("{line}\x1b[K\n")).collect();
        show(&format!("{up}\x1b[?7l{lines}\x1b[?7h\x1b[A"));
    }
}

/// Writes a line; a reader that went away misses it.
fn show(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
