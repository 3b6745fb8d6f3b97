use serde_json::{Value, json};

use super::*;
use crate::fault::Fault;

const FRESH: [u8; 24] = [7; 24];
const URL: &str = "https://partner.example/hook";

fn create(body: &Value) -> Result<EndpointConfig, ParseError> {
    EndpointConfig::parse_create(body.to_string().as_bytes(), FRESH)
}

fn with(field: &str, value: Value) -> Value {
    let mut body = json!({ "url": URL });
    body[field] = value;
    body
}

fn pointers(result: Result<EndpointConfig, ParseError>) -> Vec<String> {
    result.unwrap_err().faults().iter().map(|f| f.pointer.clone()).collect()
}

fn patch(config: &EndpointConfig, patch: Value) -> Result<EndpointConfig, ParseError> {
    config.apply_patch(patch.to_string().as_bytes())
}

fn replace(config: &EndpointConfig, body: Value) -> Result<EndpointConfig, ParseError> {
    config.replace_judged(body.to_string().as_bytes(), &Terms::standard())
}

fn oauth2(rest: Value) -> Value {
    let mut auth = json!({
        "type": "oauth2", "token_url": "https://login.example/token", "client_id": "ada", "client_secret": "hunter2",
    });
    rest.as_object().unwrap().iter().for_each(|(name, value)| auth[name] = value.clone());
    auth
}

fn full() -> EndpointConfig {
    create(&json!({
        "url": URL, "name": "till", "description": "the shop's till", "event_types": ["card.*", "account.topup"],
        "enabled": false, "auth": {"type": "basic", "username": "ada", "password": "hunter2"},
        "headers": {"X-My-App-Id": "7"}, "profile": "standard", "ordering": "key", "hold_max_s": 60, "timeout_ms": 5000,
        "rate_limit": {"per_second": 50}, "max_in_flight": 4, "retry": {"schedule_s": [5, 300]}, "metadata": {"a": "b"},
    }))
    .unwrap()
}

#[test]
fn an_endpoint_needs_no_more_than_a_url() {
    let endpoint = create(&json!({ "url": URL })).unwrap();
    assert_eq!(endpoint.secret, Some(SigningSecret::generate(FRESH)));
    assert_eq!(endpoint.event_types, [Pattern::All]);
    assert!(endpoint.enabled && endpoint.auth == Auth::None && endpoint.schedule.is_none());
    assert_eq!(
        (endpoint.timeout.as_millis(), endpoint.hold_max.as_secs(), endpoint.max_in_flight),
        (15_000, 3_600, 16)
    );
    let default: Arc<[Duration]> = Arc::from([Duration::from_secs(9)]);
    assert_eq!(endpoint.schedule_or(Some(Profile::standard()), &default), &default);
    let policy = full().policy(3, &Profiles::default(), &default);
    assert_eq!((policy.version, policy.ordered, policy.per_second), (3, true, Some(50)));
    assert_eq!(&*policy.schedule, &[Duration::from_secs(5), Duration::from_secs(300)]);
}

#[test]
fn it_is_stored_in_two_documents_and_read_back() {
    let mut endpoint = full();
    for auth in [
        Auth::None,
        Auth::Basic { username: "ada".into(), password: crate::secret::Secret::new("hunter2") },
        Auth::Bearer { token: crate::secret::Secret::new("hunter2") },
        Auth::ApiKey { header: "X-Key".into(), value: crate::secret::Secret::new("hunter2") },
        create(&with("auth", oauth2(json!({})))).unwrap().auth,
        create(&with("auth", oauth2(json!({"scope": "a b", "audience": "c", "credentials_in": "basic"}))))
            .unwrap()
            .auth,
    ] {
        endpoint.auth = auth;
        let mut rotated = endpoint.clone();
        let until = Timestamp::from_millis(1_763_000_000_123);
        let old = |n| (SigningSecret::generate([n; 24]), until);
        rotated.previous_secrets = vec![old(8), old(9), old(10)];
        let doc = String::from_utf8(rotated.to_doc().to_vec()).unwrap();
        assert!(!doc.contains("hunter2") && !doc.contains("whsec_"), "{doc}");
        assert_eq!(
            EndpointConfig::from_stored(doc.as_bytes(), rotated.secrets().as_bytes()).unwrap(),
            rotated
        );
        // Who does without the secrets sees the same.
        let (public, schedule) = (PublicConfig::from_stored(doc.as_bytes()).unwrap(), [].into());
        assert_eq!(public.view(), rotated.public_view());
        assert_eq!(
            public.policy(3, &Profiles::default(), &schedule),
            rotated.policy(3, &Profiles::default(), &schedule)
        );
        assert!(!format!("{public:?}").contains("whsec_"));
    }
    for (doc, secrets) in
        [("{}", "{}"), ("{", "{}"), (r#"{"url":"https://a"}"#, "{}"), (r#"{"later":1}"#, "{}")]
    {
        assert!(EndpointConfig::from_stored(doc.as_bytes(), secrets.as_bytes()).is_err());
    }
}

#[test]
fn secrets_are_neither_shown_nor_debugged() {
    let view = json!(full().public_view());
    assert_eq!(view["auth"], json!({"type": "basic", "username": "ada", "password_set": true}));
    assert_eq!(view["secret_set"], json!(true));
    assert_eq!(view["rate_limit"], json!({"per_second": 50}));
    assert_eq!(view["retry"], json!({"schedule_s": [5, 300]}));
    for shown in [view.to_string(), format!("{:?}", full())] {
        assert!(!shown.contains("hunter2") && !shown.contains("whsec_"), "{shown}");
    }
}

#[test]
fn a_secret_that_was_rotated_away_stays_until_another_secret_is_given() {
    let mut rotated = full();
    rotated.previous_secrets = vec![(SigningSecret::generate([8; 24]), Timestamp::from_secs(1_000))];
    assert_eq!(patch(&rotated, json!({"name": "x"})).unwrap().previous_secrets, rotated.previous_secrets);
    let put = replace(&rotated, json!({ "url": URL })).unwrap();
    assert_eq!(
        (put.secret, put.previous_secrets),
        (rotated.secret.clone(), rotated.previous_secrets.clone())
    );
    let given = json!({ "url": URL, "secret": SigningSecret::generate([9; 24]).reveal() });
    assert_eq!(patch(&rotated, given.clone()).unwrap().previous_secrets, []);
    assert_eq!(replace(&rotated, given).unwrap().previous_secrets, []);
}

#[test]
fn a_secret_that_the_first_version_rotated_away_is_read() {
    let endpoint = full();
    let old = SigningSecret::generate([8; 24]);
    let mut secrets: Value = serde_json::from_str(&endpoint.secrets()).unwrap();
    secrets["previous"] = json!({"secret": old.reveal(), "until": 1_763_000_000_000_000_i64});
    let read = EndpointConfig::from_stored(&endpoint.to_doc(), secrets.to_string().as_bytes()).unwrap();
    assert_eq!(read.previous_secrets, [(old, Timestamp::from_secs(1_763_000_000))]);
    for damaged in [json!(7), json!({"secret": "", "until": 1}), json!([{"until": 1}])] {
        secrets["previous"] = damaged;
        assert!(EndpointConfig::from_stored(&endpoint.to_doc(), secrets.to_string().as_bytes()).is_err());
    }
}

#[test]
fn rotating_again_keeps_the_newest_secrets_that_still_sign() {
    let secret = |n: u8| SigningSecret::generate([n; 24]);
    let rotation = |n: u8, overlap_s: u32| {
        Rotation::parse(
            json!({"secret": secret(n).reveal(), "overlap_s": overlap_s}).to_string().as_bytes(),
            FRESH,
            Profile::standard().secret(),
        )
        .unwrap()
    };
    let at = Timestamp::from_secs;
    let mut endpoint = create(&json!({"url": URL, "secret": secret(1).reveal()})).unwrap();
    for (n, now, overlap_s, previous) in [
        (2, 0, 100, vec![(1, 100)]),
        (3, 10, 50, vec![(2, 60), (1, 100)]),
        (4, 20, 500, vec![(3, 520), (2, 60), (1, 100)]),
        (5, 30, 500, vec![(4, 530), (3, 520), (2, 60)]),
        // What ended is gone, and what comes back is not old any more.
        (3, 100, 500, vec![(5, 600), (4, 530)]),
        (6, 200, 0, vec![]),
    ] {
        endpoint = endpoint.rotate(&rotation(n, overlap_s), at(now)).unwrap();
        let previous: Vec<_> = previous.into_iter().map(|(n, until)| (secret(n), at(until))).collect();
        assert_eq!(
            (&endpoint.secret, &endpoint.previous_secrets),
            (&Some(secret(n)), &previous),
            "rotated to {n}"
        );
    }
    assert_eq!(pointers(endpoint.rotate(&rotation(6, 0), at(300))), ["/secret"]);
    let made = Rotation::parse(b"{}", FRESH, Profile::standard().secret()).unwrap();
    assert_eq!((made.secret, made.overlap.as_secs()), (SigningSecret::generate(FRESH), 86_400));
    for bad in [
        json!({"overlap_s": 604_801}),
        json!({"overlap_s": -1}),
        json!({"secret": "whsec_"}),
        json!({"overlap": 1}),
    ] {
        assert!(
            Rotation::parse(bad.to_string().as_bytes(), FRESH, Profile::standard().secret()).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn what_is_absent_goes_to_its_default_in_a_replacement_and_secrets_stay() {
    let mut endpoint = full();
    endpoint.filters = create(&with("filters", json!({"attributes": {"a": [1]}}))).unwrap().filters;
    let bare = replace(&endpoint, json!({ "url": URL })).unwrap();
    assert_eq!(
        bare,
        EndpointConfig { secret: endpoint.secret.clone(), ..create(&json!({ "url": URL })).unwrap() }
    );
    let basic = |rest: Value| {
        let mut auth = json!({"type": "basic", "username": "bob"});
        rest.as_object().unwrap().iter().for_each(|(name, value)| auth[name] = value.clone());
        json!({"url": URL, "auth": auth})
    };
    let password = |text: &str| crate::secret::Secret::new(text);
    for (body, expected) in [
        (basic(json!({})), password("hunter2")),
        (basic(json!({"password": null})), password("hunter2")),
        (basic(json!({"password": "new"})), password("new")),
    ] {
        assert_eq!(
            replace(&endpoint, body).unwrap().auth,
            Auth::Basic { username: "bob".into(), password: expected }
        );
    }
    for (body, expected) in [
        (json!({}), vec!["/url"]),
        (json!({"url": URL, "auth": {"type": "basic"}}), vec!["/auth/username"]),
        (json!({"url": URL, "auth": {"type": "bearer"}}), vec!["/auth/token"]),
        (
            json!({"url": URL, "nmae": null, "auth": {"type": "none", "username": null}}),
            vec!["/auth/username", "/nmae"],
        ),
        (json!({"url": URL, "timeout_ms": 0, "secret": "x"}), vec!["/secret", "/timeout_ms"]),
        (json!([]), vec![""]),
    ] {
        assert_eq!(pointers(replace(&endpoint, body.clone())), expected, "{body}");
    }
    assert!(replace(&endpoint, json!({"url": URL, "secret": null})).unwrap().secret == endpoint.secret);
}

#[test]
fn filters_are_stored_shown_and_patched_with_their_numbers_as_written() {
    let text = r#"{"attributes":{"party":["556",1.50]},"data":[{"pointer":"/amount","op":"gte","value":12345678901234567890.10}]}"#;
    let body = format!(r#"{{"url":"{URL}","filters":{text}}}"#);
    let endpoint = EndpointConfig::parse_create(body.as_bytes(), FRESH).unwrap();
    let shown =
        |endpoint: &EndpointConfig| serde_json::to_string(&endpoint.public_view()["filters"]).unwrap();
    assert_eq!(shown(&endpoint), text);
    assert_eq!(
        EndpointConfig::from_stored(&endpoint.to_doc(), endpoint.secrets().as_bytes()).unwrap(),
        endpoint
    );
    assert_eq!(endpoint.policy(1, &Profiles::default(), &Arc::from([])).filters, endpoint.filters);
    for (change, expected) in [
        (r#"{"name":"x"}"#, text),
        (
            r#"{"filters":{"attributes":{"party":null,"kind":[1e999999]},"data":null}}"#,
            r#"{"attributes":{"kind":[1e999999]},"data":[]}"#,
        ),
        (r#"{"filters":{"data":[]}}"#, r#"{"attributes":{"party":["556",1.50]},"data":[]}"#),
        (r#"{"filters":{"attributes":null,"data":[]}}"#, "null"),
        (r#"{"filters":null}"#, "null"),
    ] {
        assert_eq!(shown(&endpoint.apply_patch(change.as_bytes()).unwrap()), expected, "{change}");
    }
    for (change, expected) in [
        (r#"{"filters":{"atributes":null}}"#, "/filters/atributes"),
        (r#"{"filters":{"data":{}}}"#, "/filters/data"),
        (r#"{"filters":[]}"#, "/filters"),
        (r#"{"filters":{"data":[{"pointer":"/a","op":"eq","value":1,"op":"ne"}]}}"#, "/filters/data/0/op"),
    ] {
        assert_eq!(pointers(endpoint.apply_patch(change.as_bytes())), [expected], "{change}");
    }
}

#[test]
fn abuse_a02_all_faults_of_an_endpoint_come_at_once() {
    let body = json!({
        "uri": URL, "event_types": ["card.*", "card*", 7], "enabled": "yes", "auth": {"type": "basic", "username": "a:b"},
        "headers": {"Host": "x"}, "timeout_ms": 0, "retry": {"schedule_s": [0], "max": 3}, "profile": "mcards",
        "metadata": {"a": 1},
    });
    assert_eq!(
        pointers(create(&body)),
        [
            "/url",
            "/event_types/1",
            "/event_types/2",
            "/enabled",
            "/auth/username",
            "/auth/password",
            "/profile",
            "/headers/Host",
            "/timeout_ms",
            "/retry/schedule_s/0",
            "/retry/max",
            "/metadata/a",
            "/uri",
        ]
    );
    for later in ["decision", "id", "state"] {
        assert_eq!(pointers(create(&with(later, json!([])))), [format!("/{later}")]);
    }
    let body = format!(r#"{{"url":"{URL}","auth":{{"type":"none","type":"none"}},"url":"{URL}"}}"#);
    assert_eq!(pointers(EndpointConfig::parse_create(body.as_bytes(), FRESH)), ["/url", "/auth/type"]);
}

#[test]
fn abuse_a84_every_limit_has_a_range_that_its_fault_names() {
    for (field, bad, good, range) in [
        (
            "timeout_ms",
            vec![json!(0), json!(99), json!(60_001), json!(-1), json!(1.5)],
            vec![json!(100), json!(60_000)],
            "100 to 60000",
        ),
        (
            "max_in_flight",
            vec![json!(0), json!(1_001), json!(1e9)],
            vec![json!(1), json!(1_000)],
            "1 to 1000",
        ),
        ("hold_max_s", vec![json!(0), json!(604_801)], vec![json!(1), json!(604_800)], "1 to 604800"),
        (
            "rate_limit",
            vec![json!({"per_second": 0}), json!({"per_second": 1e9}), json!({"per_second": 0.5})],
            vec![json!({"per_second": 1}), json!({"per_second": 10_000.0})],
            "1 to 10000",
        ),
        (
            "retry",
            vec![json!({"schedule_s": [0]}), json!({"schedule_s": [604_801]})],
            vec![json!({"schedule_s": []}), json!({"schedule_s": vec![604_800; 50]})],
            "1 to 604800",
        ),
        (
            "retry",
            vec![json!({"schedule_s": vec![1; 51]}), json!({"schedule_s": vec![0; 100_000]})],
            vec![json!({})],
            "50 are allowed",
        ),
        ("event_types", vec![json!(vec!["a"; 51])], vec![json!([]), json!(vec!["a"; 50])], "50 are allowed"),
    ] {
        for value in good {
            assert!(create(&with(field, value.clone())).is_ok(), "{field} {value}");
        }
        for value in bad {
            let error = create(&with(field, value)).unwrap_err();
            let [Fault { pointer, detail, .. }] = error.faults() else { panic!("{error}") };
            assert!(
                pointer.starts_with(&format!("/{field}")) && detail.contains(range),
                "{pointer} {detail}"
            );
        }
    }
    let headers = |n: usize| Value::Object((0..n).map(|i| (format!("X-{i}"), json!("v"))).collect());
    let metadata =
        |n: usize, text: &str| Value::Object((0..n).map(|i| (format!("m{i}"), json!(text))).collect());
    assert!(
        create(&with("headers", headers(32))).is_ok() && create(&with("metadata", metadata(50, "x"))).is_ok()
    );
    assert_eq!(pointers(create(&with("headers", headers(33)))), ["/headers"]);
    assert_eq!(pointers(create(&with("headers", headers(10_000)))), ["/headers"]);
    assert_eq!(pointers(create(&with("metadata", metadata(51, "x")))), ["/metadata"]);
    assert_eq!(pointers(create(&with("metadata", metadata(2, &"x".repeat(5_000))))), ["/metadata/m1"]);
}

#[test]
fn abuse_a12_a30_texts_are_bounded_and_plain() {
    let long = |n: usize| json!("é".repeat(n));
    assert!(create(&with("name", long(256))).is_ok() && create(&with("description", long(2_048))).is_ok());
    for (field, bad) in [
        ("name", long(257)),
        ("name", json!("")),
        ("name", json!("a\nb")),
        ("name", json!("a\u{202e}b")),
        ("name", json!(7)),
        ("description", long(2_049)),
        ("description", json!("\0")),
        ("url", json!("")),
        ("url", json!("a".repeat(2_049))),
        ("url", json!("https://a\n.b")),
        ("url", json!(["https://a"])),
        ("metadata", json!({"a\nb": "c"})),
        ("metadata", json!([])),
    ] {
        let found = pointers(create(&with(field, bad.clone())));
        assert!(found.len() == 1 && found[0].starts_with(&format!("/{field}")), "{field} {found:?}");
    }
}

#[test]
fn abuse_a36_a93_headers_and_credentials_cannot_split_or_reroute_a_request() {
    let basic = |u: &str, p: &str| json!({"type": "basic", "username": u, "password": p});
    let key = |h: &str, v: &str| json!({"type": "api_key", "header": h, "value": v});
    for (auth, pointer) in [
        (basic("a:b", "x"), "/auth/username"),
        (basic("a\r\nb", "x"), "/auth/username"),
        (basic("", "x"), "/auth/username"),
        (basic("a", "x\r\ny"), "/auth/password"),
        (basic("a", "x\0"), "/auth/password"),
        (json!({"type": "bearer", "token": "a\nb"}), "/auth/token"),
        (json!({"type": "bearer", "token": ""}), "/auth/token"),
        (json!({"type": "bearer", "token": "a".repeat(4_001)}), "/auth/token"),
        (json!({"type": "bearer", "token": "t", "username": "a"}), "/auth/username"),
        (key("Host", "x"), "/auth/header"),
        (key("Cookie", "x"), "/auth/header"),
        (key("Proxy-Authorization", "x"), "/auth/header"),
        (key("Content-Type", "x"), "/auth/header"),
        (key("X-Forwarded-For", "x"), "/auth/header"),
        (key("webhook-signature", "x"), "/auth/header"),
        (key("X-Key", "a\r\nHost: b"), "/auth/value"),
        (json!({"type": "oauth1", "token_url": "https://a"}), "/auth/type"),
        (json!({}), "/auth/type"),
        (json!("none"), "/auth"),
    ] {
        let found = pointers(create(&with("auth", auth.clone())));
        assert_eq!(found[0], pointer, "{auth}");
    }
    let mut both = with("auth", key("X-Key", "x"));
    both["headers"] =
        json!({"x-key": "y", "X-A": "1", "x-a": "2", "Authorization": "Bearer t", "X-B": "a\nb"});
    let mut found = pointers(create(&both));
    found.sort();
    assert_eq!(found, ["/headers/Authorization", "/headers/X-B", "/headers/x-a", "/headers/x-key"]);
}

#[test]
fn faults_never_hold_the_value() {
    for body in [
        with("auth", json!({"type": "basic", "username": "hunter2:", "password": "hunter2\n"})),
        with("auth", json!({"type": "hunter2", "password": "hunter2"})),
        with("secret", json!("hunter2")),
        with("headers", json!({"X-A": "hunter2\n"})),
        with("metadata", json!({"a": "hunter2\n"})),
    ] {
        assert!(!create(&body).unwrap_err().to_string().contains("hunter2"), "{body}");
    }
}

#[test]
fn a_patch_changes_what_it_names_and_leaves_the_rest() {
    let endpoint = full();
    assert_eq!(patch(&endpoint, json!({})).unwrap(), endpoint);
    let patched = patch(
        &endpoint,
        json!({"name": null, "timeout_ms": null, "rate_limit": null, "retry": null, "auth": {"username": "bob"},
               "headers": {"X-My-App-Id": null, "X-B": "1"}, "event_types": ["a"], "enabled": true, "metadata": null}),
    )
    .unwrap();
    assert_eq!(
        (patched.name.as_deref(), patched.timeout.as_millis(), patched.per_second),
        (None, 15_000, None)
    );
    let password = crate::secret::Secret::new("hunter2");
    assert_eq!(patched.auth, Auth::Basic { username: "bob".into(), password });
    assert_eq!(&*patched.headers, [(Box::from("X-B"), Box::from("1"))]);
    assert_eq!(patched.secret, endpoint.secret);
    assert_eq!(patched.description, endpoint.description);
    assert!(patched.metadata.is_empty() && patched.schedule.is_none() && patched.enabled);
}

#[test]
fn another_type_of_auth_replaces_all_of_it_and_null_removes_it() {
    let endpoint = full();
    let bearer = patch(&endpoint, json!({"auth": {"type": "bearer", "token": "t"}})).unwrap();
    assert_eq!(bearer.auth.kind(), "bearer");
    assert!(!bearer.secrets().contains("hunter2"));
    assert_eq!(patch(&endpoint, json!({"auth": null})).unwrap().auth, Auth::None);
    assert_eq!(patch(&endpoint, json!({"auth": {"type": "none"}})).unwrap().auth, Auth::None);
    assert_eq!(pointers(patch(&endpoint, json!({"auth": {"type": "bearer"}}))), ["/auth/token"]);
    assert_eq!(pointers(patch(&endpoint, json!({"auth": {"password": null}}))), ["/auth/password"]);
}

#[test]
fn abuse_a02_a_patch_with_typos_is_refused_even_where_it_removes() {
    let endpoint = full();
    for (bad, expected) in [
        (json!({"nmae": null}), vec!["/nmae"]),
        (
            json!({"auth": {"pasword": null}, "retry": {"x": null}, "timeout_ms": 1}),
            vec!["/auth/pasword", "/timeout_ms", "/retry/x"],
        ),
        (json!({"secret": null, "url": null}), vec!["/secret", "/url"]),
        (json!([]), vec![""]),
        (json!({"id": "ep_x", "secret_set": true}), vec!["/id", "/secret_set"]),
    ] {
        assert_eq!(pointers(patch(&endpoint, bad.clone())), expected, "{bad}");
    }
    assert_eq!(
        pointers(endpoint.apply_patch(br#"{"auth":{"username":"a","username":"b"}}"#)),
        ["/auth/username"]
    );
    let deep = format!("{{\"metadata\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(matches!(endpoint.apply_patch(deep.as_bytes()), Err(ParseError::Syntax(_))));
}

#[test]
fn abuse_a92_a_url_that_moves_needs_the_credential_again() {
    let endpoint = full();
    for same in [
        "https://partner.example/other?x=1",
        "https://PARTNER.example:443/",
        "HTTPS://partner.example",
        "https://partner.example",
    ] {
        assert!(patch(&endpoint, json!({ "url": same })).is_ok(), "{same}");
    }
    for other in [
        "https://partner.example:8443/hook",
        "http://partner.example/hook",
        "https://evil.example/hook",
        "https://partner.example.evil.example/",
        "https://partner.example@evil.example/",
        "https:\\\\evil.example/hook",
        "https://evil.example\\@partner.example/hook",
        "https://partner.example:443@evil.example/",
        "not a url",
    ] {
        assert_eq!(pointers(patch(&endpoint, json!({ "url": other }))), ["/auth"], "{other}");
        let halves = json!({"url": other, "auth": {"username": "bob"}});
        assert_eq!(pointers(patch(&endpoint, halves)), ["/auth"], "{other}");
        for given in [
            json!({"password": "again"}),
            json!({"type": "bearer", "token": "t"}),
            json!({"type": "none"}),
            json!(null),
        ] {
            assert!(patch(&endpoint, json!({"url": other, "auth": given})).is_ok(), "{other}");
        }
    }
    for (other, auth, refused) in [
        ("https://partner.example/other", json!({"type": "basic", "username": "ada"}), false),
        ("https://evil.example/hook", json!({"type": "basic", "username": "ada"}), true),
        ("https://evil.example/hook", json!({"type": "basic", "username": "ada", "password": null}), true),
        ("https://partner.example:8443/", json!({"type": "basic", "username": "bob"}), true),
        (
            "https://evil.example/hook",
            json!({"type": "basic", "username": "ada", "password": "again"}),
            false,
        ),
        ("https://evil.example/hook", json!({"type": "bearer", "token": "t"}), false),
        ("https://evil.example/hook", json!({"type": "none"}), false),
        ("https://evil.example/hook", json!(null), false),
    ] {
        let put = replace(&endpoint, json!({"url": other, "auth": auth}));
        let shown = put.as_ref().map_or_else(ToString::to_string, |put| format!("{:?}", put.auth));
        assert_eq!(put.is_err(), refused, "{other} {auth}: {shown}");
        if refused {
            assert_eq!(pointers(put), ["/auth"], "{other} {auth}");
        } else if let Ok(put) = put {
            let kept = put.secrets().contains("hunter2");
            assert_eq!(kept, other.starts_with(URL.strip_suffix("hook").unwrap()), "{other} {auth}");
        }
    }
    let open = create(&json!({ "url": URL })).unwrap();
    assert!(patch(&open, json!({"url": "https://other.example"})).is_ok());
}

#[test]
fn the_client_of_an_authorization_server_is_read_shown_and_changed() {
    let endpoint = create(&with("auth", oauth2(json!({"scope": "hooks", "audience": "till"})))).unwrap();
    let shown = |endpoint: &EndpointConfig| json!(endpoint.public_view())["auth"].clone();
    let all = json!({
        "type": "oauth2", "token_url": "https://login.example/token", "client_id": "ada", "client_secret_set": true,
        "scope": "hooks", "audience": "till", "credentials_in": "body",
    });
    assert_eq!(shown(&endpoint), all);
    assert!(endpoint.auth.header().is_none() && !format!("{endpoint:?}").contains("hunter2"));
    let changed = patch(&endpoint, json!({"auth": {"scope": null, "credentials_in": "basic"}})).unwrap();
    let mut expected = all;
    expected.as_object_mut().unwrap().remove("scope");
    expected["credentials_in"] = json!("basic");
    assert_eq!(shown(&changed), expected);
    assert!(changed.secrets().contains("hunter2"));
    for (auth, at) in [
        (json!({"token_url": null}), "/auth/token_url"),
        (json!({"client_id": ""}), "/auth/client_id"),
        (json!({"client_id": "a\nb"}), "/auth/client_id"),
        (json!({"client_secret": "a\r\nb"}), "/auth/client_secret"),
        (json!({"client_secret": null}), "/auth/client_secret"),
        (json!({"scope": "a\u{0}"}), "/auth/scope"),
        (json!({"audience": 7}), "/auth/audience"),
        (json!({"credentials_in": "query"}), "/auth/credentials_in"),
        (json!({"token": "t"}), "/auth/token"),
    ] {
        assert_eq!(pointers(create(&with("auth", oauth2(auth.clone())))), [at], "{auth}");
    }
    let headers = json!({"url": URL, "auth": oauth2(json!({})), "headers": {"Authorization": "x"}});
    assert_eq!(pointers(create(&headers)), ["/headers/Authorization"]);
}

#[test]
fn abuse_a92_a_token_url_that_moves_needs_the_client_secret_again() {
    let endpoint = create(&with("auth", oauth2(json!({})))).unwrap();
    let moved = "https://evil.example/token";
    for (change, refused) in [
        (json!({"auth": {"token_url": "https://LOGIN.example/other"}}), None),
        (json!({"auth": {"token_url": moved}}), Some("/auth/client_secret")),
        (json!({"auth": {"token_url": moved, "client_secret": null}}), Some("/auth/client_secret")),
        (json!({"auth": {"token_url": moved, "client_secret": "again"}}), None),
        (json!({"auth": {"type": "none"}}), None),
        // The token would go where it is not meant to.
        (json!({"url": "https://evil.example/"}), Some("/auth")),
        (json!({"url": "https://evil.example/", "auth": {"token_url": moved}}), Some("/auth")),
        (json!({"url": "https://evil.example/", "auth": {"client_secret": "again"}}), None),
    ] {
        let changed = patch(&endpoint, change.clone());
        match refused {
            Some(at) => assert_eq!(pointers(changed), [at], "{change}"),
            None => assert!(changed.is_ok(), "{change}"),
        }
    }
    let put = |token_url: &str, secret: Value| {
        let auth = oauth2(json!({"token_url": token_url, "client_secret": secret}));
        replace(&endpoint, with("auth", auth))
    };
    assert_eq!(pointers(put(moved, Value::Null)), ["/auth/client_secret"]);
    assert!(put(moved, json!("again")).is_ok());
    assert!(put("https://login.example/new", Value::Null).unwrap().secrets().contains("hunter2"));
    // Whoever sends the requests judges where tokens are asked for, too.
    let judge = |url: &str| match url {
        "https://10.0.0.1/" => Err("must not be a private address".into()),
        url => Ok(url.to_ascii_lowercase().into()),
    };
    let terms = Terms { judge_url: &judge, ..Terms::standard() };
    let auth = oauth2(json!({"token_url": "https://10.0.0.1/"}));
    let body = json!({"url": "https://10.0.0.1/", "auth": auth}).to_string();
    assert_eq!(
        pointers(EndpointConfig::parse_create_judged(body.as_bytes(), FRESH, &terms)),
        ["/url", "/auth/token_url"]
    );
}

#[test]
fn abuse_a02_what_only_the_sender_knows_of_a_url_is_told_with_all_other_faults() {
    let judge = |url: &str| match url {
        "https://10.0.0.1/" => Err("must not be a private address".into()),
        url => Ok(url.to_ascii_lowercase().into()),
    };
    let terms = Terms { judge_url: &judge, ..Terms::standard() };
    let body = json!({"url": "https://10.0.0.1/", "timeout_ms": 0, "name": 7});
    let made = EndpointConfig::parse_create_judged(body.to_string().as_bytes(), FRESH, &terms);
    assert_eq!(pointers(made), ["/url", "/name", "/timeout_ms"]);
    let body = json!({"url": "https://PARTNER.example/"});
    let made = EndpointConfig::parse_create_judged(body.to_string().as_bytes(), FRESH, &terms);
    assert_eq!(&*made.unwrap().url, "https://partner.example/");
    let patch = |body: Value| full().apply_patch_judged(body.to_string().as_bytes(), &terms);
    assert_eq!(pointers(patch(json!({"url": "https://10.0.0.1/"}))), ["/url", "/auth"]);
    let moved = "https://evil.example/";
    assert_eq!(pointers(patch(json!({"url": moved, "timeout_ms": 0}))), ["/timeout_ms", "/auth"]);
    let again = json!({"url": moved, "timeout_ms": 0, "auth": {"password": "again"}});
    assert_eq!(pointers(patch(again)), ["/timeout_ms"]);
    let bearer = json!({"url": moved, "auth": {"type": "bearer"}});
    assert_eq!(pointers(patch(bearer)), ["/auth/token"], "what is missing there is told once");
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_accepted_survives_the_store(
            name in proptest::option::of("\\PC{0,20}"), token in "[!-~]{0,30}", value in "[ -~]{0,20}",
            steps in prop::collection::vec(0..700_000_u32, 0..4), per_second in 0..20_000_u32,
        ) {
            let body = json!({
                "url": URL, "name": name, "auth": {"type": "bearer", "token": token}, "headers": {"X-A": value},
                "retry": {"schedule_s": steps}, "rate_limit": {"per_second": per_second},
            });
            match create(&body) {
                Ok(config) => prop_assert_eq!(EndpointConfig::from_stored(&config.to_doc(), config.secrets().as_bytes()).unwrap(), config),
                Err(ParseError::Faults(faults)) => prop_assert!(!faults.is_empty()),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
