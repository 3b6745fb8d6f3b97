//! An operator's own profiles: a folder with one folder for each, named as the profile.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use postrider_core::profile::{
    MAX_DECLARATION_BYTES, MAX_PROFILES, Misdeclared, Profile, ProfileName, Profiles, parse_catalog,
};

/// The file that declares a profile.
pub const WIRE: &str = "wire.toml";
/// The file with its event types; it may be absent.
pub const CATALOG: &str = "catalog.toml";
/// Entries of the folder that are looked at, at most.
const MAX_ENTRIES: usize = 1_024;

/// One thing wrong with a folder of profiles.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderFault {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it, and where in it.
    pub fault: Misdeclared,
}

impl FolderFault {
    /// A fault of a file or folder as a whole.
    pub fn of(path: &Path, detail: impl Into<String>) -> Self {
        let fault = Misdeclared { line: None, key: String::new(), detail: detail.into() };
        Self { path: path.to_owned(), fault }
    }
}

impl fmt::Display for FolderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.fault)
    }
}

/// Adds the profiles of a folder to those that are there: `NAME/wire.toml`, and `NAME/catalog.toml` if there is one. Entries
/// whose names begin with a dot, and files, are passed over.
///
/// # Errors
/// All that is wrong with any of them; then none is to be used.
pub fn load(folder: &Path, profiles: &mut Profiles) -> Result<(), Vec<FolderFault>> {
    let whole = |detail: String| vec![FolderFault::of(folder, detail)];
    let entries = fs::read_dir(folder).map_err(|error| whole(format!("cannot be read: {error}")))?;
    let mut folders = Vec::new();
    for (index, entry) in entries.enumerate() {
        if index == MAX_ENTRIES {
            return Err(whole(format!(
                "has more than {MAX_ENTRIES} entries; keep profiles apart from other files"
            )));
        }
        let path = entry.map_err(|error| whole(format!("cannot be read: {error}")))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_dir() && !hidden {
            folders.push(path);
        }
    }
    if folders.len() > MAX_PROFILES {
        return Err(whole(format!("has {} profiles; {MAX_PROFILES} are allowed", folders.len())));
    }
    // In one order on every machine.
    folders.sort_unstable();
    let mut faults = Vec::new();
    for path in folders {
        match check(&path) {
            Ok(profile) => {
                faults.extend(profiles.add(profile).err().map(|detail| FolderFault::of(&path, detail)));
            }
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Reads one profile from its folder.
///
/// # Errors
/// All that is wrong with it.
pub fn check(folder: &Path) -> Result<Profile, Vec<FolderFault>> {
    let mut faults = Vec::new();
    // A path such as `.` has no name of its own.
    let whole = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let name = whole.file_name().unwrap_or_default().to_string_lossy();
    let name = name.parse::<ProfileName>();
    if let Err(form) = &name {
        faults.push(FolderFault::of(folder, format!("names a profile, and {form}; rename the folder")));
    }
    let mut wanted = |file: &str, needed: bool| {
        let path = folder.join(file);
        if !needed && !path.exists() {
            return None;
        }
        read(&path).map_err(|detail| faults.push(FolderFault::of(&path, detail))).ok()
    };
    let (wire, catalog) = (wanted(WIRE, true), wanted(CATALOG, false));
    let below = |file: &str, found: Vec<Misdeclared>| {
        let path = folder.join(file);
        found.into_iter().map(move |fault| FolderFault { path: path.clone(), fault })
    };
    let placeholder = ProfileName::default();
    let profile = wire.and_then(|text| {
        let name = name.as_ref().unwrap_or(&placeholder).clone();
        Profile::parse(name, &text).map_err(|found| faults.extend(below(WIRE, found))).ok()
    });
    let types = catalog.map_or(Some(Default::default()), |text| {
        parse_catalog(&text).map_err(|found| faults.extend(below(CATALOG, found))).ok()
    });
    match profile.zip(types) {
        Some((profile, types)) if faults.is_empty() => Ok(profile.with_types(types)),
        _ => Err(faults),
    }
}

fn read(path: &Path) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let limit = MAX_DECLARATION_BYTES as u64;
    let mut text = String::new();
    // Bounded by what is read, whatever the file says of its length.
    file.take(limit + 1).read_to_string(&mut text).map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > limit {
        return Err(format!("is longer than {MAX_DECLARATION_BYTES} bytes"));
    }
    Ok(text)
}
