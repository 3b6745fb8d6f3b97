//! Each call asks for the right thing and reads the answer.

use postrider_client::{
    Condition, DeliveryFilter, EndpointSpec, EndpointState, Error, EventFilter, EventSample, EventTypeSpec,
    FeedRequest, Filters, NewEvent, NewReplay, NewToken, PageRequest, Quotas, RateLimit, ReplayState,
    Rotation, TenantSpec,
};
use serde_json::json;
use serde_json::value::RawValue;

use crate::server::Server;

#[tokio::test]
async fn an_event_is_posted_with_token_and_idempotency_key() {
    let server = Server::answering(202, r#"{"id":"evt_1","deliveries":3}"#).await;
    let event = NewEvent::json("acme", "card.created", &json!({"card": "c1"})).unwrap();
    let answer = server.client().publish(&event, Some("key-1")).await.unwrap();
    assert_eq!(answer.deliveries, 3);
    assert_eq!(answer.json(), r#"{"id":"evt_1","deliveries":3}"#);
    let seen = server.last();
    assert_eq!(seen.line, "POST /v1/events");
    assert_eq!(seen.headers["authorization"], "Bearer tok-1");
    assert_eq!(seen.headers["idempotency-key"], "key-1");
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(seen.body, r#"{"tenant":"acme","type":"card.created","data":{"card":"c1"}}"#);
}

#[tokio::test]
async fn a_batch_answers_item_by_item_with_errors_in_place() {
    let server = Server::answering(
        202,
        r#"{"data":[{"id":"evt_1","deliveries":1},{"error":{"type":"t","title":"Invalid event","status":422,"errors":[{"pointer":"/1/type","detail":"is missing"}]}}]}"#,
    )
    .await;
    let event = NewEvent::json("acme", "card.created", &1).unwrap();
    let answer = server.client().publish_many(&[event.clone(), event], None).await.unwrap();
    assert!(answer[0].outcome().is_ok());
    assert_eq!(answer[1].outcome().unwrap_err().errors[0].pointer, "/1/type");
    assert!(server.last().body.starts_with('['));
    let lines = server.client().publish_ndjson("{}\n{}\n".into(), None).await.unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!(server.last().headers["content-type"], "application/x-ndjson");
    assert_eq!(server.last().body, "{}\n{}\n");
}

#[tokio::test]
async fn an_event_of_a_subject_is_answered_tenant_by_tenant() {
    let server = Server::answering(
        202,
        r#"{"data":[{"tenant":"acme","id":"evt_1","deliveries":3},{"tenant":"shop","id":"evt_2","deliveries":0}]}"#,
    )
    .await;
    let client = server.client();
    let data = serde_json::value::to_raw_value(&1).unwrap();
    let mut event = NewEvent::of_subject("card:1", "card.frozen", data);
    event.expires_at = Some("2026-01-01T00:00:00Z".into());
    let answer = client.publish_by_subject(&event, Some("k")).await.unwrap();
    let tenants: Vec<_> = answer.iter().map(|one| (one.tenant.as_deref().unwrap(), one.deliveries)).collect();
    assert_eq!(tenants, [("acme", 3), ("shop", 0)]);
    assert_eq!(
        server.last().body,
        r#"{"subject":"card:1","type":"card.frozen","data":1,"expires_at":"2026-01-01T00:00:00Z"}"#
    );
    assert!(matches!(client.publish(&event, None).await, Err(Error::Argument { .. })));
    event.tenant = Some("acme".into());
    assert!(matches!(client.publish_by_subject(&event, None).await, Err(Error::Argument { .. })));
}

#[tokio::test]
async fn event_types_are_put_byte_for_byte_read_listed_and_removed() {
    let server = Server::answering(
        200,
        r#"{"type":"card.frozen","profile":"standard","description":null,"schema":{ "type":"object" },"example":{"n":1.0},"integrations":["a"],"kind":"notification","created_at":"t","updated_at":"t"}"#,
    )
    .await;
    let raw = |text: &str| serde_json::value::RawValue::from_string(text.into()).ok();
    let spec =
        EventTypeSpec { schema: raw(r#"{ "maximum": 1.0 }"#), example: raw("[1.0]"), ..Default::default() };
    let answer = server.client().put_event_type(None, "card.frozen", &spec).await.unwrap();
    assert_eq!(server.last().line, "PUT /v1/event-types/card.frozen");
    assert_eq!(server.last().body, r#"{"schema":{ "maximum": 1.0 },"example":[1.0]}"#);
    assert_eq!(answer.schema.as_ref().unwrap().get(), r#"{ "type":"object" }"#);
    assert_eq!(
        (answer.example.as_ref().unwrap().get(), answer.name.as_str()),
        (r#"{"n":1.0}"#, "card.frozen")
    );
    server.client().get_event_type(None, "card.frozen").await.unwrap();
    assert_eq!(server.last().line, "GET /v1/event-types/card.frozen");
    let server = Server::answering(200, r#"{"data":[],"next_cursor":"c"}"#).await;
    let page = PageRequest { limit: Some(2), cursor: None };
    assert_eq!(
        server.client().list_event_types(None, &page).await.unwrap().next_cursor.as_deref(),
        Some("c")
    );
    assert_eq!(server.last().line, "GET /v1/event-types?limit=2");
}

#[tokio::test]
async fn subjects_are_given_to_tenants_and_read() {
    let server = Server::answering(
        201,
        r#"{"id":"card:1","tenants":["acme","shop"],"created_at":"t","updated_at":"t"}"#,
    )
    .await;
    let answer = server.client().put_subject("card:1", &["acme".into(), "shop".into()]).await.unwrap();
    assert_eq!(answer.tenants, ["acme", "shop"]);
    assert_eq!(
        (server.last().line.as_str(), server.last().body.as_str()),
        ("PUT /v1/subjects/card:1", r#"{"tenants":["acme","shop"]}"#)
    );
    server.client().get_subject("card:1").await.unwrap();
    assert_eq!(server.last().line, "GET /v1/subjects/card:1");
}

#[tokio::test]
async fn every_delivery_filter_reaches_the_server() {
    let server = Server::answering(
        200,
        r#"{"data":[{"id":"dlv_1","tenant":"acme","event":"evt_1","endpoint":"ep_1","type":"a.b","key":null,"sequence":7,"status":"failed","reason":"exhausted","attempts":10,"last_status_code":500,"next_attempt_at":null,"created_at":"2026-01-01T00:00:00.000Z","finished_at":null,"later_field":1}],"next_cursor":"c2"}"#,
    )
    .await;
    let some = |text: &str| Some(text.to_owned());
    let filter = DeliveryFilter {
        status: some("failed"),
        kind: some("a.b"),
        endpoint: some("ep_1"),
        key: some("k&1"),
        subject: some("card-1"),
        since: some("2026-01-01T00:00:00Z"),
        until: some("2026-02-01T00:00:00+01:00"),
        event: some("evt_1"),
    };
    let page = PageRequest { limit: Some(10), cursor: some("c1") };
    let answer = server.client().list_deliveries("acme", &filter, &page).await.unwrap();
    assert_eq!(answer.next_cursor.as_deref(), Some("c2"));
    assert_eq!((answer.data[0].attempts, answer.data[0].last_status_code), (10, Some(500)));
    assert!(answer.json().contains("later_field"), "what this version does not know is passed on");
    assert_eq!(
        server.last().line,
        "GET /v1/tenants/acme/deliveries?status=failed&type=a.b&endpoint=ep_1&key=k%261&subject=card-1\
         &since=2026-01-01T00%3A00%3A00Z&until=2026-02-01T00%3A00%3A00%2B01%3A00&event=evt_1&limit=10&cursor=c1"
    );
}

#[tokio::test]
async fn an_operator_lists_over_all_tenants() {
    let server = Server::answering(200, r#"{"data":[],"next_cursor":null}"#).await;
    let client = server.client();
    let filter = DeliveryFilter { status: Some("failed".into()), ..DeliveryFilter::default() };
    client.list_all_deliveries(None, &filter, &PageRequest::default()).await.unwrap();
    assert_eq!(server.last().line, "GET /v1/deliveries?status=failed");
    client.list_all_deliveries(Some("a:b"), &filter, &PageRequest::default()).await.unwrap();
    assert_eq!(server.last().line, "GET /v1/deliveries?status=failed&tenant=a%3Ab");
    let page = PageRequest { limit: Some(3), cursor: None };
    client.list_all_endpoints(None, Some("tripped"), &page).await.unwrap();
    assert_eq!(server.last().line, "GET /v1/endpoints?limit=3&state=tripped");
}

#[tokio::test]
async fn events_are_listed_and_one_is_read_with_its_data_as_it_was_published() {
    let event = r#""id":"e1","tenant":"acme","type":"a.b","key":null,"subject":"card-1","attributes":{"n":1.0},"occurred_at":"t","created_at":"t","expires_at":null"#;
    let list: &'static str = format!(r#"{{"data":[{{{event},"deliveries":2}}],"next_cursor":null}}"#).leak();
    let server = Server::answering(200, list).await;
    let some = |text: &str| Some(text.to_owned());
    let filter = EventFilter {
        id: some("e1"),
        kind: some("a.b"),
        key: some("k"),
        subject: some("card-1"),
        since: some("2026-01-01"),
        until: some("2026-02-01"),
    };
    let answer = server.client().list_events("acme", &filter, &PageRequest::default()).await.unwrap();
    assert_eq!((answer.data[0].deliveries, answer.data[0].attributes.get()), (2, r#"{"n":1.0}"#));
    assert_eq!(
        server.last().line,
        "GET /v1/tenants/acme/events?id=e1&type=a.b&key=k&subject=card-1&since=2026-01-01&until=2026-02-01"
    );
    let one: &'static str =
        format!(r#"{{{event},"data":{{"amount": 42.50}},"deliveries":[],"more":"/v1/x"}}"#).leak();
    let server = Server::answering(200, one).await;
    let answer = server.client().get_event("acme", "e1").await.unwrap();
    assert_eq!((answer.data.get(), answer.more.as_deref()), (r#"{"amount": 42.50}"#, Some("/v1/x")));
    assert_eq!(server.last().line, "GET /v1/tenants/acme/events/e1");
}

#[tokio::test]
async fn a_feed_is_read_on_after_a_sequence_and_figures_since_a_time() {
    let server = Server::answering(
        200,
        r#"{"data":[{"sequence":8,"delivery":"dlv_1","status":"failed","event":{"id":"e1","type":"a.b","occurred_at":"t","key":null,"attributes":{},"data":1.0}}],"last_sequence":9}"#,
    )
    .await;
    let part = FeedRequest { after: 7, limit: Some(1), wait_s: 30 };
    let feed = server.client().feed("acme", "ep_1", &part).await.unwrap();
    assert_eq!((feed.last_sequence, feed.data[0].sequence, feed.data[0].event.data.get()), (9, 8, "1.0"));
    assert_eq!(server.last().line, "GET /v1/tenants/acme/endpoints/ep_1/feed?after=7&limit=1&wait_s=30");
    server.client().feed("acme", "ep_1", &FeedRequest::default()).await.unwrap();
    assert_eq!(server.last().line, "GET /v1/tenants/acme/endpoints/ep_1/feed?after=0");
    let server = Server::answering(
        200,
        r#"{"since":"t","complete_from":"t","counts":{"failed":1},"success_rate":0.5,"latency_ms":{"p50":1.5,"p95":2,"p99":3},"backlog":4,"oldest_pending_at":null,"state":"tripped","retry_at":"t","reason":null,"failing_since":"t","sequence":9}"#,
    )
    .await;
    let stats = server.client().endpoint_stats("acme", "ep_1", Some("2026-01-01T00:00:00Z")).await.unwrap();
    assert_eq!((stats.counts["failed"], stats.latency_ms.unwrap().p95), (1, 2.0));
    assert_eq!(
        server.last().line,
        "GET /v1/tenants/acme/endpoints/ep_1/stats?since=2026-01-01T00%3A00%3A00Z"
    );
}

#[tokio::test]
async fn a_delivery_is_read_with_its_attempts_and_its_payload_as_sent() {
    let server = Server::answering(
        200,
        r#"{"id":"dlv_1","tenant":"acme","event":"evt_1","endpoint":"ep_1","type":"a.b","status":"succeeded","created_at":"t","attempts":[
            {"id":"att_1","run":1,"number":1,"started_at":"t","duration_ms":12.5,"status_code":500,"error":{"kind":"status","detail":"the receiver answered 500"},"request_headers":{"webhook-id":"evt_1"},"response_headers":{},"response_body":"oops","trigger":"schedule"},
            {"id":"att_2","run":1,"number":2,"started_at":"t","duration_ms":12,"status_code":200,"error":null,"request_headers":{},"response_headers":{},"response_body":"","trigger":"schedule"}
        ],"payload":{"amount": 42.50}}"#,
    )
    .await;
    let answer = server.client().get_delivery("acme", "dlv_1").await.unwrap();
    assert_eq!(answer.attempts[0].error.as_ref().unwrap().kind, "status");
    assert_eq!((answer.attempts[1].status_code, &answer.attempts[1].error), (Some(200), &None));
    assert_eq!(answer.payload.get(), r#"{"amount": 42.50}"#);
    assert_eq!(server.last().line, "GET /v1/tenants/acme/deliveries/dlv_1");
}

#[tokio::test]
async fn endpoints_are_created_read_changed_and_tested() {
    let server = Server::answering(
        201,
        r#"{"id":"ep_1","tenant":"acme","url":"https://example.test/","name":null,"description":null,"event_types":["*"],"enabled":true,"auth":{"type":"none"},"headers":{},"secret_set":true,"profile":"standard","ordering":"none","hold_max_s":3600,"timeout_ms":900,"rate_limit":{"per_second":50},"max_in_flight":16,"retry":null,"metadata":{},"state":"hibernating","reason":null,"retry_at":null,"verified":true,"sequence":0,"created_at":"t","updated_at":"t"}"#,
    )
    .await;
    let client = server.client();
    let spec =
        EndpointSpec { url: "https://example.test/".into(), timeout_ms: Some(900), ..Default::default() };
    let made = client.create_endpoint("acme", &spec).await.unwrap();
    assert_eq!(made.state, EndpointState::Other("hibernating".into()));
    assert_eq!(made.rate_limit, Some(RateLimit { per_second: 50 }));
    assert_eq!(server.last().body, r#"{"url":"https://example.test/","timeout_ms":900}"#);

    let filters = Filters {
        event_types: Vec::new(),
        attributes: [("party".to_owned(), vec![raw("\"556\""), raw("1.50")])].into(),
        data: vec![Condition { pointer: "/amount".into(), op: "gte".into(), value: raw("1e999999") }],
    };
    client.put_endpoint("acme", "till:4", &EndpointSpec { filters: Some(filters), ..spec }).await.unwrap();
    assert_eq!(server.last().line, "PUT /v1/tenants/acme/endpoints/till:4");
    assert!(
        server.last().body.contains(
            r#""filters":{"attributes":{"party":["556",1.50]},"data":[{"pointer":"/amount","op":"gte","value":1e999999}]}"#
        ),
        "{}",
        server.last().body
    );

    let patch = serde_json::from_str(r#"{"enabled":false,"name":null}"#).unwrap();
    client.patch_endpoint("acme", "ep_1", &patch).await.unwrap();
    assert_eq!(server.last().line, "PATCH /v1/tenants/acme/endpoints/ep_1");
    assert_eq!(server.last().body, r#"{"enabled":false,"name":null}"#);

    client.get_endpoint("acme", "ep_1").await.unwrap();
    assert_eq!(server.last().line, "GET /v1/tenants/acme/endpoints/ep_1");
    let server = Server::answering(
        200,
        r#"{"id":"att_1","run":0,"number":1,"started_at":"t","duration_ms":1.5,"status_code":204,"error":null,"remote_address":"192.0.2.1","request_headers":{},"response_headers":{},"response_body":"","trigger":"test"}"#,
    )
    .await;
    let attempt = server.client().test_endpoint("acme", "ep_1", "card.created").await.unwrap();
    assert_eq!((attempt.status_code, attempt.trigger.as_str()), (Some(204), "test"));
    assert_eq!(server.last().line, "POST /v1/tenants/acme/endpoints/ep_1/test");
    assert_eq!(server.last().body, r#"{"type":"card.created"}"#);
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

#[tokio::test]
async fn endpoints_are_matched_and_their_secrets_rotated() {
    let answer =
        r#"{"data":[{"endpoint":"ep_1","matches":false,"reason":"/n is missing"}],"next_cursor":null}"#;
    let server = Server::answering(200, answer).await;
    let attributes = [("party".to_owned(), "556".to_owned())].into();
    let sample = EventSample { kind: "a.b".into(), attributes, data: Some(raw("{\"n\": 1.0}")) };
    let page = PageRequest { limit: Some(5), cursor: None };
    let found = server.client().match_endpoints("acme", &sample, &page).await.unwrap();
    assert_eq!((found.data[0].matches, found.data[0].reason.as_str()), (false, "/n is missing"));
    assert_eq!(server.last().line, "POST /v1/tenants/acme/endpoints/match?limit=5");
    assert_eq!(server.last().body, r#"{"type":"a.b","attributes":{"party":"556"},"data":{"n": 1.0}}"#);

    let server = Server::answering(200, r#"{"secret":"whsec_new"}"#).await;
    let rotation = Rotation { secret: Some("whsec_hush".into()), overlap_s: Some(60) };
    let made = server.client().rotate_endpoint_secret("acme", "ep_1", &rotation).await.unwrap();
    assert_eq!(made.secret, "whsec_new");
    assert_eq!(server.last().line, "POST /v1/tenants/acme/endpoints/ep_1/secret/rotate");
    assert_eq!(server.last().body, r#"{"secret":"whsec_hush","overlap_s":60}"#);
    assert!(!format!("{rotation:?}").contains("hush"));
    server.client().rotate_endpoint_secret("acme", "ep_1", &Rotation::default()).await.unwrap();
    assert_eq!(server.last().body, "{}");
}

#[tokio::test]
async fn calls_without_content_need_none_in_the_answer() {
    let server = Server::answering(204, "").await;
    let client = server.client();
    client.delete_tenant("acme").await.unwrap();
    client.delete_token("tok_1").await.unwrap();
    client.delete_endpoint("acme", "ep_1").await.unwrap();
    client.delete_event_type(None, "card.frozen").await.unwrap();
    client.delete_subject("card:1").await.unwrap();
    client.retry_delivery("acme", "dlv_1").await.unwrap();
    client.cancel_delivery("acme", "dlv_1").await.unwrap();
    assert_eq!(server.last().line, "POST /v1/tenants/acme/deliveries/dlv_1/cancel");
}

#[tokio::test]
async fn tenants_and_tokens_are_made_and_secrets_stay_out_of_debug_output() {
    let server = Server::answering(
        200,
        r#"{"id":"tok_1","kind":"bearer","token":"hush","name":"Acme","secret":"whsec_hush","profile":"standard","metadata":{},"scopes":[],"created_at":"t","updated_at":"t"}"#,
    )
    .await;
    let client = server.client();
    let spec = TenantSpec { name: "Acme".into(), ..TenantSpec::default() };
    client.put_tenant("acme:eu", &spec).await.unwrap();
    assert_eq!(server.last().line, "PUT /v1/tenants/acme:eu");
    assert_eq!(server.last().body, r#"{"name":"Acme"}"#);
    let quotas = Quotas { pending: Some(5), ..Quotas::default() };
    client.put_tenant("acme:eu", &TenantSpec { quotas: Some(quotas), ..spec }).await.unwrap();
    assert_eq!(server.last().body, r#"{"name":"Acme","quotas":{"pending":5}}"#);
    let token = NewToken { scopes: vec!["events-write".into()], ..NewToken::default() };
    let made = client.create_token(&token).await.unwrap();
    assert!(made.credentials().any(|shown| shown == ("token", "hush")));
    let secret = client.endpoint_secret("acme", "ep_1").await.unwrap().into_value();
    let shown = format!("{:?} {:?} {client:?}", made.into_value(), secret);
    assert!(!shown.contains("hush") && !shown.contains("tok-1"), "{shown}");
}

#[tokio::test]
async fn replays_are_counted_begun_read_and_cancelled() {
    let replay = r#"{"id":"rpl_1","tenant":"acme","endpoint":"ep_1","state":"running","reason":null,"matched":9,"done":4,"skipped":0,"expired":1,"per_second":100,"created_at":"t","updated_at":"t","finished_at":null}"#;
    let server = Server::answering(202, replay).await;
    let new = NewReplay {
        since: Some("2026-01-01T00:00:00Z".into()),
        sequence_to: Some(7),
        statuses: Some(vec!["failed".into()]),
        ..NewReplay::default()
    };
    let begun = server.client().create_replay("acme", "ep_1", &new).await.unwrap();
    assert_eq!((begun.id.as_str(), &begun.state, begun.done), ("rpl_1", &ReplayState::Running, 4));
    let seen = server.last();
    assert_eq!(seen.line, "POST /v1/tenants/acme/endpoints/ep_1/replays");
    assert_eq!(seen.body, r#"{"since":"2026-01-01T00:00:00Z","sequence_to":7,"statuses":["failed"]}"#);
    server.client().get_replay("acme", "ep_1", "rpl_1").await.unwrap();
    assert_eq!(server.last().line, "GET /v1/tenants/acme/endpoints/ep_1/replays/rpl_1");

    let server = Server::answering(200, r#"{"matched":12}"#).await;
    assert_eq!(server.client().count_replay("acme", "ep_1", &new).await.unwrap().matched, 12);
    assert!(server.last().body.ends_with(r#""dry_run":true}"#), "{}", server.last().body);

    let server = Server::answering(200, r#"{"data":[],"next_cursor":"c2"}"#).await;
    let page = PageRequest { limit: Some(1), cursor: None };
    let listed = server.client().list_replays("acme", "ep_1", &page).await.unwrap();
    assert_eq!(listed.next_cursor.as_deref(), Some("c2"));
    assert_eq!(server.last().line, "GET /v1/tenants/acme/endpoints/ep_1/replays?limit=1");

    let server = Server::answering(204, "").await;
    server.client().cancel_replay("acme", "ep_1", "rpl_1").await.unwrap();
    assert_eq!(server.last().line, "DELETE /v1/tenants/acme/endpoints/ep_1/replays/rpl_1");
}
