//! Which events the profiles bring with them.

use postrider_core::event_type::Kind;
use postrider_profiles::built_in;

#[test]
fn the_event_types_are_those_of_the_platforms() {
    for (profile, names) in [
        (
            "clevercards",
            "CARD_ACCOUNT_FUNDED CARD_ACCOUNT_UNFUNDED CARD_ACTIVATED CARD_CREATED CARD_FREEZE_REQUESTED CARD_STATUS_CHANGED \
             CARD_TOKEN_CREATED CARD_TOKEN_DELIVERED CARD_TOKEN_DRAFT_CANCELLED CARD_TOKEN_DRAFT_CREATED \
             CARDHOLDER_STATUS_CHANGED",
        ),
        ("fourpay", "account_topup account_transaction card_state card_transaction"),
        (
            "mcards",
            "claimed_offer location payment payment.capture payment.get_balance payment.hold payment.hold_and_capture \
             payment.release_hold transaction",
        ),
        (
            "opencard",
            "card.transaction.authorized card.transaction.cleared card.transaction.deleted card.transaction.invoiced \
             card_holder.created card_holder.deleted card_holder.email.delivered card_holder.email.failed \
             card_holder.identified card_holder.signed.pdpc environmental.impact.aland_index environmental.impact.deedster \
             receipt.fetched tpa.signed transaction.line.items transaction.true.vat",
        ),
        (
            "penny",
            "card.created card.updated transaction.authorization.pending transaction.authorized transaction.cleared \
             transaction.declined transaction.reversed",
        ),
    ] {
        let profiles = built_in();
        let profile = profiles.get(profile).unwrap();
        assert!(profile.is_closed());
        let mut expected: Vec<&str> = names.split_whitespace().collect();
        expected.sort_unstable();
        assert_eq!(
            profile.types().keys().map(|name| &**name).collect::<Vec<_>>(),
            expected,
            "{}",
            profile.name()
        );
    }
}

#[test]
fn every_type_is_described_and_has_an_example_that_its_format_can_send() {
    for profile in built_in().iter() {
        for (name, of) in profile.types() {
            assert!(of.description.is_some() && of.schema.is_some(), "{name}");
            profile.check_data(name, of.example.as_deref().unwrap()).unwrap();
        }
    }
}

#[test]
fn schemas_are_lenient() {
    for profile in built_in().iter() {
        for (name, of) in profile.types() {
            let schema = of.schema.as_ref().unwrap();
            assert_eq!(schema.check(b"{}"), Ok(()), "{name}");
            assert_eq!(schema.check(br#"{"something_new": [1, {"a": null}]}"#), Ok(()), "{name}");
        }
    }
}

#[test]
fn decisions_are_told_from_notifications() {
    let of = |profile: &str| -> Vec<String> {
        let profiles = built_in();
        let types = profiles.get(profile).unwrap().types().iter();
        types.filter(|(_, of)| of.kind == Kind::Decision).map(|(name, _)| name.to_string()).collect()
    };
    let verbs = ["capture", "get_balance", "hold", "hold_and_capture", "release_hold"];
    assert_eq!(of("mcards"), verbs.map(|verb| format!("payment.{verb}")));
    assert_eq!(of("penny"), ["transaction.authorization.pending"]);
    assert!(of("opencard").is_empty() && of("fourpay").is_empty() && of("clevercards").is_empty());
}

#[test]
fn integrations_are_those_of_the_platforms_tables() {
    let profiles = built_in();
    for (profile, name, integrations) in [
        ("mcards", "transaction", &["card_distribution", "currency_provider", "full_webhook_access"][..]),
        ("mcards", "location", &["card_distribution", "full_webhook_access"]),
        ("mcards", "claimed_offer", &["card_distribution", "full_webhook_access"]),
        ("mcards", "payment", &["payment_gateway", "full_webhook_access"]),
        ("mcards", "payment.hold", &["payment_gateway", "full_webhook_access"]),
        ("opencard", "card.transaction.cleared", &["product_transaction"]),
        ("opencard", "receipt.fetched", &["product_digital_receipt"]),
        ("opencard", "transaction.true.vat", &["product_digital_receipt"]),
        ("opencard", "environmental.impact.aland_index", &["product_aland_index"]),
        ("opencard", "card_holder.created", &[]),
        ("opencard", "transaction.line.items", &[]),
    ] {
        let found = &profiles.get(profile).unwrap().types()[name].integrations;
        assert_eq!(found.iter().map(|one| &**one).collect::<Vec<_>>(), integrations, "{name}");
    }
}

#[test]
fn published_examples_are_sent_as_they_stand_nulls_included() {
    let profiles = built_in();
    let transaction = profiles.get("mcards").unwrap().types()["transaction"].example.as_deref().unwrap();
    let text = std::str::from_utf8(transaction).unwrap();
    assert!(text.contains("\"amount\": 42.50,") && text.contains("\"claimed_offer_uuid\": null,"), "{text}");
    // SHA-256 of the payloads as they were published.
    for (name, digest) in [
        ("transaction", "2e63019c0ab86fa8358799dc4862bb61460bdbc78300d3809ecc7da2b6b81139"),
        ("location", "dd98a9aabe5671192090e1a778602d011221a1abae33c2fd45964d79e4552f0f"),
        ("claimed_offer", "4f1bdf834bb8a35fd8372cc4838dbd588422f262d5600c5f3952e75772c963ed"),
    ] {
        let example = profiles.get("mcards").unwrap().types()[name].example.as_deref().unwrap().trim_ascii();
        let found = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, example);
        let hex: String = found.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, digest, "{name}");
    }
}

#[test]
fn meanings_and_states_are_those_of_the_platforms() {
    let profiles = built_in();
    let fourpay = profiles.get("fourpay").unwrap().types();
    for (name, fires) in [
        ("card_transaction", "created, confirmed or cleared, or its status changed"),
        ("account_transaction", "created, confirmed or cleared, or its status changed"),
        ("account_topup", "received or confirmed, or its status changed"),
        ("card_state", "created, or its status changed"),
    ] {
        assert!(fourpay[name].description.as_deref().unwrap().contains(fires), "{name}");
    }
    for (profile, name, field, values) in [
        (
            "fourpay",
            "card_state",
            "status",
            &["creating", "active", "frozen", "closed", "creating_failed"][..],
        ),
        ("mcards", "claimed_offer", "claimed_offer_state", &["hold", "clear", "hold_release"]),
    ] {
        let schema = profiles.get(profile).unwrap().types()[name].schema.as_ref().unwrap();
        let fits = |value: &str| schema.check(format!(r#"{{"{field}":"{value}"}}"#).as_bytes()).is_ok();
        assert!(values.iter().all(|value| fits(value)) && !fits("lost"), "{name}");
    }
    let location = profiles.get("mcards").unwrap().types()["location"].schema.as_ref().unwrap();
    for field in ["event", "source", "timestamp"] {
        assert!(location.check(format!(r#"{{"{field}":1}}"#).as_bytes()).is_err(), "{field}");
    }
}

#[test]
fn opencards_examples_have_the_fields_of_its_documentation() {
    const CARD: &str = "id state receiptable card_issuer card_issuer_reference type invoice_number original_amount \
        original_currency vat_amount vat_rate accounting_amount accounting_currency exchange_rate purchase_merchant \
        purchase_date purchase_time purchase_country purchase_city card_id card_type card_last_four mcc_code \
        card_holder/reference_id organization/reference_id";
    let profiles = built_in();
    for (prefix, count, fields) in [
        ("card.transaction.", 4, CARD),
        ("card_holder.", 6, "card_holder/reference_id organization/reference_id"),
        ("receipt.fetched", 1, "url content_type expiration_time merchant amount date transaction/id"),
        ("transaction.true.vat", 1, "vat_rates totals"),
        ("transaction.line.items", 1, "line_items"),
        ("tpa.signed", 1, "id name organization_number url"),
    ] {
        let types = profiles.get("opencard").unwrap().types().iter();
        let of: Vec<_> = types.filter(|(name, _)| name.starts_with(prefix)).collect();
        assert_eq!(of.len(), count, "{prefix}");
        for (name, of) in of {
            let example: serde_json::Value = serde_json::from_slice(of.example.as_deref().unwrap()).unwrap();
            for field in fields.split_whitespace() {
                assert!(example.pointer(&format!("/{field}")).is_some(), "{name} {field}");
            }
        }
    }
}
