//! What SQLite's errors mean to the engine.

use postrider_store::StoreError;
use rusqlite::ErrorCode;

/// Inside the crate: SQLite's errors and our own.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

pub(crate) type Res<T> = Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}

impl From<StoreError> for Fault {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl From<crate::codec::Malformed> for Fault {
    fn from(_: crate::codec::Malformed) -> Self {
        Self::Store(StoreError::Unusable("a stored record is damaged".into()))
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Sqlite(e) => classify(&e),
            Fault::Store(e) => e,
        }
    }
}

/// What an error of SQLite means.
pub(crate) fn classify(e: &rusqlite::Error) -> StoreError {
    match e.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(e.to_string()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy(e.to_string()),
        Some(ErrorCode::SystemIoFailure) => StoreError::Unknown(e.to_string()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Unusable(e.to_string()),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            StoreError::Unusable(e.to_string())
        }
        Some(ErrorCode::OperationInterrupted) => StoreError::Slow,
        _ => StoreError::Other(e.to_string()),
    }
}
