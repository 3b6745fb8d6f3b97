//! Files with a secret in them: made whole or not at all, readable by their owner alone, never replaced, and not believed
//! where others could have read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use postrider_core::secret::Secret;
use zeroize::Zeroizing;

/// Why a file's secret is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Others may read it, and so may have.
    #[error("others can read it (permissions {0:04o})")]
    Exposed(u32),
    /// It is a directory, a device, too long, or no text.
    #[error("it is not a file with a line of text in it")]
    NoText,
}

/// The text of a file that only its owner can read, of at most so many bytes, without the end of its line; `None` if there
/// is no file.
pub(crate) fn read(file: &Path, most: usize) -> Result<Option<Secret>, ReadError> {
    let open = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        open => open?,
    };
    let about = open.metadata()?;
    if !about.is_file() {
        return Err(ReadError::NoText);
    }
    if about.mode() & 0o077 != 0 {
        return Err(ReadError::Exposed(about.mode() & 0o777));
    }
    // With room for the line's end; one byte more shows that there is too much.
    let room = most + 2;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    open.take(room as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > room {
        return Err(ReadError::NoText);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| ReadError::NoText)?.trim_end();
    if text.len() > most {
        return Err(ReadError::NoText);
    }
    Ok(Some(Secret::of(&[text])))
}

/// Writes a file that only its owner can read, whole or not at all, unless there is one. It is on the disk when this returns,
/// and so is its name.
pub(crate) fn write(file: &Path, text: &Secret) -> io::Result<()> {
    let mut staged = file.as_os_str().to_owned();
    staged.push(".new");
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
    open.write_all(text.reveal().as_bytes())?;
    open.write_all(b"\n")?;
    open.sync_all()?;
    // Unlike a rename, a link never replaces what came there in the meantime.
    let linked = fs::hard_link(&staged, file);
    fs::remove_file(&staged)?;
    linked?;
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn abuse_a106_a_file_is_readable_by_its_owner_alone_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("postrider.db.admin-token");
        assert!(read(&file, 10).unwrap().is_none());
        write(&file, &Secret::new("first")).unwrap();
        let again = write(&file, &Secret::new("second")).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&file).unwrap(), "first\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing stays behind");
        assert_eq!(read(&file, 10).unwrap().unwrap().reveal(), "first");
        for mode in [0o640, 0o604, 0o644] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&file, 10), Err(ReadError::Exposed(found)) if found == mode));
        }
    }

    #[test]
    fn what_is_no_line_of_text_is_not_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        for (bytes, taken) in [
            (&b"12345"[..], Some("12345")),
            (b"12345\r\n", Some("12345")),
            (b"", Some("")),
            (b"123456", None),
            (b"12345\n\n\n\n\n6", None),
            (b"\xff", None),
        ] {
            fs::write(&file, bytes).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            let read = read(&file, 5);
            match taken {
                Some(text) => assert_eq!(read.unwrap().unwrap().reveal(), text),
                None => assert!(matches!(read, Err(ReadError::NoText)), "{bytes:?}"),
            }
        }
        assert!(matches!(read(dir.path(), 5), Err(ReadError::NoText)));
    }
}
