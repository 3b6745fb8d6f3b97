//! Whose fault a failure is: faults of ours must be told from the partner's.

use std::sync::atomic::Ordering;
use std::time::Duration;

use postrider_dispatch::resolve::{LOOKUP_TIMEOUT, ResolveError, TRUSTED_FOR};
use postrider_dispatch::{DispatchConfig, Dispatcher, FailureKind, UrlPolicy};

use crate::support::{LONG, Line, Lines, Lookup, Names, found, ip, post_name, strict};

fn unavailable() -> Lookup {
    Lookup::Fails(ResolveError::Unavailable("timed out".into()))
}

#[tokio::test]
async fn what_our_own_kernel_lacks_is_a_local_fault_and_what_comes_from_afar_is_not() {
    let table = [
        (Line::Fails(libc::EMFILE), FailureKind::Local),
        (Line::Fails(libc::ENFILE), FailureKind::Local),
        (Line::Fails(libc::ENOBUFS), FailureKind::Local),
        (Line::Fails(libc::ENOMEM), FailureKind::Local),
        (Line::FailsLater(libc::ENOBUFS), FailureKind::Local),
        (Line::Fails(libc::EADDRNOTAVAIL), FailureKind::Local),
        (Line::Fails(libc::ENETUNREACH), FailureKind::Local),
        (Line::Fails(libc::ENETDOWN), FailureKind::Local),
        (Line::FailsLater(libc::ENETUNREACH), FailureKind::Connect),
        (Line::Fails(libc::ECONNREFUSED), FailureKind::Connect),
        (Line::FailsLater(libc::ECONNREFUSED), FailureKind::Connect),
        (Line::FailsLater(libc::EHOSTUNREACH), FailureKind::Connect),
        (Line::FailsLater(libc::ETIMEDOUT), FailureKind::Connect),
    ];
    for (nth, (line, kind)) in table.into_iter().enumerate() {
        let names = Names::with(&[("a.example", &[found(&["93.184.216.34"])])]);
        let failure = post_name(&strict(&names, &Lines::all(line)), "https://a.example/", LONG)
            .await
            .result
            .unwrap_err();
        assert_eq!((failure.kind, failure.request_sent), (kind, false), "row {nth}: {failure:?}");
        assert!(!failure.detail.contains("93.184"), "nothing of ours in what the tenant reads");
        assert!(failure.operator_detail.unwrap().contains("93.184.216.34:443"));
    }
}

#[tokio::test]
async fn an_ipv6_only_partner_is_no_outage_of_a_host_without_ipv6() {
    let names = Names::with(&[("six.example", &[found(&["2606:4700::1"])])]);
    let line = Line::Fails(libc::ENETUNREACH);
    let failure =
        post_name(&strict(&names, &Lines::all(line)), "https://six.example/", LONG).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connect);

    let policy = UrlPolicy { own_addresses: vec![ip("2a00::1")], ..UrlPolicy::default() };
    let config = DispatchConfig { policy, ..DispatchConfig::default() };
    let dispatcher = Dispatcher::new(config, names, Lines::all(line)).unwrap();
    let failure = post_name(&dispatcher, "https://six.example/", LONG).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Local, "a host with an IPv6 address should have a route");
}

#[tokio::test]
async fn an_address_that_refuses_outweighs_another_one_that_we_cannot_route_to() {
    let names = Names::with(&[("two.example", &[found(&["93.184.216.34", "93.184.216.35"])])]);
    let lines =
        Lines::with(&[("93.184.216.34", Line::Fails(libc::ECONNREFUSED))], Line::Fails(libc::ENETUNREACH));
    let failure = post_name(&strict(&names, &lines), "https://two.example/", LONG).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connect);
    assert_eq!(lines.dialled().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn addresses_that_do_not_answer_share_the_connect_timeout() {
    let names = Names::with(&[("slow.example", &[found(&["93.184.216.34", "93.184.216.35"])])]);
    let lines = Lines::all(Line::Hangs);
    let report = post_name(&strict(&names, &lines), "https://slow.example/", LONG).await;
    let failure = report.result.unwrap_err();
    assert_eq!(
        (failure.kind, failure.detail.as_str()),
        (FailureKind::Connect, "no connection was made within 2500 ms")
    );
    assert_eq!(lines.dialled().len(), 2);
    assert_eq!(report.duration.as_secs(), 5);

    let failure = post_name(&strict(&names, &lines), "https://slow.example/", Duration::from_secs(1))
        .await
        .result
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert_eq!(failure.detail, "no connection within 1000 ms: waiting for the receiver to accept it");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_answers_nobody_is_a_local_fault() {
    for lookup in [unavailable(), Lookup::Hangs] {
        let names = Names::with(&[("a.example", &[lookup])]);
        let report = post_name(&strict(&names, &Lines::all(Line::Hangs)), "https://a.example/", LONG).await;
        let failure = report.result.unwrap_err();
        assert_eq!((failure.kind, failure.request_sent), (FailureKind::Local, false));
        assert!(failure.operator_detail.unwrap().contains("no name resolves"));
        assert!(report.duration <= LOOKUP_TIMEOUT);
        assert_eq!(names.proofs.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a_lack_of_descriptors_for_the_look_up_is_a_local_fault() {
    let lookup = Lookup::Fails(ResolveError::Exhausted("too many open files".into()));
    let names = Names::with(&[("a.example", &[lookup])]);
    let failure = post_name(&strict(&names, &Lines::all(Line::Hangs)), "https://a.example/", LONG)
        .await
        .result
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Local);
}

#[tokio::test(start_paused = true)]
async fn one_name_that_fails_while_others_resolve_is_the_partners_fault() {
    let names =
        Names::with(&[("good.example", &[found(&["93.184.216.34"])]), ("bad.example", &[unavailable()])]);
    let dispatcher = strict(&names, &Lines::all(Line::Fails(libc::ECONNREFUSED)));
    let kind = async |name: &str| {
        post_name(&dispatcher, &format!("https://{name}.example/"), LONG).await.result.unwrap_err().kind
    };
    assert_eq!(kind("good").await, FailureKind::Connect);
    assert_eq!(kind("bad").await, FailureKind::Dns);
    assert_eq!(names.proofs.load(Ordering::Relaxed), 0, "another name has just been resolved");
    tokio::time::advance(TRUSTED_FOR).await;
    assert_eq!(kind("bad").await, FailureKind::Local, "that proves nothing any more, and the proof fails");
    assert_eq!(names.proofs.load(Ordering::Relaxed), 1);
    assert_eq!(kind("bad").await, FailureKind::Local);
    assert_eq!(names.proofs.load(Ordering::Relaxed), 1, "a failed proof stands for a second");
    tokio::time::advance(Duration::from_secs(1)).await;
    names.alive.store(true, Ordering::Relaxed);
    assert_eq!(kind("bad").await, FailureKind::Dns, "the resolver works after all");
    assert_eq!(names.proofs.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_remembered_answer_does_not_prove_that_the_resolver_works() {
    let remembered = Lookup::Remembered(vec![ip("93.184.216.34")]);
    let names = Names::with(&[("good.example", &[remembered]), ("bad.example", &[unavailable()])]);
    let dispatcher = strict(&names, &Lines::all(Line::Fails(libc::ECONNREFUSED)));
    post_name(&dispatcher, "https://good.example/", LONG).await.result.unwrap_err();
    let failure = post_name(&dispatcher, "https://bad.example/", LONG).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Local);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_during_the_look_up_is_ours_only_until_the_resolver_has_proved_itself() {
    let names = Names::with(&[("slow.example", &[Lookup::Hangs])]);
    names.alive.store(true, Ordering::Relaxed);
    let dispatcher = strict(&names, &Lines::all(Line::Hangs));
    let second = Duration::from_secs(1);
    let failure = post_name(&dispatcher, "https://slow.example/", second).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Local, "there was no time to find out");
    let failure = post_name(&dispatcher, "https://slow.example/", second).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout, "meanwhile it was found out");
    assert_eq!(failure.detail, "no connection within 1000 ms: looking up the host name");
}
