//! The suite that every engine passes, by topic, written against the trait.
