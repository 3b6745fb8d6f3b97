//! Lists in pages that are counted, as OpenCard's are.

use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::query::Query;

/// Rows of a page unless the caller says otherwise.
const PER_PAGE: u64 = 15;
/// Rows of a page at most.
const MAX_PER_PAGE: u64 = 100;
/// The last page that may be asked for.
const MAX_PAGE: u64 = 1_000_000;

/// Which page is asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    number: u64,
    per_page: u64,
}

impl Wanted {
    /// Reads `page` and `per_page`; other parameters are passed over.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let mut query = Query::of(uri)?;
        let number = query.number("page", 1..=MAX_PAGE).unwrap_or(1);
        let per_page = query.number("per_page", 1..=MAX_PER_PAGE).unwrap_or(PER_PAGE);
        query.finish_leniently()?;
        Ok(Self { number, per_page })
    }

    /// How many rows come before it.
    pub(super) fn offset(self) -> usize {
        usize::try_from((self.number - 1) * self.per_page).unwrap_or(usize::MAX)
    }

    /// How many rows it has at most.
    pub(super) fn limit(self) -> usize {
        usize::try_from(self.per_page).unwrap_or(usize::MAX)
    }

    /// This page of a list that is here whole.
    pub(super) fn cut<T>(self, all: Vec<T>) -> Page<T> {
        let total = all.len();
        self.page(all.into_iter().skip(self.offset()).take(self.limit()).collect(), total)
    }

    /// This page, of `total` rows.
    pub(super) fn page<T>(self, data: Vec<T>, total: usize) -> Page<T> {
        let total = u64::try_from(total).unwrap_or(u64::MAX);
        Page {
            current_page: self.number,
            data,
            per_page: self.per_page,
            total,
            last_page: total.div_ceil(self.per_page).max(1),
        }
    }
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// Which it is, from 1.
    current_page: u64,
    /// Its rows.
    data: Vec<T>,
    /// Rows of a page at most.
    per_page: u64,
    /// Rows of all pages.
    total: u64,
    /// Which is the last; the first where there are no rows.
    last_page: u64,
}
