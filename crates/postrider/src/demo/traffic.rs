//! Card traffic: the payloads that mCards publishes as examples, as they stand and varied as text.
//!
//! What is varied is replaced in the text itself, so that key order, nulls and the digits of an amount (`42.50`) stay
//! what a publisher wrote. The first events of a run are the examples unchanged.

use postrider_client::NewEvent;
use serde_json::value::RawValue;

/// A card transaction, as published.
const TRANSACTION: &str = include_str!("examples/transaction.json");
/// A cardholder's position, as published.
const LOCATION: &str = include_str!("examples/location.json");
/// A claimed offer, as published.
const CLAIMED_OFFER: &str = include_str!("examples/claimed_offer.json");

/// The amount in the examples, and the reward of a tenth of it.
const AMOUNT: &str = "42.50";
const REWARD: &str = "4.25";
/// Ids in the examples.
const CARD: &str = "f9e8d7c6-b5a4-3210-fedc-ba0987654321";
const TRANSACTION_ID: &str = "a1b2c3d4-e5f6-7890-abcd-ef1234567890";
const CLAIM_ID: &str = "cc112233-4455-6677-8899-aabbccddeeff";
const USER: &str = "a1b2c3d4-5678-90ab-cdef-1234567890ab";
/// The merchant in the examples, and those who take turns with it.
const MERCHANT: &str = "Corner Coffee Shop";
const MERCHANTS: [&str; 6] =
    [MERCHANT, "Harbour Books", "Green Grocer", "Café de la Gare", "Night Line Taxi", "Old Mill Bakery"];
/// Cards in use; each has its own ordering key.
const CARDS: u64 = 12;

/// What kinds of event there are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Transaction,
    Location,
    ClaimedOffer,
}

impl Kind {
    /// One in each place of a round: mostly transactions.
    const ROUND: [Self; 8] = [
        Self::Transaction,
        Self::Location,
        Self::ClaimedOffer,
        Self::Transaction,
        Self::Transaction,
        Self::Location,
        Self::Transaction,
        Self::ClaimedOffer,
    ];

    /// The event type under which it is published.
    pub(super) fn event_type(self) -> &'static str {
        match self {
            Self::Transaction => "card.transaction",
            Self::Location => "cardholder.location",
            Self::ClaimedOffer => "card.claimed_offer",
        }
    }
}

/// One event, ready to be published.
#[derive(Debug, Clone)]
pub(super) struct Happening {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) key: String,
    /// The payload's text.
    pub(super) data: String,
}

impl Happening {
    /// The `number`th event of a run.
    pub(super) fn new(number: u64) -> Self {
        let kind = Kind::ROUND[(number % Kind::ROUND.len() as u64) as usize];
        let varied = number >= 3;
        let card_no = number % CARDS;
        let card = if varied { uuid("card", card_no) } else { CARD.to_owned() };
        let user = if varied { uuid("user", card_no) } else { USER.to_owned() };
        let (key, base) = match kind {
            Kind::Transaction => (card.clone(), TRANSACTION),
            Kind::Location => (user.clone(), LOCATION),
            Kind::ClaimedOffer => (card.clone(), CLAIMED_OFFER),
        };
        let data = if varied { vary(kind, base, number, &card, &user) } else { base.to_owned() };
        Self { kind, id: format!("demo-{number:06}"), key, data: data.trim_end().to_owned() }
    }

    /// What is published for a tenant.
    pub(super) fn event(&self, tenant: &str) -> anyhow::Result<NewEvent> {
        let data = RawValue::from_string(self.data.clone())?;
        let mut event = NewEvent::new(tenant, self.kind.event_type(), data);
        event.id = Some(self.id.clone());
        event.key = Some(self.key.clone());
        Ok(event)
    }
}

fn vary(kind: Kind, base: &str, number: u64, card: &str, user: &str) -> String {
    let cents = 150 + mix(number) % 19_850 / 10 * 10;
    let amount = format!("{}.{:02}", cents / 100, cents % 100);
    let reward = format!("{}.{:02}", cents / 1_000, cents / 10 % 100);
    let merchant = MERCHANTS[(mix(number) % MERCHANTS.len() as u64) as usize];
    let text = base.replace(CARD, card).replace(TRANSACTION_ID, &uuid("transaction", number));
    match kind {
        Kind::Transaction => text.replace(&field("amount", AMOUNT), &field("amount", &amount)),
        Kind::Location => text.replace(USER, user),
        Kind::ClaimedOffer => text
            .replace(&field("transaction_amount", AMOUNT), &field("transaction_amount", &amount))
            .replace(&field("amount", REWARD), &field("amount", &reward))
            .replace(CLAIM_ID, &uuid("claim", number)),
    }
    .replace(MERCHANT, merchant)
}

/// A field of an amount as the examples write it.
fn field(name: &str, amount: &str) -> String {
    format!("\"{name}\": {amount}")
}

/// The same id for the same name and number in every run (in the form of a version 8 UUID, RFC 9562 section 5.8).
fn uuid(name: &str, number: u64) -> String {
    let high = mix(name.bytes().fold(number, |sum, byte| mix(sum ^ u64::from(byte))));
    let low = mix(high);
    format!(
        "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        0x8000 | low >> 48 & 0x3fff,
        low & 0xffff_ffff_ffff
    )
}

/// Spreads neighbouring numbers over all 64 bits: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_events_are_the_published_examples_as_they_stand() {
        let first: Vec<_> = (0..3).map(Happening::new).collect();
        assert_eq!(first[0].data, TRANSACTION.trim_end());
        assert_eq!(first[1].data, LOCATION.trim_end());
        assert_eq!(first[2].data, CLAIMED_OFFER.trim_end());
        assert!(first[0].data.contains("\"amount\": 42.50,"), "{}", first[0].data);
        assert!(first[0].data.contains("\"longitude\": -74.0060\n"));
        assert_eq!(first[0].key, first[2].key);
    }

    #[test]
    fn a_varied_event_differs_in_its_values_alone() {
        let shape = |text: &str| {
            // Names with what follows, without the values that vary.
            text.lines()
                .map(|line| line.split(": ").next().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        for number in 3..500 {
            let event = Happening::new(number);
            let base = match event.kind {
                Kind::Transaction => TRANSACTION,
                Kind::Location => LOCATION,
                Kind::ClaimedOffer => CLAIMED_OFFER,
            };
            assert_eq!(shape(&event.data), shape(base.trim_end()), "{number}");
            assert_ne!(event.data, base.trim_end(), "{number}");
            assert!(event.data.contains(&event.key), "{number}");
            serde_json::from_str::<serde_json::Value>(&event.data).unwrap();
        }
    }

    #[test]
    fn a_reward_is_a_tenth_of_its_transaction() {
        let offer = (3..).map(Happening::new).find(|event| event.kind == Kind::ClaimedOffer).unwrap();
        let value = |name: &str| {
            let (_, rest) = offer.data.split_once(&format!("\"{name}\": ")).unwrap();
            let digits = rest.split(',').next().unwrap().replace('.', "");
            digits.parse::<u64>().unwrap()
        };
        assert_eq!(value("transaction_amount"), value("amount") * 10);
    }
}
