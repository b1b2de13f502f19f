//! Settings: flag > section of the TOML file > default, each option declared once (`sections`), mistakes named by
//! place.

mod argv;
mod docs;
mod faces;
mod file;
mod grants;
mod load;
mod mistake;
mod nearest;
mod sections;
#[cfg(test)]
mod tests;
mod text;
mod values;
mod wording;

pub use docs::markdown_tables;
pub use faces::{TopSettings, WebUiSettings};
pub use file::KNOWN_SECTIONS;
pub use grants::GrantSettings;
pub use load::{Complaints, Loaded, Section, load};
pub use mistake::{ConfigError, Mistake, Place};
pub use nearest::nearest;
pub use sections::{
    AllocatePolicy, ClusterSettings, EventLoop, Isolation, LoggingLevel, LoggingSettings, ObjectStorageSettings,
    SchedulerSettings,
};
pub use values::{Names, UnknownWord};
