//! The flags of a webhook, each for one type of event. They are a table: the names of the ones do not follow from the others.

/// Each flag with its type.
pub(super) const FLAGS: [(&str, &str); 16] = [
    ("card_transaction_authorized", "card.transaction.authorized"),
    ("card_transaction_cleared", "card.transaction.cleared"),
    ("card_transaction_deleted", "card.transaction.deleted"),
    ("card_transaction_invoiced", "card.transaction.invoiced"),
    ("card_holder_created", "card_holder.created"),
    ("card_holder_identified", "card_holder.identified"),
    ("card_holder_signed_pdpc", "card_holder.signed.pdpc"),
    ("card_holder_deleted", "card_holder.deleted"),
    ("card_holder_email_delivered", "card_holder.email.delivered"),
    ("card_holder_email_failed", "card_holder.email.failed"),
    ("receipt_fetched", "receipt.fetched"),
    ("transaction_true_vat", "transaction.true.vat"),
    ("transaction_line_items", "transaction.line.items"),
    ("aland_index", "environmental.impact.aland_index"),
    ("deedster", "environmental.impact.deedster"),
    ("tpa_signed", "tpa.signed"),
];

/// The types that groups are for.
pub(super) const TRANSACTIONS: &str = "card.transaction.*";

/// Said of a flag for what the organization did not buy.
pub(super) const LACKS_PRODUCT: &str = "needs a product that the organization does not have";

/// The types that no flag is for, of some.
pub(super) fn beyond<'a>(types: &[&'a str]) -> Vec<&'a str> {
    let known = |name: &str| FLAGS.iter().any(|(_, of_flag)| *of_flag == name);
    types.iter().copied().filter(|name| !known(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flag_and_no_type_stands_in_the_table_twice() {
        for (n, (flag, name)) in FLAGS.iter().enumerate() {
            let again = FLAGS[n + 1..].iter().any(|(other, of_other)| other == flag || of_other == name);
            assert!(!again, "{flag}");
        }
        assert_eq!(beyond(&["tpa.signed", "own.type", "card_holder.created"]), ["own.type"]);
    }
}
