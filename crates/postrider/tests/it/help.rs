//! What `--help` says changes only on purpose.

use crate::program::Program;

#[tokio::test]
async fn help_says_what_there_is() {
    let mut all = String::new();
    for command in [
        &[][..],
        &["events", "publish"],
        &["event-types", "put"],
        &["subjects", "put"],
        &["events", "list"],
        &["endpoints"],
        &["endpoints", "create"],
        &["endpoints", "list"],
        &["feed"],
        &["endpoints", "put"],
        &["endpoints", "update"],
        &["endpoints", "match"],
        &["endpoints", "rotate"],
        &["deliveries", "list"],
        &["replays", "create"],
        &["tenants"],
        &["tenants", "put"],
        &["tokens", "create"],
        &["verify"],
        &["receiver"],
        &["bench"],
        &["config", "check"],
        &["completions"],
    ] {
        let args: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        // The width of lines is the terminal's; without one it is fixed.
        let ran = Program::new(&args).env("COLUMNS", "110").run().await;
        assert_eq!(ran.code, 0, "{ran:?}");
        all.push_str(&format!("$ postrider {}\n{}\n", args.join(" "), ran.out));
    }
    insta::assert_snapshot!(all);
}
