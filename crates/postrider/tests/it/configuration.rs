//! `config check` from the outside.

use crate::program::Program;

#[tokio::test]
async fn values_are_shown_with_their_sources_and_secrets_masked() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("postrider.toml"), "retention_days = 7\n").unwrap();
    let ran = Program::new(&["config", "check", "--listen", "127.0.0.1:0"])
        .directory(directory.path())
        .env("POSTRIDER_ADMIN_TOKEN", "hunter2hunter2hunter2hunter2hunter2")
        .env("POSTRIDER_URL", "http://127.0.0.1:1")
        .run()
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let line = |key: &str| {
        let found = ran.out.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap();
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("retention_days"), "retention_days 7 postrider.toml");
    assert_eq!(line("listen"), "listen \"127.0.0.1:0\" flag --listen");
    assert_eq!(line("admin_token"), "admin_token ******** environment variable POSTRIDER_ADMIN_TOKEN");
    assert_eq!(line("breaker.probe_max_s"), "breaker.probe_max_s 300 default");
    assert!(ran.out.ends_with("no faults\n") && !ran.out.contains("hunter2"), "{}", ran.out);
}

#[tokio::test]
async fn all_faults_are_listed_and_the_exit_code_says_so() {
    let ran = Program::new(&["config", "check"])
        .env("POSTRIDER_RETENTION_DAYS", "0")
        .env("POSTRIDER_LISTEN", "nowhere")
        .run()
        .await;
    assert_eq!(ran.code, 2);
    assert_eq!(ran.out.lines().filter(|line| line.starts_with("fault: ")).count(), 2, "{}", ran.out);
    let json = Program::new(&["--json", "config", "check"]).env("POSTRIDER_LOGG", "x").run().await;
    assert_eq!(json.code, 2);
    assert!(json.json()["faults"][0]["message"].as_str().unwrap().contains("did you mean `log`"), "{json:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn an_environment_that_is_not_utf8_is_survived() {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"\xff");
    let ran = Program::new(&["config", "check"]).env_os("ODD", odd).env_os("POSTRIDER_LOG", odd).run().await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.out.contains("fault: log (environment variable POSTRIDER_LOG)"), "{ran:?}");
}
