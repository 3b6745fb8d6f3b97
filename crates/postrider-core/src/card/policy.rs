//! What becomes of card data in the events of a tenant, and which places in them are exempt.

use serde_json::{Map, Value, json};

use super::walk::{Place, Step};
use crate::fields::one_of;
use crate::json::{self, Detail, Object};
use crate::subscription::Pattern;

/// The most exemptions of a tenant.
pub const MAX_EXEMPTIONS: usize = 20;
/// The most pointers of an exemption.
pub const MAX_EXEMPT_POINTERS: usize = 20;
/// The longest pointer of an exemption, in bytes.
pub const MAX_EXEMPT_POINTER: usize = 256;
/// In a pointer of an exemption: any item of an array.
const ANY_ITEM: &str = "*";

/// What becomes of card numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Numbers {
    /// The event is refused.
    #[default]
    Reject,
    /// In data and attributes the digits in the middle are hidden; elsewhere the event is refused.
    Mask,
    /// They are let through, save for one with the rest of a track behind it.
    Allow,
}

impl Numbers {
    const NAMES: [(&'static str, Self); 3] =
        [("reject", Self::Reject), ("mask", Self::Mask), ("allow", Self::Allow)];

    /// The name used in API and configuration.
    pub fn as_str(self) -> &'static str {
        name_of(self, &Self::NAMES)
    }
}

/// What becomes of sensitive authentication data: verification codes, PINs, tracks. Nothing lets it through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AuthenticationData {
    /// The event is refused.
    #[default]
    Reject,
    /// The value is taken out.
    Strip,
}

impl AuthenticationData {
    const NAMES: [(&'static str, Self); 2] = [("reject", Self::Reject), ("strip", Self::Strip)];

    /// The name used in API and configuration.
    pub fn as_str(self) -> &'static str {
        name_of(self, &Self::NAMES)
    }
}

fn name_of<T: PartialEq>(value: T, names: &[(&'static str, T)]) -> &'static str {
    names.iter().find(|(_, other)| *other == value).map_or("", |(name, _)| name)
}

/// A policy as a tenant is set to it: what is not said is the server's to say.
///
/// ```
/// use postrider_core::card::{CardPolicy, CardSettings, Numbers};
/// use postrider_core::json::Object;
/// let mut object = Object::parse(r#"{"card_policy": {"numbers": "mask"}}"#).unwrap();
/// let settings = object.object("card_policy", |policy| Some(CardSettings::read(policy))).unwrap();
/// assert_eq!(settings.over(&CardPolicy::default()).numbers, Numbers::Mask);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CardSettings {
    /// What becomes of card numbers.
    pub numbers: Option<Numbers>,
    /// What becomes of authentication data.
    pub authentication_data: Option<AuthenticationData>,
    /// Where card numbers are let through.
    exempt: Vec<Exemption>,
}

/// A policy in force.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CardPolicy {
    /// What becomes of card numbers.
    pub numbers: Numbers,
    /// What becomes of authentication data.
    pub authentication_data: AuthenticationData,
    exempt: Vec<Exemption>,
}

/// Places in events of some types.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Exemption {
    event_type: Pattern,
    pointers: Vec<ExemptPointer>,
}

/// A JSON pointer (RFC 6901) into an event, such as `/data/items/*/reference`, in which `*` is any item of an array.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ExemptPointer {
    text: Box<str>,
    segments: Vec<Box<str>>,
}

impl CardSettings {
    /// Reads the fields of a policy.
    pub fn read(object: &mut Object<'_>) -> Self {
        Self {
            numbers: object.optional("numbers", |v| one_of(v, &Numbers::NAMES)),
            authentication_data: object
                .optional("authentication_data", |v| one_of(v, &AuthenticationData::NAMES)),
            exempt: object.objects("exempt", MAX_EXEMPTIONS, Exemption::read).unwrap_or_default(),
        }
    }

    /// The policy that is in force where `default` is the server's.
    #[must_use]
    pub fn over(&self, default: &CardPolicy) -> CardPolicy {
        CardPolicy {
            numbers: self.numbers.unwrap_or(default.numbers),
            authentication_data: self.authentication_data.unwrap_or(default.authentication_data),
            exempt: self.exempt.clone(),
        }
    }

    /// What was read, as JSON; `null` where nothing was.
    pub fn to_json(&self) -> Value {
        if *self == Self::default() {
            return Value::Null;
        }
        let exempt: Vec<Value> = self.exempt.iter().map(Exemption::to_json).collect();
        let fields = [
            ("numbers", json!(self.numbers.map(Numbers::as_str))),
            ("authentication_data", json!(self.authentication_data.map(AuthenticationData::as_str))),
            ("exempt", json!(exempt)),
        ];
        Value::Object(Map::from_iter(fields.map(|(name, value)| (name.to_owned(), value))))
    }
}

impl CardPolicy {
    /// One without exemptions.
    pub const fn new(numbers: Numbers, authentication_data: AuthenticationData) -> Self {
        Self { numbers, authentication_data, exempt: Vec::new() }
    }

    /// Whether card numbers are let through in a place of an event: `root` is one of its fields.
    pub(super) fn exempts(&self, event_type: &str, root: &str, place: Place<'_>) -> bool {
        self.exempt
            .iter()
            .filter(|exemption| exemption.event_type.matches(event_type))
            .any(|exemption| exemption.pointers.iter().any(|pointer| pointer.leads_to(root, place)))
    }
}

impl Exemption {
    fn read(object: &mut Object<'_>) -> Option<Self> {
        let event_type = object.required("type", |v| Ok(Pattern::parse(&json::string(v)?)?));
        let pointers = object
            .required_list("pointers", 1..=MAX_EXEMPT_POINTERS, |v| ExemptPointer::parse(&json::string(v)?));
        Some(Self { event_type: event_type?, pointers: pointers? })
    }

    fn to_json(&self) -> Value {
        let pointers: Vec<&str> = self.pointers.iter().map(|pointer| &*pointer.text).collect();
        json!({"type": self.event_type.to_string(), "pointers": pointers})
    }
}

impl ExemptPointer {
    fn parse(text: &str) -> Result<Self, Detail> {
        const ROOTS: [&str; 5] = ["data", "attributes", "key", "id", "subject"];
        let segments = text.strip_prefix('/').map(|rest| rest.split('/').map(unescape).collect::<Vec<_>>());
        match segments {
            Some(segments) if text.len() <= MAX_EXEMPT_POINTER && ROOTS.contains(&&*segments[0]) => {
                Ok(Self { text: text.into(), segments })
            }
            _ => Err(format!(
                "must be a JSON pointer of at most {MAX_EXEMPT_POINTER} bytes that begins with /data, /attributes, /key, \
                 /id or /subject, such as /data/items/*/reference"
            )
            .into()),
        }
    }

    fn leads_to(&self, root: &str, place: Place<'_>) -> bool {
        let mut segments = self.segments.iter().map(|segment| &**segment);
        let leads = |step: &Step<'_>, segment: &str| match step {
            Step::Name(name) => name == segment,
            Step::Item(n) => segment == ANY_ITEM || segment.parse() == Ok(*n),
        };
        segments.next() == Some(root)
            && place.steps().all(|step| segments.next().is_some_and(|segment| leads(step, segment)))
            && segments.next().is_none()
    }
}

/// Undoes the escapes of a pointer (RFC 6901, section 4).
fn unescape(segment: &str) -> Box<str> {
    segment.replace("~1", "/").replace("~0", "~").into()
}
