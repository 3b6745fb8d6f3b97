//! Room for the connections of a bench among the files that a process may open.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside the connections that publish, and the server's connections to the receiver.
const OTHERS: u64 = 4_096;

/// Raises the limit as far as needed and allowed; both ends of a direct connection are files of this process.
///
/// # Errors
/// When the connections alone cannot fit.
pub(super) fn allow(connections: usize) -> anyhow::Result<()> {
    let ends = 2 * connections as u64;
    let limit = getrlimit(Resource::Nofile);
    let needed = raised(limit, ends + OTHERS);
    if needed != limit.current {
        setrlimit(Resource::Nofile, Rlimit { current: needed, maximum: limit.maximum })?;
    }
    match needed {
        Some(files) if files < ends + 64 => {
            bail!(
                "{connections} connections need more than the {files} files that this process may open; raise it with ulimit -n"
            )
        }
        _ => Ok(()),
    }
}

/// The limit that is as near to `wanted` as the maximum allows, and never lower than it was. `None` is no limit.
fn raised(limit: Rlimit, wanted: u64) -> Option<u64> {
    let current = limit.current?;
    let allowed = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
    Some(current.max(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_within_its_maximum_and_never_lowered() {
        for (current, maximum, expected) in [
            (Some(1_024), Some(4_096), Some(2_000)),
            (Some(1_024), Some(1_500), Some(1_500)),
            (Some(1_024), None, Some(2_000)),
            (Some(9_999), Some(9_999), Some(9_999)),
            (None, None, None),
        ] {
            assert_eq!(raised(Rlimit { current, maximum }, 2_000), expected);
        }
    }
}
