//! The profiles: how the webhooks of each platform look, and which events it has. One folder a platform, with its declaration
//! and its catalogue; and an operator's own, read from a folder of the same shape.
//!
//! **Knows**: files of declarations. **Must not know**: how deliveries are made, routes.
//!
//! ```
//! let profiles = postrider_profiles::built_in();
//! let names: Vec<&str> = profiles.iter().map(|profile| profile.name().as_str()).collect();
//! assert_eq!(names, ["clevercards", "fourpay", "mcards", "opencard", "penny", "standard"]);
//! ```
#![forbid(unsafe_code)]

mod folder;

pub use folder::{CATALOG, FolderFault, WIRE, check, load};

use postrider_core::profile::{Profile, Profiles, parse_catalog};

/// What comes with a server beside `standard`, which the core has: name, declaration, catalogue.
const BUILT_IN: [(&str, &str, &str); 5] = [
    ("clevercards", include_str!("clevercards/wire.toml"), include_str!("clevercards/catalog.toml")),
    ("fourpay", include_str!("fourpay/wire.toml"), include_str!("fourpay/catalog.toml")),
    ("mcards", include_str!("mcards/wire.toml"), include_str!("mcards/catalog.toml")),
    ("opencard", include_str!("opencard/wire.toml"), include_str!("opencard/catalog.toml")),
    ("penny", include_str!("penny/wire.toml"), include_str!("penny/catalog.toml")),
];

/// The profiles that every server has.
pub fn built_in() -> Profiles {
    let mut profiles = Profiles::default();
    for (name, wire, catalog) in BUILT_IN {
        let name = name.parse().expect("the names of what comes with a server are names");
        let profile = Profile::parse(name, wire)
            .expect("the declarations that come with a server are tested to have no faults");
        let types = parse_catalog(catalog)
            .expect("the catalogues that come with a server are tested to have no faults");
        profiles.add(profile.with_types(types)).expect("no two of what comes with a server have one name");
    }
    profiles
}
