//! The order of system calls: no 202 leaves before what it stands for is on the disk.

use std::collections::HashMap;
use std::path::Path;

use serde_json::json;

use crate::harness::{Receiver, Reply, Server, Setup, eventually};

/// What matters of a trace, in the order in which it happened.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// A thread wrote to the log of the database. The text is escaped as strace has it.
    Wrote {
        thread: u32,
        text: String,
    },
    SyncBegan {
        thread: u32,
    },
    SyncReturned {
        thread: u32,
    },
    /// An answer is about to leave.
    Answer {
        text: String,
    },
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_202_leaves_before_an_fdatasync_that_began_after_its_commit_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let calls = "trace=pwrite64,pwritev,pwritev2,write,writev,fdatasync,fsync,sendto,sendmsg,io_uring_enter";
    // -D: the tracer stands aside, and our child is the server itself.
    let mut server = Setup::default()
        .wrapped(&["strace", "-D", "-f", "-y", "-s", "65536", "-e", calls, "-o", trace.to_str().unwrap()])
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.for_each_event(vec![Reply::status(500), Reply::status(204)]);
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    // One at a time, then several at once, with deliveries, outcomes and retries between.
    for n in 0..20 {
        acme.publish(json!({"id": format!("marker-alone-{n}-"), "data": format!("marker-alone-{n}-")})).await;
    }
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let acme = acme.clone();
            let marker = format!("marker-crowd-{n}-");
            tokio::spawn(async move { acme.publish(json!({"id": marker, "data": marker})).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let pid = server.pid();
    server.stop().await;
    let pid = pid.to_string();
    // strace fills a short process id up with spaces.
    let ended =
        |line: &str| line.strip_prefix(&pid).is_some_and(|rest| rest.trim_start() == "+++ exited with 0 +++");
    let text = eventually("the trace is complete", async || {
        Some(std::fs::read_to_string(&trace).unwrap()).filter(|text| text.lines().any(ended))
    })
    .await;
    let steps = read(&text, &server.database());
    let markers =
        (0..20).map(|n| format!("marker-alone-{n}-")).chain((0..40).map(|n| format!("marker-crowd-{n}-")));
    for marker in markers {
        check(&steps, &marker).unwrap_or_else(|fault| panic!("{marker}: {fault}"));
    }
}

/// Whether what is known by a marker was answered for only when it was on the disk.
fn check(steps: &[Step], marker: &str) -> Result<(), &'static str> {
    let answered =
        |step: &Step| matches!(step, Step::Answer { text } if text.contains("202") && text.contains(marker));
    let answered = steps.iter().position(answered).ok_or("it was never answered")?;
    let before = &steps[..answered];
    let written = before.iter().enumerate().find_map(|(i, step)| match step {
        Step::Wrote { thread, text } if text.contains(marker) => Some((i, *thread)),
        _ => None,
    });
    let (written, thread) = written.ok_or("it was not written before the answer")?;
    // A writer writes all of a commit before it syncs: the next sync of that thread began after the commit's last write.
    let next =
        |from: usize, wanted: Step| before[from..].iter().position(|step| *step == wanted).map(|n| n + from);
    let began = next(written, Step::SyncBegan { thread })
        .ok_or("no sync began between its writing and the answer")?;
    next(began, Step::SyncReturned { thread }).ok_or("its sync had not returned when the answer left")?;
    Ok(())
}

#[test]
fn a_trace_in_which_an_answer_is_early_is_found_out() {
    let write = r#"7 pwrite64(9</d/p.db-wal>, "marker-1-", 9, 0) = 9"#;
    let (began, returned) =
        ("7 fdatasync(9</d/p.db-wal> <unfinished ...>", "7 <... fdatasync resumed>)      = 0");
    let sync = "7 fdatasync(9</d/p.db-wal>)             = 0";
    let of_another = "8 fdatasync(9</d/p.db-wal>)             = 0";
    let answer = r#"6 sendto(12<socket:[1]>, "HTTP/1.1 202 Accepted\r\n\r\n{\"id\":\"marker-1-\"", 80, 0, NULL, 0) = 80"#;
    let judge = |lines: &[&str]| check(&read(&lines.join("\n"), Path::new("/d/p.db")), "marker-1-").is_ok();
    assert!(judge(&[write, sync, answer]));
    assert!(judge(&[write, began, of_another, returned, answer]));
    for early in [
        &[answer, write, sync][..],
        &[write, answer, sync],
        &[sync, write, answer],
        &[write, began, answer, returned],
        &[began, returned, write, answer],
        &[write, of_another, answer, sync],
        &[write, sync],
    ] {
        assert!(!judge(early), "{early:?}");
    }
}

/// Reads what strace wrote. Lines stand in the order in which calls begin; a call that others come between is in two
/// parts, of which the second stands where it returns.
fn read(text: &str, database: &Path) -> Vec<Step> {
    let log = format!("{}-wal>", database.display());
    let mut steps = Vec::new();
    let mut syncing: HashMap<u32, bool> = HashMap::new();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Ok(thread) = thread.parse::<u32>() else { continue };
        let call = call.trim_start();
        let complete = !call.ends_with("<unfinished ...>");
        if call.starts_with("<... fdatasync resumed>") || call.starts_with("<... fsync resumed>") {
            assert!(call.ends_with("= 0"), "{line}");
            if syncing.remove(&thread).is_some() {
                steps.push(Step::SyncReturned { thread });
            }
            continue;
        }
        let on_log = call.contains(&log);
        match call.split('(').next().unwrap_or_default() {
            "fdatasync" | "fsync" if on_log => {
                steps.push(Step::SyncBegan { thread });
                if complete {
                    assert!(call.ends_with("= 0"), "{line}");
                    steps.push(Step::SyncReturned { thread });
                } else {
                    syncing.insert(thread, true);
                }
            }
            "pwrite64" | "pwritev" | "pwritev2" | "write" | "writev" if on_log => {
                steps.push(Step::Wrote { thread, text: call.to_owned() });
            }
            "write" | "writev" | "sendto" | "sendmsg" if call.contains("HTTP/1.1 202") => {
                steps.push(Step::Answer { text: call.to_owned() });
            }
            "io_uring_enter" => panic!("calls of another kind, which this test does not follow: {line}"),
            _ => {}
        }
    }
    assert!(!steps.is_empty(), "nothing was traced");
    steps
}

#[tokio::test]
async fn what_a_receiver_gets_was_durable_before() {
    // Each request is looked up in the database of a copy taken while it is answered.
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let database = server.database();
    let copies = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = copies.clone();
    receiver.script(move |request| {
        let log = std::fs::read(format!("{}-wal", database.display())).unwrap_or_default();
        let main = std::fs::read(&database).unwrap_or_default();
        let needle = request.event().as_bytes().to_vec();
        let found = [main, log].iter().any(|bytes| crate::harness::wire::find(bytes, &needle).is_some());
        kept.lock().unwrap().push((request.event().to_owned(), found));
        Reply::status(204)
    });
    for n in 0..10 {
        acme.publish(json!({"id": format!("durable-before-{n}-")})).await;
    }
    receiver.wait_for(10).await;
    for (event, found) in copies.lock().unwrap().iter() {
        assert!(*found, "{event} left before it was written");
    }
}
