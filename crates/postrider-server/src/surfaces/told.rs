//! What is wrong with a request, in one text, for APIs whose errors have no place for several.

use super::partner::told;
use crate::problem::Problem;

/// Every fault with the name of its field, or where there is none what else is to be said.
pub(super) fn sentence(problem: &Problem) -> String {
    let faults = problem.faults();
    if faults.is_empty() {
        return problem.detail().to_owned();
    }
    faults.iter().map(told).collect::<Vec<_>>().join("; ")
}
