//! From an event as it came to what is published: whose it is, whether its data fits its type, and under which keys.

use std::collections::BTreeMap;

use bytes::Bytes;
use postrider_core::event::NewEvent;
use postrider_core::id::{SubjectId, TenantId, TenantNo};
use postrider_core::publication::{Publication, Refusal};
use postrider_core::record::KeyHash;
use postrider_engine::Subject;

use crate::app::App;
use crate::auth::Caller;
use crate::problem::Problem;

const CARD_NUMBER_AS_KEY: &str =
    "comes with an Idempotency-Key header that holds what looks like a card number; use one without";

/// An event that is ready to be accepted.
pub(super) struct Prepared {
    /// One for each tenant that gets it.
    pub(super) publications: Vec<Publication>,
    /// These tenants, where the answer tells them apart: the event named only its subject.
    pub(super) shared: Option<Vec<TenantId>>,
}

/// The subjects that the events of a request name.
#[derive(Default)]
pub(super) struct Subjects(BTreeMap<SubjectId, Subject>);

impl Subjects {
    /// Looks them up, each once.
    ///
    /// # Errors
    /// As the store fails.
    pub(super) async fn of(app: &App, events: impl Iterator<Item = &NewEvent>) -> Result<Self, Problem> {
        let mut named: Vec<SubjectId> = events.filter_map(|event| event.subject.clone()).collect();
        if named.is_empty() {
            return Ok(Self::default());
        }
        named.sort_unstable();
        named.dedup();
        let found = app.engine().subjects(&named).await?;
        Ok(Self(
            named.into_iter().zip(found).filter_map(|(id, found)| found.map(|found| (id, found))).collect(),
        ))
    }
}

/// Makes an event ready. `at` is its place in a batch.
///
/// # Errors
/// The same 404 for a tenant or subject that does not exist and for somebody else's; 422 where tenant and subject disagree,
/// or a tenant's profile has no such type, or the data does not fit it.
pub(super) fn prepare(
    app: &App,
    caller: &Caller,
    subjects: &Subjects,
    event: &NewEvent,
    key: Option<&str>,
    at: Option<usize>,
) -> Result<Prepared, Problem> {
    let owners = Owners::of(app, caller, subjects, event, at)?;
    let unfit = app.engine().check_event(owners.numbers(), &event.event_type, &event.data);
    let unfit = unfit.err().unwrap_or_default();
    if !unfit.is_empty() && key.is_none() && event.own_id.is_none() {
        return Err(Problem::invalid(unfit).under(&pointer(at, "")));
    }
    // Copies: a slice would keep the whole body, and the buffer it was read into, as long as the event. All tenants share them.
    let (attributes, data) = (Bytes::copy_from_slice(&event.attributes), Bytes::copy_from_slice(&event.data));
    let publication = |id: &TenantId, tenant: TenantNo| {
        if key.is_some_and(|key| app.engine().refuses_event_name(tenant, &event.event_type, key)) {
            return Err(Problem::fault("", CARD_NUMBER_AS_KEY));
        }
        let mut publication = Publication {
            tenant,
            entitled: true,
            event_type: event.event_type.clone(),
            own_id: event.own_id.clone(),
            key: event.key.clone(),
            subject: event.subject.as_ref().map(|subject| subject.as_str().into()),
            expires_at: event.expires_at,
            attributes: attributes.clone(),
            occurred_at: event.occurred_at,
            data: data.clone(),
            idempotency: key.map(|key| KeyHash::idempotency(tenant, key)),
            body: None,
            unfit: unfit.clone(),
            judged: None,
        };
        if key.is_some() || event.own_id.is_some() {
            publication.body = Some(publication.fingerprint(id.as_str()));
        }
        Ok(publication)
    };
    Ok(match owners {
        Owners::One(id, tenant) => Prepared { publications: vec![publication(id, tenant)?], shared: None },
        Owners::Shared(subject) => {
            let tenants = || subject.tenants.iter();
            let publications: Vec<Publication> =
                tenants().map(|tenant| publication(&tenant.id, tenant.no)).collect::<Result<_, _>>()?;
            // Card data that one of the tenants refuses is stored for none of them.
            if let Some(faults) = publications.iter().find_map(|one| app.engine().refused_card_data(one)) {
                return Err(Problem::from(Refusal::CardData(faults)).under(&pointer(at, "")));
            }
            Prepared { publications, shared: Some(tenants().map(|tenant| tenant.id.clone()).collect()) }
        }
    })
}

/// Whose an event is.
enum Owners<'a> {
    One(&'a TenantId, TenantNo),
    /// All tenants of the subject.
    Shared(&'a Subject),
}

impl<'a> Owners<'a> {
    /// The tenants that get the event.
    fn numbers(&self) -> impl Iterator<Item = TenantNo> {
        let (one, shared) = match self {
            Self::One(_, no) => (Some(*no), None),
            Self::Shared(subject) => (None, Some(&subject.tenants)),
        };
        one.into_iter().chain(shared.into_iter().flatten().map(|tenant| tenant.no))
    }

    fn of(
        app: &App,
        caller: &Caller,
        subjects: &'a Subjects,
        event: &'a NewEvent,
        at: Option<usize>,
    ) -> Result<Self, Problem> {
        let tenant = match &event.tenant {
            Some(id) => Some((id, tenant(app, caller, id)?)),
            None => None,
        };
        let Some(named) = &event.subject else {
            let (id, no) = tenant.ok_or_else(|| Problem::fault(&pointer(at, "/tenant"), "is missing"))?;
            return Ok(Self::One(id, no));
        };
        let unknown = || Problem::not_found("the subject");
        let subject = subjects.0.get(named).ok_or_else(unknown)?;
        if let Some((id, no)) = tenant
            && subject.tenants.iter().any(|owner| owner.no == no)
        {
            return Ok(Self::One(id, no));
        }
        // That it is somebody else's is told to nobody who may not know of them.
        if !subject.tenants.iter().all(|owner| caller.reaches(owner.id.as_str())) {
            return Err(unknown());
        }
        match tenant {
            Some(_) => Err(Problem::fault(
                &pointer(at, "/subject"),
                "does not belong to the tenant; name one of its own, or leave tenant out",
            )),
            None => Ok(Self::Shared(subject)),
        }
    }
}

/// A pointer into an event, seen from the whole request.
fn pointer(at: Option<usize>, within: &str) -> String {
    at.map_or_else(|| within.to_owned(), |index| format!("/{index}{within}"))
}

fn tenant(app: &App, caller: &Caller, id: &TenantId) -> Result<TenantNo, Problem> {
    let found = if caller.reaches(id.as_str()) { app.engine().tenant_no(id.as_str()) } else { None };
    found.ok_or_else(|| Problem::not_found("the tenant"))
}
