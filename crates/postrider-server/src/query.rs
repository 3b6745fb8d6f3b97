//! Reading a query string: every fault at once, and none passed over.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use http::Uri;
use postrider_core::card;
use postrider_core::fault::Fault;
use postrider_core::id::Position;
use postrider_core::subscription::is_type_name;
use postrider_core::time::Timestamp;

use crate::cursor::{self, List};
use crate::problem::{Kind, Problem};

/// Entries of a page unless the caller says otherwise.
const DEFAULT_LIMIT: usize = 50;
/// Entries of a page at most.
const MAX_LIMIT: u64 = 250;
/// The longest ordering key, subject or id that is looked for, in bytes.
const MAX_NAME: usize = 1_024;

/// Which page of a list is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PageRequest {
    /// Entries at most.
    pub(crate) limit: usize,
    /// What the cursor points at.
    pub(crate) after: Option<Vec<u8>>,
}

impl PageRequest {
    /// What the cursor points at, where that is a text.
    pub(crate) fn after_text(&self) -> Option<&str> {
        self.after.as_deref().and_then(|after| std::str::from_utf8(after).ok())
    }

    /// What the cursor points at, where that is a position.
    pub(crate) fn before(&self) -> Option<Position> {
        let after = self.after.as_deref()?;
        <[u8; 8]>::try_from(after).ok().map(|at| Position(u64::from_be_bytes(at)))
    }
}

/// A query string that is being read. What is wrong with it collects until [`Query::finish`].
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl Query {
    /// Begins to read the query of an address.
    ///
    /// # Errors
    /// 400 for what is no query string in UTF-8.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let axum::extract::Query(pairs) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| {
                Problem::new(Kind::Malformed, "the query cannot be read; percent-encode its values")
            })?;
        Ok(Self { pairs, known: Vec::new(), faults: Vec::new() })
    }

    /// Refuses every parameter.
    ///
    /// # Errors
    /// 422 if there is any.
    pub(crate) fn none(uri: &Uri) -> Result<(), Problem> {
        match uri.query() {
            None | Some("") => Ok(()),
            Some(_) => Self::of(uri)?.finish(),
        }
    }

    /// Reads a parameter if it is there.
    pub(crate) fn take<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, Cow<'static, str>>,
    ) -> Option<T> {
        self.known.push(name);
        let mut given = self.pairs.iter().filter(|(n, _)| n == name).map(|(_, value)| value);
        let value = given.next()?;
        let result = if given.next().is_some() {
            Err("is given twice; keep one".into())
        } else if card::holds_number(value) {
            // Whatever lies between the caller and us may have noted the address.
            Err("holds what looks like a card number, which does not belong in an address".into())
        } else {
            read(value)
        };
        result.map_err(|detail| self.fault(name, detail)).ok()
    }

    /// Reads a time.
    pub(crate) fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        self.take(name, |text| Timestamp::parse(text).map_err(Cow::Borrowed))
    }

    /// Reads a whole number within a range.
    pub(crate) fn number(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.take(name, |text| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse().ok().filter(|number| digits && range.contains(number));
            number.ok_or_else(|| {
                format!("must be a whole number from {} to {}", range.start(), range.end()).into()
            })
        })
    }

    /// Reads `limit`.
    pub(crate) fn limit(&mut self) -> usize {
        let limit = self.number("limit", 1..=MAX_LIMIT);
        limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DEFAULT_LIMIT)
    }

    /// Reads `limit` and `cursor`.
    pub(crate) fn page(&mut self, list: List, tenant: &str) -> PageRequest {
        let limit = self.limit();
        let after = self.take("cursor", |text| cursor::read(list, tenant, text).map_err(Cow::Borrowed));
        PageRequest { limit, after }
    }

    /// Reads a text that something is looked for by.
    pub(crate) fn name(&mut self, name: &'static str) -> Option<String> {
        self.take(name, |text| match text.len() {
            1..=MAX_NAME => Ok(text.to_owned()),
            _ => Err("must be neither empty nor longer than 1024 bytes".into()),
        })
    }

    /// Reads an event type's name.
    pub(crate) fn event_type(&mut self) -> Option<String> {
        self.take("type", |text| {
            if is_type_name(text) {
                Ok(text.to_owned())
            } else {
                Err("must be an event type such as card.frozen".into())
            }
        })
    }

    /// Reads `since` and `until`.
    pub(crate) fn window(&mut self) -> (Option<Timestamp>, Option<Timestamp>) {
        let (since, until) = (self.time("since"), self.time("until"));
        if since.zip(until).is_some_and(|(since, until)| until < since) {
            self.fault("until", "must not lie before since");
        }
        (since, until)
    }

    /// Notes a fault of a parameter.
    pub(crate) fn fault(&mut self, name: &str, detail: impl Into<Cow<'static, str>>) {
        self.faults.push(Fault::new(format!("/{name}"), detail));
    }

    /// Ends the reading of an address in which unknown parameters are passed over.
    ///
    /// # Errors
    /// 422 with all faults.
    pub(crate) fn finish_leniently(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 422 with all faults, those of unknown parameters last.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        let unknown = std::mem::take(&mut self.pairs).into_iter().map(|(name, _)| name);
        for name in unknown.filter(|name| !self.known.contains(&name.as_str())).take(20).collect::<Vec<_>>() {
            let shown: String = card::without_numbers(&name).chars().take(64).collect();
            let detail = if self.known.is_empty() {
                "is not known; this call takes no parameters".to_owned()
            } else {
                format!("is not a known parameter; known are {}", self.known.join(", "))
            };
            self.fault(&shown.replace('~', "~0").replace('/', "~1"), detail);
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Result<PageRequest, Kind> {
        let uri: Uri = format!("/v1/tenants?{query}").parse().unwrap();
        let mut query = Query::of(&uri).map_err(|p| p.kind())?;
        let page = query.page(List::Tenants, "");
        query.finish().map(|()| page).map_err(|p| p.kind())
    }

    #[test]
    fn abuse_a104_a_card_number_in_a_query_is_refused_and_never_repeated() {
        for query in ["key=4111111111111111", "key=4111+1111%201111%C2%A01111", "%34111111111111111=1"] {
            let uri: Uri = format!("/v1/x?{query}").parse().unwrap();
            let Ok(mut query) = Query::of(&uri) else { continue };
            query.take("key", |text| Ok(text.to_owned()));
            let problem = format!("{:?}", query.finish().unwrap_err());
            assert!(!problem.contains("4111111111111111") && !problem.contains("4111 1111"), "{problem}");
            assert!(problem.contains("/key") || problem.contains("/****************"), "{problem}");
        }
    }

    #[test]
    fn abuse_a13_limits_and_cursors_out_of_bounds_are_refused() {
        assert_eq!(page(""), Ok(PageRequest { limit: 50, after: None }));
        assert_eq!(page("limit=250"), Ok(PageRequest { limit: 250, after: None }));
        let cursor = cursor::write(List::Tenants, "", b"acme");
        assert_eq!(page(&format!("cursor={cursor}")).unwrap().after.unwrap(), b"acme");
        for bad in [
            "limit=0",
            "limit=-1",
            "limit=+1",
            "limit=251",
            "limit=99999",
            "limit=",
            "limit=5&limit=6",
            "limit=1.0",
            "cursor=",
            "cursor=abc",
            "limt=5",
            "limit=99999999999999999999999",
            "%00=1",
        ] {
            assert_eq!(page(bad), Err(Kind::Invalid), "{bad}");
        }
    }

    #[test]
    fn all_faults_of_a_query_come_at_once() {
        let uri: Uri = "/x?limit=0&since=yesterday&wat=1&a~b=2".parse().unwrap();
        let mut query = Query::of(&uri).unwrap();
        query.page(List::Tenants, "");
        query.time("since");
        let problem = query.finish().unwrap_err();
        let document = serde_json::to_value(problem.document(None)).unwrap();
        let pointers: Vec<&str> =
            document["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        assert_eq!(pointers, ["/limit", "/since", "/wat", "/a~0b"]);
    }
}
