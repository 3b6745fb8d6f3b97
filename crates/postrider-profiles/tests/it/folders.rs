//! An operator's own profiles.

use std::fs;
use std::path::Path;

use postrider_core::profile::{Profiles, parse_catalog};
use postrider_profiles::{built_in, check, load};

const WIRE: &str = "body = { shape = \"raw\" }\nheaders = { X-Id = \"{event.id}\" }\n";

fn profile(root: &Path, name: &str, wire: &str, catalog: Option<&str>) {
    let folder = root.join(name);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("wire.toml"), wire).unwrap();
    if let Some(catalog) = catalog {
        fs::write(folder.join("catalog.toml"), catalog).unwrap();
    }
}

/// What is said of a folder's profiles, without the folder's own path.
fn faults(root: &Path, mut profiles: Profiles) -> Vec<String> {
    let found = load(root, &mut profiles).unwrap_err();
    found.iter().map(|fault| fault.to_string().replace(&format!("{}/", root.display()), "")).collect()
}

#[test]
fn the_profiles_of_a_folder_join_those_that_come_with_a_server() {
    let root = tempfile::tempdir().unwrap();
    profile(root.path(), "acmepay", WIRE, Some("[types.\"card.frozen\"]\ndescription = \"Frozen.\"\n"));
    profile(root.path(), "other", WIRE, None);
    fs::write(root.path().join("README"), "not a profile").unwrap();
    fs::create_dir(root.path().join(".git")).unwrap();
    let mut profiles = built_in();
    load(root.path(), &mut profiles).unwrap();
    assert_eq!(profiles.iter().len(), 8);
    let acmepay = profiles.get("acmepay").unwrap();
    assert!(acmepay.types().contains_key("card.frozen") && acmepay.is_closed());
    assert!(profiles.get("other").unwrap().types().is_empty());
}

#[test]
fn all_faults_come_at_once_and_name_file_line_and_key() {
    let root = tempfile::tempdir().unwrap();
    profile(root.path(), "mcards", WIRE, None);
    profile(root.path(), "Shouting", WIRE, None);
    fs::create_dir(root.path().join("empty")).unwrap();
    profile(root.path(), "broken", "body = {\n", None);
    let wire = r#"
colour = "red"
[body]
shape = "envelope"
fields = [
    { name = "id", from = "event.id" },
    { name = "id", from = "event.colour" },
    { name = "when", from = "timestamp" },
    { name = "both", from = "event.type", constant = 1 },
]
[headers]
Host = "x"
Authorization = "x"
X-Sig = "{signatures.v2}"
X-Open = "{event.id"
[signatures.v1]
encoding = "base32"
over = "{event.id}"
[secret]
generate = 1
[delivery]
timeout_ms = 1
until = 2026-01-01
"#;
    profile(
        root.path(),
        "acmepay",
        wire,
        Some("[types.\"a b\"]\nschema = '{'\n[types.c]\nexample = 1\nkind = 'x'\n[other]\n"),
    );
    insta::assert_snapshot!(faults(root.path(), built_in()).join("\n"));
    let wire = wire.replace("until = 2026-01-01", "");
    fs::write(root.path().join("acmepay/wire.toml"), wire).unwrap();
    insta::assert_snapshot!("without_dates", faults(root.path(), built_in()).join("\n"));
}

#[test]
fn a_folder_has_bounds() {
    let root = tempfile::tempdir().unwrap();
    for n in 0..65 {
        profile(root.path(), &format!("p{n}"), WIRE, None);
    }
    assert!(faults(root.path(), Profiles::default())[0].contains("has 65 profiles; 64 are allowed"));
    let large = tempfile::tempdir().unwrap();
    profile(large.path(), "large", &"#".repeat((4 << 20) + 1), None);
    assert!(faults(large.path(), Profiles::default())[0].contains("wire.toml: is longer than 4194304 bytes"));
    let many: String = (0..=1_000).map(|n| format!("[types.t{n}]\n")).collect();
    assert!(parse_catalog(&many).unwrap_err()[0].detail.contains("more than 1000 types"));
    assert!(faults(&root.path().join("nowhere"), Profiles::default())[0].contains("cannot be read"));
}

#[test]
fn one_folder_is_checked_by_itself() {
    let root = tempfile::tempdir().unwrap();
    profile(root.path(), "acmepay", WIRE, None);
    assert_eq!(check(&root.path().join("acmepay")).unwrap().name().as_str(), "acmepay");
    assert!(check(root.path()).is_err());
}
