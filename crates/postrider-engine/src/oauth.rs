//! Requests that need a token (OAuth 2.0, client credentials): fetched when there is none, held until shortly before its
//! end, fetched anew when the receiver does not take it.
//!
//! A token belongs to one version of one endpoint, and is in memory alone. However many attempts need one, one request for
//! it is under way; it ends with the last attempt that waits for it, so what an authorization server that hangs takes up
//! is bounded as the attempts are. A fetch that failed is told for a short while to whoever comes next.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use parking_lot::Mutex;
use postrider_core::endpoint::OAuth2;
use postrider_core::id::EndpointNo;
use postrider_core::oauth::{MAX_ANSWER, REQUEST_TYPE, TokenRequest};
use postrider_core::pace::{Bucket, Rate};
use postrider_core::record::ErrorKind;
use postrider_core::secret::Secret;
use postrider_core::{retry, wire};
use postrider_dispatch::{Report, Request, Target};
use rustc_hash::FxHashMap;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::attempt::{Sent, Unanswered};
use crate::clock;
use crate::driver::{Driver, MustFinish};
use crate::prepared::{Unprepared, stored_target};

/// The longest time for one request for a token.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a fetch that failed speaks for those that did not happen.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);
/// What a fetch that ends with the attempt's time has to say so: it knows whether the fault was ours.
const GRACE: Duration = Duration::from_millis(100);
/// An attempt that has less time left does not wait for another token.
const TIME_TO_REFRESH: Duration = Duration::from_millis(200);
/// Tokens that one endpoint may have fetched because its receiver did not take the one before: three at once, then one every
/// half minute, or a receiver that takes none would have us ask without end.
const REFRESHES: Rate = Rate { burst: 3, count: 1, per: Duration::from_secs(30) };
/// Endpoints whose tokens are held, at most; each is 8 KiB at most, and 1 to 2 KiB mostly.
const MAX_HELD: usize = 8_192;
/// Entries that are looked at for one to forget.
const LOOKED_AT: usize = 16;

/// Whoever asks for the tokens of one version of an endpoint.
pub(crate) struct Client {
    endpoint: EndpointNo,
    version: u32,
    target: Arc<Target>,
    headers: HeaderMap,
    body: Bytes,
    request: TokenRequest,
}

impl Client {
    /// Makes ready what is asked.
    ///
    /// # Errors
    /// [`Unprepared`] for a stored form that does not pass today's rules.
    pub(crate) fn new(endpoint: EndpointNo, version: u32, client: &OAuth2) -> Result<Self, Unprepared> {
        let target = Arc::new(stored_target(&client.token_url)?);
        let request = TokenRequest::of(client);
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(REQUEST_TYPE));
        headers.insert(ACCEPT, HeaderValue::from_static(wire::CONTENT_TYPE));
        headers.insert(USER_AGENT, HeaderValue::from_static(wire::USER_AGENT));
        if let Some(authorization) = &request.authorization {
            headers.insert(AUTHORIZATION, sensitive(authorization)?);
        }
        let body = wiped(&request.body);
        Ok(Self { endpoint, version, target, headers, body, request })
    }

    /// What an answer gives, or why nothing.
    fn judge(&self, report: Report) -> Result<Token, Unanswered> {
        let no_token = |detail: String| Unanswered { kind: ErrorKind::OAuth, detail, retry_after: None };
        let response = match report.result.map_err(Unanswered::from) {
            Ok(response) => response,
            Err(local) if local.kind == ErrorKind::Local => return Err(local),
            Err(failure) => return Err(no_token(format!("no token: {}", failure.detail))),
        };
        match self.request.read(response.status, &response.body, response.body_truncated) {
            Ok(grant) => {
                let value = sensitive(&grant.authorization)
                    .map_err(|_| no_token("no token: it cannot be sent as a header".to_owned()))?;
                Ok(Token { value, until: Instant::now() + grant.lifetime })
            }
            Err(why) => {
                let wish = response.headers.get("retry-after").map(HeaderValue::as_bytes);
                let retry_after = wish.and_then(|wish| retry::parse_retry_after(wish, clock::wall()));
                Err(Unanswered { retry_after, ..no_token(format!("no token: {why}")) })
            }
        }
    }
}

/// A header's value whose memory is wiped when the last copy of it is gone.
fn sensitive(secret: &Secret) -> Result<HeaderValue, Unprepared> {
    let mut value = HeaderValue::from_maybe_shared(wiped(secret))
        .map_err(|_| Unprepared::Unfit("the credential cannot be sent as a header".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn wiped(secret: &Secret) -> Bytes {
    Bytes::from_owner(Zeroizing::new(secret.reveal().as_bytes().to_vec()))
}

/// A token that is good.
#[derive(Clone)]
struct Token {
    /// As `Authorization` says it.
    value: HeaderValue,
    /// Until when it is used.
    until: Instant,
}

/// The tokens of all endpoints.
#[derive(Default)]
pub(crate) struct HeldTokens(Mutex<FxHashMap<EndpointNo, Arc<Held>>>);

/// What is known of the token of one version of an endpoint.
struct Held {
    version: u32,
    state: Mutex<State>,
}

struct State {
    last: Last,
    fetch: Weak<Fetch>,
    refreshes: Bucket,
}

/// What the last fetch brought.
enum Last {
    /// There was none, or what it brought is used up.
    Nothing,
    Token(Token),
    Failure(Unanswered, Instant),
}

type Fetched = Result<Token, Unanswered>;

/// A request for a token that is under way. Gone with the last who waits for it.
struct Fetch {
    result: watch::Receiver<Option<Fetched>>,
    task: AbortHandle,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HeldTokens {
    /// Drops what is held of an endpoint.
    pub(crate) fn forget(&self, endpoint: EndpointNo) {
        self.0.lock().remove(&endpoint);
    }

    fn of(&self, driver: &Driver, client: &Client) -> Arc<Held> {
        let fresh = || {
            let refreshes = Bucket::full(REFRESHES, driver.0.clock.now());
            let state = State { last: Last::Nothing, fetch: Weak::new(), refreshes };
            Arc::new(Held { version: client.version, state: Mutex::new(state) })
        };
        let mut all = self.0.lock();
        match all.get(&client.endpoint) {
            Some(held) if held.version == client.version => return Arc::clone(held),
            // An attempt that began before a change: what it fetches is its own.
            Some(held) if held.version > client.version => return fresh(),
            Some(_) => {}
            None if all.len() >= MAX_HELD => forget_one(&mut all),
            None => {}
        }
        let held = fresh();
        all.insert(client.endpoint, Arc::clone(&held));
        held
    }
}

/// Forgets the one that ends first of those that are looked at.
fn forget_one(all: &mut FxHashMap<EndpointNo, Arc<Held>>) {
    let until = |held: &Held| match &held.state.lock().last {
        Last::Token(token) => Some(token.until),
        Last::Nothing | Last::Failure(..) => None,
    };
    let first = all.iter().take(LOOKED_AT).min_by_key(|(_, held)| until(held));
    if let Some(endpoint) = first.map(|(endpoint, _)| *endpoint) {
        all.remove(&endpoint);
    }
}

impl Held {
    /// The token, fetched by `client` if none is held, by `deadline` at the latest.
    async fn token(
        self: &Arc<Self>,
        driver: &Driver,
        client: &Arc<Client>,
        deadline: Instant,
    ) -> Result<Token, Unanswered> {
        let fetch = {
            let mut state = self.state.lock();
            let now = Instant::now();
            match &state.last {
                Last::Token(token) if now < token.until => return Ok(token.clone()),
                Last::Failure(failure, until) if now < *until => return Err(failure.clone()),
                _ => {}
            }
            state.fetch.upgrade().unwrap_or_else(|| {
                // Whoever begins has waited longest, so that its time suits all who join.
                let timeout = deadline.saturating_duration_since(now).min(FETCH_TIMEOUT);
                let fetch = self.begin(driver, client, timeout);
                state.fetch = Arc::downgrade(&fetch);
                fetch
            })
        };
        let mut result = fetch.result.clone();
        let waited = timeout_at(deadline + GRACE, result.wait_for(Option::is_some)).await;
        let fetched = waited.ok().and_then(|fetched| fetched.ok()?.clone());
        fetched.unwrap_or_else(|| {
            let detail = "no token: none came within the time that an attempt may take".to_owned();
            Err(Unanswered { kind: ErrorKind::OAuth, detail, retry_after: None })
        })
    }

    fn begin(self: &Arc<Self>, driver: &Driver, client: &Arc<Client>, timeout: Duration) -> Arc<Fetch> {
        let (done, result) = watch::channel(None);
        let (held, driver, client) = (Arc::clone(self), driver.clone(), Arc::clone(client));
        let workers = driver.0.workers.clone();
        let task = workers.spawn(async move {
            let _must_finish = MustFinish(&driver.0.health);
            let request = Request {
                target: client.target.clone(),
                method: Method::POST,
                headers: client.headers.clone(),
                body: client.body.clone(),
                timeout,
                keep_body: MAX_ANSWER,
            };
            let fetched = client.judge(driver.0.dispatcher.send(request).await);
            {
                let mut state = held.state.lock();
                state.last = match &fetched {
                    Ok(token) => Last::Token(token.clone()),
                    // What is ours to mend is tried as soon as attempts are made again.
                    Err(failure) if failure.kind == ErrorKind::Local => Last::Nothing,
                    Err(failure) => Last::Failure(failure.clone(), Instant::now() + FAILURE_HOLDS),
                };
                // Whoever comes from now on and is not served by that begins anew.
                state.fetch = Weak::new();
            }
            let result = if fetched.is_ok() { "fetched" } else { "failed" };
            metrics::counter!("postrider_oauth_tokens_total", "result" => result).increment(1);
            done.send_replace(Some(fetched));
        });
        Arc::new(Fetch { result, task })
    }

    /// The receiver did not take a token: whether another one may be fetched, or is held already.
    fn refused(&self, driver: &Driver, refused: &Token) -> bool {
        let mut state = self.state.lock();
        let State { last, refreshes, .. } = &mut *state;
        match last {
            Last::Token(token) if token.value == refused.value => {
                let may = refreshes.take(REFRESHES, driver.0.clock.now()).is_ok();
                if may {
                    *last = Last::Nothing;
                }
                may
            }
            _ => true,
        }
    }
}

/// Sends a request with a token, and once more with another one if the receiver does not take the first; all within the
/// time that the request may take.
pub(crate) async fn send(driver: &Driver, client: &Arc<Client>, request: Request) -> Sent {
    let started = Instant::now();
    let deadline = started + request.timeout;
    let held = driver.0.directory.tokens_held().of(driver, client);
    let sent = match held.token(driver, client, deadline).await {
        Ok(token) => {
            let sent = send_with(driver, &request, &token, deadline).await;
            let is_refused = sent.result.as_ref().is_ok_and(|answer| answer.status == 401);
            // Asked first, so that the next attempt does not come with this token again.
            let may_repeat = is_refused && held.refused(driver, &token);
            if may_repeat && deadline.saturating_duration_since(Instant::now()) >= TIME_TO_REFRESH {
                match held.token(driver, client, deadline).await {
                    Ok(token) => send_with(driver, &request, &token, deadline).await,
                    Err(failure) => {
                        Sent { further: Some(format!("and there is {}", failure.detail)), ..sent }
                    }
                }
            } else {
                sent
            }
        }
        Err(failure) => {
            Sent { result: Err(failure), further: None, duration: Duration::ZERO, remote_address: None }
        }
    };
    Sent { duration: started.elapsed(), ..sent }
}

async fn send_with(driver: &Driver, request: &Request, token: &Token, deadline: Instant) -> Sent {
    let mut request = request.clone();
    request.headers.insert(AUTHORIZATION, token.value.clone());
    request.timeout = deadline.saturating_duration_since(Instant::now());
    driver.0.dispatcher.send(request).await.into()
}
