//! `profile` from the outside.

use std::fs;

use crate::program::Program;

const WIRE: &str = "description = \"Ours\"\nbody = { shape = \"raw\" }\n";

#[tokio::test]
async fn profiles_are_listed_and_shown_with_those_of_a_folder() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("northpay");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("wire.toml"), WIRE).unwrap();
    fs::write(folder.join("catalog.toml"), "[types.\"a.b\"]\nexample = '{\"n\": 1.50}'\n").unwrap();
    let dir = root.path().display().to_string();
    let run = async |args: &[&str]| {
        Program::new(args).directory(root.path()).env("POSTRIDER_PROFILES_DIR", &dir).run().await
    };

    let listed = run(&["profile", "list"]).await;
    assert_eq!(listed.code, 0, "{listed:?}");
    let first: Vec<&str> = listed.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(
        first,
        ["PROFILE", "clevercards", "fourpay", "mcards", "northpay", "opencard", "penny", "standard"]
    );
    let shown = run(&["profile", "show", "northpay"]).await;
    assert!(shown.out.starts_with(WIRE) && shown.out.contains("a.b"), "{shown:?}");
    let json = run(&["--json", "profile", "show", "mcards"]).await.json();
    assert_eq!((&json["name"], json["types"].as_array().unwrap().len()), (&"mcards".into(), 9));
    assert!(json["declaration"].as_str().unwrap().contains("webhook_event_type"));
    assert_eq!(run(&["profile", "show", "nobody"]).await.code, 1);

    // A folder that cannot be used is told by every command that looks at it.
    fs::write(folder.join("wire.toml"), "body = { shape = \"rwa\" }\n").unwrap();
    for command in [&["profile", "list"][..], &["config", "check"]] {
        let ran = run(command).await;
        let told = format!("{}{}", ran.out, ran.err);
        assert!(ran.code == 2 && told.contains("northpay/wire.toml: line 1: body.shape"), "{ran:?}");
    }
}

#[tokio::test]
async fn a_folder_is_checked_before_a_start() {
    let root = tempfile::tempdir().unwrap();
    let folder = |name: &str| root.path().join(name).display().to_string();
    for name in ["northpay", "mcards"] {
        fs::create_dir(folder(name)).unwrap();
        fs::write(root.path().join(name).join("wire.toml"), WIRE).unwrap();
    }
    let good = Program::new(&["profile", "check", &folder("northpay")]).run().await;
    assert_eq!((good.code, &*good.out), (0, "profile northpay has no faults\n"), "{good:?}");
    let taken = Program::new(&["profile", "check", &folder("mcards")]).run().await;
    assert!(taken.code == 1 && taken.out.contains("is there already"), "{taken:?}");
    fs::write(root.path().join("northpay/wire.toml"), "colour = 1\n").unwrap();
    let bad = Program::new(&["--json", "profile", "check", &folder("northpay")]).run().await;
    let faults = bad.json()["faults"].clone();
    assert_eq!((bad.code, faults.as_array().unwrap().len()), (1, 2), "{bad:?}");
    assert_eq!((&faults[1]["line"], &faults[1]["key"]), (&1.into(), &"colour".into()));
}
