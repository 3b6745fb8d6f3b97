//! Filters: what an endpoint's conditions say of an event does not depend on who else asks.

use postrider_core::filter::{Facts, Filters};
use serde::de::IgnoredAny;

use crate::events::is_told;
use crate::parts;

/// Two endpoints' filters, the attributes of an event, and its data.
pub(crate) fn filter(bytes: &[u8]) {
    let [one, other, attributes, data] = parts(bytes);
    // Only JSON comes so far; of anything else no more is promised than an end.
    let is_json = |bytes| serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    let sound = is_json(data) && (attributes.is_empty() || is_json(attributes));
    let read = |bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        Filters::parse(text).inspect_err(is_told).ok().flatten()
    };
    let (one, other) = (read(one), read(other));
    let all: Vec<&Filters> = one.iter().chain(&other).collect();
    let together = Facts::of(all.iter().copied(), attributes, data);
    for filters in all {
        let alone = Facts::of([filters], attributes, data);
        let verdict = |facts| filters.check(facts).map_err(|unmet| unmet.to_string());
        assert!(verdict(&together) == verdict(&alone) || !sound, "who else asks makes a difference");
    }
}
