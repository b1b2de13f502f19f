//! Settings: flag > section of the TOML file > default, each option declared once (`sections`), mistakes named by
//! place.

mod argv;
mod check;
mod complaints;
mod docs;
mod effective;
mod expand;
mod file;
mod form;
mod given;
mod grants;
mod load;
mod mistake;
mod ports;
mod repeated;
mod sections;
mod syntax;
#[cfg(test)]
mod tests;
mod values;
mod words;

pub(crate) use argv::short_spellings;
pub use check::{CommandLine, Report, SectionReport, check};
pub use complaints::Complaints;
pub use docs::markdown_tables;
pub use effective::{Derived, Effective};
pub(crate) use expand::expand;
pub use file::KNOWN_SECTIONS;
pub use grants::GrantSettings;
pub use load::{Loaded, Section, load};
pub use mistake::{ConfigError, Gap, Mistake, Place};
pub use sections::{
    AllocatePolicy, ClusterSettings, EventLoop, Isolation, LoggingLevel, LoggingSettings, ObjectStorageSettings,
    PolicyContent, PolicyEngine, PolicyError, Scaling, ScalingStrategy, SchedulerSettings, TopSettings, WebUiSettings,
    commands, words_of,
};
pub(crate) use values::whole;
pub use values::{EmptyName, Names, NotWhole, UnknownWord, Whole};
