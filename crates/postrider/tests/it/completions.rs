//! What `completions` prints does complete, where there is the shell.

use std::process::Command;

use crate::program::Program;

/// What bash offers for the last of these words.
fn bash_offers(script: &str, words: &[&str]) -> Vec<String> {
    let last = words.len() - 1;
    let asks = format!(
        "source \"$1\"; COMP_WORDS=({}); COMP_CWORD={last}; COMP_LINE='{}'; _postrider postrider '{}' '{}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.join(" "),
        words[last],
        words[last - 1],
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let ran = Command::new("bash").args(["--norc", "-c", &asks, "bash"]).arg(file.path()).output().unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn bash_completes_commands_options_and_values() {
    let script = Program::new(&["completions", "bash"]).run().await;
    assert_eq!((script.code, script.err.as_str()), (0, ""));
    for (words, offered) in [
        (&["postrider", "deli"][..], &["deliveries"][..]),
        (&["postrider", "endpoints", "ro"], &["rotate"]),
        (&["postrider", "replays", "create", "--dry"], &["--dry-run"]),
        (&["postrider", "deliveries", "list", "--status", "fa"], &["failed"]),
    ] {
        assert_eq!(bash_offers(&script.out, words), offered, "{words:?}");
    }
}

#[tokio::test]
async fn other_shells_have_their_scripts_and_an_unknown_one_is_named() {
    for (shell, begins) in
        [("zsh", "#compdef postrider"), ("fish", "# Print an optspec"), ("elvish", "\nuse builtin;")]
    {
        let ran = Program::new(&["completions", shell]).run().await;
        assert!(ran.code == 0 && ran.out.starts_with(begins), "{shell}: {}", &ran.out[..80]);
    }
    let unknown = Program::new(&["completions", "tcsh"]).run().await;
    assert!(unknown.code == 2 && unknown.err.contains("possible values: bash, elvish, fish"), "{unknown:?}");
}
