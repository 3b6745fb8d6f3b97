//! Starts that must be refused, with a message that says what to do, and files that must not be touched by them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Server, Setup, within};

/// Starts a server that is expected to give up.
pub(super) async fn refused(setup: &Setup, database: &Path) -> Output {
    let mut child = setup.command(database).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = within(Duration::from_secs(10), "the server gives up", async || child.try_wait().unwrap());
    let status = ended.await;
    let output = child.wait_with_output().unwrap();
    assert!(status.code().is_some_and(|code| code != 0), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    output
}

pub(super) fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn abuse_a66_a_second_server_on_the_same_file_is_refused_and_the_first_one_goes_on() {
    let mut server = Server::start().await;
    let acme = server.tenant("acme").await;
    let output = refused(server.setup(), &server.database()).await;
    let said = message(&output);
    assert!(said.contains("postrider.db"), "{said}");
    assert!(["use", "another", "lock"].iter().any(|word| said.contains(word)), "{said}");
    acme.publish(json!({})).await;
    // A link to it is the same file.
    let link = server.database().with_file_name("link.db");
    std::os::unix::fs::symlink(server.database(), &link).unwrap();
    refused(server.setup(), &link).await;
    // After a crash the file is free at once.
    server.kill();
    server.start_again().await;
    server.api().get("/v1/tenants/acme").await.ok(200);
}

#[tokio::test]
async fn abuse_a62_a_corrupted_file_is_refused_with_a_clear_message_and_left_as_it_is() {
    let mut server = Server::start().await;
    let acme = server.tenant("acme").await;
    for _ in 0..20 {
        acme.publish(json!({})).await;
    }
    server.stop().await;
    let sound = std::fs::read(server.database()).unwrap();
    let mut torn_header = sound.clone();
    torn_header[..16].copy_from_slice(b"SQLite format 9\0");
    let mut torn_page = sound.clone();
    for page in torn_page[4_096..].chunks_mut(4_096) {
        page[..64].fill(0xA5);
    }
    for (name, bytes) in [
        (
            "text",
            b"this is a shopping list, not a database; it is somebody's file and must stay so\n".repeat(20),
        ),
        ("header", torn_header),
        ("pages", torn_page),
        ("truncated", sound[..sound.len() / 2 + 100].to_vec()),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("postrider.db");
        std::fs::write(&file, &bytes).unwrap();
        let output = refused(server.setup(), &file).await;
        let said = message(&output);
        assert!(said.contains("postrider.db"), "{name}: {said}");
        assert!(!said.contains("panicked"), "{name}: {said}");
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "{name}: the file was touched");
    }
}

#[tokio::test]
async fn abuse_a62_a_file_that_cannot_be_written_is_refused_and_left_as_it_is() {
    let mut server = Server::start().await;
    server.tenant("acme").await;
    server.stop().await;
    let before = std::fs::read(server.database()).unwrap();
    std::fs::set_permissions(server.database(), std::fs::Permissions::from_mode(0o400)).unwrap();
    // Root writes to any file, unless it gives that right up first.
    let may_all = std::fs::OpenOptions::new().append(true).open(server.database()).is_ok();
    let setup = if may_all {
        server.setup().clone().wrapped(&[
            "setpriv",
            "--bounding-set=-dac_override",
            "--inh-caps=-dac_override",
        ])
    } else {
        server.setup().clone()
    };
    let said = message(&refused(&setup, &server.database()).await);
    assert!(said.contains("postrider.db") && said.contains("writ"), "{said}");
    assert_eq!(std::fs::read(server.database()).unwrap(), before);
    // A directory in the place of the file, and a directory that does not exist.
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("a-directory")).unwrap();
    for path in [directory.path().join("a-directory"), directory.path().join("none/postrider.db")] {
        let mut command = server.setup().command(&path);
        command.current_dir(directory.path());
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert!(!output.status.success());
        assert!(message(&output).contains(&*path.to_string_lossy()), "{}", message(&output));
    }
}

#[tokio::test]
async fn for_development_it_listens_on_loopback_alone() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("postrider.db");
    for address in ["0.0.0.0:0", "[::]:0"] {
        let output = refused(&Setup::default().listening(address), &database).await;
        let said = message(&output);
        assert!(said.contains("dev") && said.contains("127.0.0.1"), "{said}");
        assert!(!database.exists(), "nothing was made");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_and_the_database_not_touched() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("postrider.db");
    let said = message(&refused(&Setup::default().listening(&address), &database).await);
    assert!(said.contains(&address), "{said}");
    assert!(!database.exists());
}

#[tokio::test]
async fn all_faults_of_the_configuration_are_named_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let setup =
        Setup::default().set("RETRY_JITTER", "7").set("ADMIN_TOKEN", "short").set("WINDOW_ENTRIES", "many");
    let said = message(&refused(&setup, &directory.path().join("postrider.db")).await);
    for key in ["retry_jitter", "admin_token", "window_entries"] {
        assert!(said.contains(key), "{key}: {said}");
    }
    assert!(!said.contains("short"), "a secret is not repeated: {said}");
}
