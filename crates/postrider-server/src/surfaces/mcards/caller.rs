//! Who calls: a partner who signs its calls, or the holder of one of our own tokens.

use std::sync::Arc;

use axum::body::Body;
use data_encoding::HEXLOWER_PERMISSIVE;
use http::{Request, header};
use postrider_core::token::Scope;
use postrider_engine::Tenant;

use super::NAME;
use crate::app::App;
use crate::auth::{Caller, Peer, bearer};
use crate::body::{MAX_DOCUMENT, collect};
use crate::problem::Problem;
use crate::surfaces::partner::{one, own_tenant, unauthorized};

/// What is signed where there is no body.
const NO_BODY: &[u8] = b"null";

/// The header in which proxies say how a call came to them.
const TAKEN_OVER: &str = "x-forwarded-proto";

const HOW: &str = "send Authorization: HMAC_256 {api_key};{hex HMAC-SHA256 of the body} with a key that is neither revoked \
                   nor expired, or Bearer and such a token";
const IN_CLEAR: &str = "HMAC_256 signs nothing that is fresh, so that whoever hears a call can repeat it: it is accepted over \
                        TLS that ends on this machine, or from this machine, alone";

/// The partner's tenant, and its call with the body still in it.
///
/// # Errors
/// 401 for whoever is not known, 403 without the scope; as the body cannot be read.
pub(super) async fn called(
    app: &App,
    request: Request<Body>,
    scope: Scope,
) -> Result<(Arc<Tenant>, Request<Body>), Problem> {
    let given = one(request.headers(), header::AUTHORIZATION.as_str())?.unwrap_or_default();
    if let Some(token) = bearer(given.as_bytes()) {
        let caller = Caller::with_token(app, token, None).ok_or_else(|| unauthorized(HOW))?;
        return Ok((own_tenant(app, &caller, NAME, scope)?, request));
    }
    let proof = Proof::read(given).ok_or_else(|| unauthorized(HOW))?;
    if !is_unheard(&request) {
        return Err(unauthorized(IN_CLEAR));
    }
    let (head, body) = request.into_parts();
    let body = collect(Request::from_parts(head.clone(), body), MAX_DOCUMENT).await?;
    let signed = if body.is_empty() { NO_BODY } else { &body };
    let token = app.engine().authenticate_hmac(&proof.key, &proof.tag, signed);
    let caller = Caller::holding(token.ok_or_else(|| unauthorized(HOW))?);
    Ok((own_tenant(app, &caller, NAME, scope)?, Request::from_parts(head, Body::from(body))))
}

/// Whether nobody can have listened to a call: it comes from this machine, and not through a proxy that says that it took it in
/// clear.
fn is_unheard(request: &Request<Body>) -> bool {
    let mut schemes = request.headers().get_all(TAKEN_OVER).iter();
    let is_near = request.extensions().get::<Peer>().is_some_and(|peer| peer.is_unheard());
    is_near && schemes.all(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// What a signed call shows.
#[derive(PartialEq, Eq, Debug)]
struct Proof {
    key: String,
    tag: Vec<u8>,
}

impl Proof {
    /// Reads `HMAC_256 {api_key};{hex}`; the scheme in any case (RFC 9110, section 11.1).
    fn read(text: &str) -> Option<Self> {
        let (scheme, credentials) = text.split_once(' ')?;
        let (key, tag) = credentials.trim().split_once(';')?;
        let tag = HEXLOWER_PERMISSIVE.decode(tag.as_bytes()).ok()?;
        scheme.eq_ignore_ascii_case("HMAC_256").then(|| Self { key: key.to_owned(), tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_others_may_have_heard_is_told() {
        let call = |peer: &str, schemes: &[&str]| {
            let mut request = Request::new(Body::empty());
            request.extensions_mut().insert(Peer(peer.parse().unwrap()));
            for scheme in schemes {
                request.headers_mut().append(TAKEN_OVER, scheme.parse().unwrap());
            }
            is_unheard(&request)
        };
        for (peer, schemes, unheard) in [
            ("127.0.0.1", &[][..], true),
            ("::1", &["https"], true),
            ("127.0.0.1", &["HTTPS"], true),
            ("127.0.0.1", &["http"], false),
            ("127.0.0.1", &["https, http"], false),
            ("127.0.0.1", &["https", "http"], false),
            ("127.0.0.1", &[""], false),
            ("192.0.2.7", &[], false),
            ("192.0.2.7", &["https"], false),
        ] {
            assert_eq!(call(peer, schemes), unheard, "{peer} {schemes:?}");
        }
        assert!(!is_unheard(&Request::new(Body::empty())));
    }

    #[test]
    fn a_proof_is_read_in_the_form_that_partners_send() {
        let proof = |key: &str| Some(Proof { key: key.into(), tag: vec![0x0a, 0xff] });
        for (text, read) in [
            ("HMAC_256 key;0aff", proof("key")),
            ("hmac_256 key;0AFF", proof("key")),
            ("HMAC_256  key;0aff", proof("key")),
            ("HMAC_256 ;0aff", proof("")),
            ("HMAC_256 key;0af", None),
            ("HMAC_256 key;zz", None),
            ("HMAC_256 key", None),
            ("HMAC_512 key;0aff", None),
            ("HMAC_256", None),
            ("", None),
        ] {
            assert_eq!(Proof::read(text), read, "{text}");
        }
    }
}
