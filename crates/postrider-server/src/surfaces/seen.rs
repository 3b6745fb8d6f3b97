//! An endpoint as it is set, by the names of `/v1`, for surfaces whose form has it otherwise.

use serde_json::{Map, Value, json};

/// How an endpoint is set, without its secrets.
pub(super) struct Seen(Value);

/// What a filter lets pass of one attribute.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Only<'a> {
    /// Whatever it is.
    Any,
    /// This text alone.
    Text(&'a str),
    /// Several values, or one that is no text: more than a field of a surface can say.
    Other,
}

impl Seen {
    /// Of an endpoint as `/v1` shows it.
    pub(super) fn of(shown: Value) -> Self {
        Self(shown)
    }

    /// The text at a JSON pointer.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer)?.as_str()
    }

    /// Whether the owner has it switched on.
    pub(super) fn is_enabled(&self) -> bool {
        self.0["enabled"] == Value::Bool(true)
    }

    /// What it subscribes to.
    pub(super) fn event_types(&self) -> impl Iterator<Item = &str> {
        self.0["event_types"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// What its filters let pass of an attribute.
    pub(super) fn only(&self, attribute: &str) -> Only<'_> {
        // Conditions that are not asked of all its types are no restriction of the endpoint.
        if self.0["filters"]["event_types"].as_array().is_some_and(|types| !types.is_empty()) {
            return Only::Other;
        }
        match self.0["filters"]["attributes"].get(attribute) {
            None => Only::Any,
            Some(values) => match values.as_array().map(Vec::as_slice) {
                Some([Value::String(text)]) => Only::Text(text),
                _ => Only::Other,
            },
        }
    }

    /// The same where it is one text.
    pub(super) fn only_text(&self, attribute: &str) -> Option<&str> {
        match self.only(attribute) {
            Only::Text(text) => Some(text),
            Only::Any | Only::Other => None,
        }
    }
}

/// Has nothing pass but events with this text in an attribute; `None` takes that back. Filters beside stay.
pub(super) fn pass_only(
    fields: &mut Map<String, Value>,
    before: Option<&Seen>,
    attribute: &str,
    text: Option<String>,
) {
    let has_none = before.is_none_or(|before| before.only(attribute) == Only::Any);
    if text.is_none() && has_none {
        return;
    }
    let values = text.map_or(Value::Null, |text| json!([text]));
    fields.insert("filters".into(), json!({"attributes": {attribute: values}}));
}

#[cfg(test)]
mod tests {
    use postrider_core::endpoint::EndpointConfig;

    use super::*;

    fn seen(more: &str) -> Seen {
        let body = format!(r#"{{"url": "https://partner.example/"{more}}}"#);
        let endpoint = EndpointConfig::parse_create(body.as_bytes(), [7; 24]).unwrap();
        Seen::of(serde_json::to_value(endpoint.public_view()).unwrap())
    }

    #[test]
    fn a_filter_of_one_text_is_told_from_all_others() {
        for (filters, only) in [
            ("", Only::Any),
            (r#", "filters": {"attributes": {"country": ["SE"]}}"#, Only::Any),
            (r#", "filters": {"attributes": {"wallet": ["w1"], "country": ["SE"]}}"#, Only::Text("w1")),
            (r#", "filters": {"attributes": {"wallet": ["w1", "w2"]}}"#, Only::Other),
            (r#", "filters": {"attributes": {"wallet": [5]}}"#, Only::Other),
        ] {
            assert_eq!(seen(filters).only("wallet"), only, "{filters}");
        }
    }

    #[test]
    fn filters_are_touched_only_where_something_changes() {
        let (without, with) = (seen(""), seen(r#", "filters": {"attributes": {"wallet": ["w1"]}}"#));
        let asked = |before, text: Option<&str>| {
            let mut fields = Map::new();
            pass_only(&mut fields, before, "wallet", text.map(str::to_owned));
            Value::Object(fields)
        };
        assert_eq!(asked(None, None), json!({}));
        assert_eq!(asked(Some(&without), None), json!({}));
        assert_eq!(asked(Some(&with), None), json!({"filters": {"attributes": {"wallet": null}}}));
        assert_eq!(asked(None, Some("w2")), json!({"filters": {"attributes": {"wallet": ["w2"]}}}));
    }
}
