//! `postrider receiver`: plays a partner of any profile on loopback, and says of each delivery what is wrong with it.

mod partner;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use clap::Args;
use postrider_core::endpoint::Auth;
use postrider_core::secret::Secret;
use postrider_core::wire::Received;
use serde_json::json;
use tokio::net::TcpListener;

use crate::exit::Usage;
use crate::output::Output;
use crate::{input, serve};

pub(crate) use self::partner::{Partner, now};

/// A request's body is no larger.
const MAX_BODY_BYTES: usize = 4 << 20;
/// A file with a secret is no larger.
const MAX_SECRET_BYTES: u64 = 16 << 10;

/// Whom it plays, and what it knows.
#[derive(Debug, Args)]
pub(crate) struct ReceiverArgs {
    /// Whose partner it is; `postrider profile list` shows which there are
    #[arg(long, value_name = "NAME", default_value = "standard")]
    profile: String,
    /// Folder with profiles of your own, one folder each
    #[arg(long, value_name = "DIR", env = "POSTRIDER_PROFILES_DIR", hide_env_values = true)]
    profiles_dir: Option<PathBuf>,
    /// The endpoint's signing secret; profiles that sign nothing need none
    #[arg(long, env = "POSTRIDER_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// File that holds the secret; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "secret")]
    secret_file: Option<String>,
    /// The bearer token that deliveries must have
    #[arg(long, value_name = "TOKEN", env = "POSTRIDER_RECEIVER_BEARER", hide_env_values = true)]
    bearer: Option<String>,
    /// The user name and password that deliveries must have
    #[arg(
        long,
        value_name = "USER:PASSWORD",
        env = "POSTRIDER_RECEIVER_BASIC",
        hide_env_values = true,
        conflicts_with = "bearer"
    )]
    basic: Option<String>,
    /// The header that deliveries must have
    #[arg(long, value_name = "NAME:VALUE", env = "POSTRIDER_RECEIVER_HEADER", hide_env_values = true, conflicts_with_all = ["bearer", "basic"])]
    header: Option<String>,
    /// Fail on purpose: answer every delivery with this status
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(200..=599))]
    status: Option<u16>,
    /// Address to listen on, of loopback; port 0 is a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// What the receiver is made of.
#[derive(Debug)]
struct Receiver {
    partner: Partner,
    status: Option<StatusCode>,
    output: Output,
}

pub(crate) async fn run(args: ReceiverArgs, output: Output) -> anyhow::Result<ExitCode> {
    if !args.listen.ip().is_loopback() {
        return Err(Usage("the receiver listens on loopback only, such as 127.0.0.1:0".into()).into());
    }
    let partner = partner(&args)?;
    let status = args.status.map(StatusCode::from_u16).transpose()?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("the receiver cannot listen on {}", args.listen))?;
    announce(&format!("http://{}/", listener.local_addr()?), &args.profile, &partner, output)?;
    let app = Router::new()
        .fallback(receive)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::new(Receiver { partner, status, output }));
    tokio::select! {
        ended = axum::serve(listener, app) => ended?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(ExitCode::SUCCESS)
}

fn partner(args: &ReceiverArgs) -> anyhow::Result<Partner> {
    let profiles = serve::profiles(args.profiles_dir.as_deref())?;
    let profile = profiles.get(&args.profile).ok_or_else(|| {
        let hint = "`postrider profile list` shows those that there are";
        Usage(format!("there is no profile of that name; {hint}"))
    })?;
    let secret = match (&args.secret, &args.secret_file) {
        (Some(secret), _) => Some(secret.clone()),
        (None, Some(file)) => {
            Some(input::read_text(file, MAX_SECRET_BYTES)?.trim_end_matches(['\r', '\n']).into())
        }
        (None, None) => None,
    };
    if secret.is_none() && profile.wire().signs() {
        let hint = "give the endpoint's secret with --secret, --secret-file or POSTRIDER_SECRET";
        return Err(Usage(format!("deliveries of the profile {} are signed; {hint}", profile.name())).into());
    }
    let secret = secret.filter(|_| profile.wire().signs()).map(Secret::new);
    Partner::new(Arc::clone(profile), secret, auth(args)?)
        .map_err(|detail| Usage(format!("the secret {detail}")).into())
}

/// How deliveries must authenticate.
fn auth(args: &ReceiverArgs) -> Result<Auth, Usage> {
    let pair = |text: &str, flag: &str| {
        let parts = text.split_once(':').filter(|(name, _)| !name.is_empty());
        let (name, value) = parts.ok_or_else(|| Usage(format!("--{flag} must have a colon in it")))?;
        Ok((Box::from(name), value.to_owned()))
    };
    if let Some(token) = &args.bearer {
        return Ok(Auth::Bearer { token: Secret::new(&**token) });
    }
    if let Some(text) = &args.basic {
        let (username, password) = pair(text, "basic")?;
        return Ok(Auth::Basic { username, password: Secret::new(password) });
    }
    let Some(text) = &args.header else { return Ok(Auth::None) };
    let (header, value) = pair(text, "header")?;
    if header::HeaderName::try_from(&*header).is_err() {
        return Err(Usage("--header must begin with the name of a header".into()));
    }
    Ok(Auth::ApiKey { header, value: Secret::new(value.trim()) })
}

/// Says where it is, and what it looks at.
fn announce(url: &str, profile: &str, partner: &Partner, output: Output) -> anyhow::Result<()> {
    let checks = partner.checks();
    let told =
        if checks.is_empty() { "form alone".to_owned() } else { format!("form, {}", checks.join(", ")) };
    output.done(url, &json!({"url": url, "profile": profile, "checks": checks}))?;
    if output.json { Ok(()) } else { output.line(&format!("A partner of {profile}; it checks: {told}.")) }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    method: Method,
    url: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let known = receiver.partner.knows(&headers);
    let stranger = (!known).then(|| "the authentication is missing or wrong".to_owned());
    if let Some(proof) = receiver.partner.challenge(&method, &url, &headers) {
        let proof = proof.and_then(|proof| stranger.map_or(Ok(proof), Err));
        return receiver.challenged(proof);
    }
    let mut received = match body {
        Ok(body) => receiver.partner.received(&headers, &body, now()),
        Err(_) => Received {
            faults: vec![format!("the body did not come whole, or is larger than {MAX_BODY_BYTES} bytes")],
            ..Received::default()
        },
    };
    if method != Method::POST {
        received.faults.push("the method is not POST".into());
    }
    received.faults.extend(stranger);
    receiver.delivered(&received)
}

impl Receiver {
    fn challenged(&self, proof: Result<partner::Proof, String>) -> Response {
        let (response, fault) = match proof {
            Ok(proof) => (response(proof.status, Some((&proof.header, &proof.value)), String::new()), None),
            Err(fault) => (StatusCode::BAD_REQUEST.into_response(), Some(fault)),
        };
        self.tell(
            "challenge",
            &Received { faults: fault.into_iter().collect(), ..Received::default() },
            response,
        )
    }

    fn delivered(&self, received: &Received) -> Response {
        let (status, body) = if received.faults.is_empty() {
            self.partner.acknowledgement()
        } else {
            (StatusCode::UNAUTHORIZED.as_u16(), String::new())
        };
        let status = self.status.map_or(status, |status| status.as_u16());
        self.tell("delivery", received, response(status, None, body))
    }

    /// Prints a line of it.
    fn tell(&self, what: &str, received: &Received, response: Response) -> Response {
        let (at, status) = (now(), response.status().as_u16());
        let wrong = received.faults.join("; ");
        let verdict = if wrong.is_empty() { "ok" } else { &wrong };
        let id = received.event_id.as_deref().unwrap_or("-");
        let name = if what == "challenge" { what } else { received.event_type.as_deref().unwrap_or("-") };
        let json = json!({
            "at": at.rfc3339(),
            "what": what,
            "status": status,
            "event": received.event_id,
            "type": received.event_type,
            "sequence": received.sequence,
            "faults": received.faults,
        });
        // With nobody to read it there is nobody left to tell; deliveries are answered all the same.
        let _ = self.output.done(&format!("{at} {status} {id} {name} {verdict}"), &json);
        response
    }
}

/// A response with a status and perhaps a header of a profile's.
fn response(status: u16, header: Option<(&str, &str)>, body: String) -> Response {
    let mut response = Response::builder().status(status);
    if let Some((name, value)) = header {
        response = response.header(name, value);
    }
    if !body.is_empty() {
        response = response.header(header::CONTENT_TYPE, "application/json");
    }
    // Profiles are checked when they are read; one whose header's name no response can carry fails its challenge.
    response.body(Body::from(body)).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
