//! What all endpoints of a tenant ask of an event, made ready once: so that an event can be judged before it is queued, where
//! that keeps nobody else waiting.

use std::sync::Arc;

use super::facts::{self, Found};
use super::places::Places;
use super::{Condition, Filters, Test};
use crate::id::EndpointNo;
use crate::subscription::{Pattern, Subscriptions};

/// An endpoint with filters, as one version of it says.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// Which endpoint.
    pub no: EndpointNo,
    /// The version that these patterns and filters are of.
    pub version: u32,
    /// What it subscribes to.
    pub patterns: Arc<[Pattern]>,
    /// What must hold of an event.
    pub filters: Arc<Filters>,
}

/// See the module.
///
/// ```
/// use std::sync::Arc;
/// use postrider_core::filter::{Entrant, Filters, Screen};
/// use postrider_core::id::EndpointNo;
/// use postrider_core::subscription::Pattern;
/// let large = Filters::parse(r#"{"data": [{"pointer": "/amount", "op": "gte", "value": 100}]}"#).unwrap().unwrap();
/// let patterns = Arc::from([Pattern::All]);
/// let screen = Arc::new(Screen::of(vec![Entrant { no: EndpointNo(7), version: 1, patterns, filters: large.into() }]));
/// let judged = screen.judge("card.used", b"", br#"{"amount": 250}"#);
/// assert_eq!(judged.verdict(EndpointNo(7), 1), Some(true));
/// assert_eq!(judged.verdict(EndpointNo(7), 2), None);
/// ```
#[derive(Debug)]
pub struct Screen {
    /// By their numbers.
    entrants: Vec<(Entrant, Box<[Step]>)>,
    subscriptions: Subscriptions,
    attributes: Places,
    data: Places,
}

/// One condition of an endpoint: which, and where it looks.
#[derive(Debug)]
struct Step {
    of_attributes: bool,
    condition: usize,
    place: usize,
}

/// Which endpoints with filters an event passes, as a screen has it.
#[derive(Clone, Debug)]
pub struct Judged {
    screen: Arc<Screen>,
    /// In order.
    passed: Box<[EndpointNo]>,
}

impl Screen {
    /// Makes it ready: work that grows with the number of conditions.
    pub fn of(mut entrants: Vec<Entrant>) -> Self {
        entrants.sort_unstable_by_key(|entrant| entrant.no);
        let (attributes, data) = facts::places(entrants.iter().map(|entrant| &*entrant.filters));
        let mut subscriptions = Subscriptions::default();
        let ready = |entrant: Entrant| {
            subscriptions.insert(entrant.no, &entrant.patterns);
            let steps = steps(&entrant.filters, &attributes, &data);
            (entrant, steps)
        };
        let entrants = entrants.into_iter().map(ready).collect();
        Self { entrants, subscriptions, attributes, data }
    }

    /// Judges an event.
    pub fn judge(self: &Arc<Self>, event_type: &str, attributes: &[u8], data: &[u8]) -> Judged {
        let mut passed = Vec::new();
        self.subscriptions.matching(event_type, &mut passed);
        if !passed.is_empty() {
            let (attributes, data) = (Found::of(&self.attributes, attributes), Found::of(&self.data, data));
            passed.retain(|no| {
                let Some((entrant, steps)) = self.entrant(*no) else { return false };
                !entrant.filters.ask_of(event_type)
                    || steps.iter().all(|step| step.holds(&entrant.filters, &attributes, &data))
            });
        }
        Judged { screen: Arc::clone(self), passed: passed.into() }
    }

    fn entrant(&self, no: EndpointNo) -> Option<&(Entrant, Box<[Step]>)> {
        let at = self.entrants.binary_search_by_key(&no, |(entrant, _)| entrant.no).ok()?;
        Some(&self.entrants[at])
    }
}

impl Judged {
    /// Whether an endpoint of that version gets the event; `None` where the screen did not know it so.
    pub fn verdict(&self, no: EndpointNo, version: u32) -> Option<bool> {
        let (entrant, _) = self.screen.entrant(no)?;
        (entrant.version == version).then(|| self.passed.binary_search(&no).is_ok())
    }

    /// Bytes that it holds in memory, roughly; the screen is shared.
    pub(crate) fn weight(&self) -> usize {
        size_of_val(&*self.passed)
    }
}

/// Equal where they say the same.
impl PartialEq for Judged {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.screen, &other.screen) && self.passed == other.passed
    }
}

impl Eq for Judged {}

/// The conditions of an endpoint, cheap ones first: the first that does not hold decides.
fn steps(filters: &Filters, attributes: &Places, data: &Places) -> Box<[Step]> {
    let of = |conditions: &[Condition], places: &Places, of_attributes: bool| {
        let step = |(condition, of): (usize, &Condition)| {
            let place = places.find(&of.pointer).expect("the places are those of all conditions");
            Step { of_attributes, condition, place }
        };
        conditions.iter().enumerate().map(step).collect::<Vec<_>>()
    };
    let mut steps = of(&filters.attributes, attributes, true);
    steps.extend(of(&filters.data, data, false));
    steps.sort_by_key(|step| step.test(filters).cost());
    steps.into()
}

impl Step {
    fn test<'f>(&self, filters: &'f Filters) -> &'f Test {
        let conditions = if self.of_attributes { &filters.attributes } else { &filters.data };
        &conditions[self.condition].test
    }

    fn holds(&self, filters: &Filters, attributes: &Found<'_>, data: &Found<'_>) -> bool {
        let found = if self.of_attributes { attributes } else { data };
        self.test(filters).holds(found.at(self.place))
    }
}

impl Test {
    /// What asking it costs, compared with others.
    fn cost(&self) -> usize {
        match self {
            Self::Exists(_) => 0,
            Self::Equal(_) | Self::Different(_) | Self::Ordered(..) | Self::Prefix(_) => 1,
            Self::OneOf(listed) => 1 + listed.values.len(),
        }
    }
}
