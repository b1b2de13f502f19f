//! What the checks of a section have to say, and the checks that several sections share.

use std::path::PathBuf;

use scaler_net::Address;

use super::{
    expand::expand,
    file::File,
    given::Givens,
    mistake::{Mistake, Place},
};

/// What a check has to say, each about one key.
#[derive(Debug, Default)]
pub struct Complaints(Vec<Complaint>);

#[derive(Debug)]
struct Complaint {
    /// Without one: the section that is checked.
    section: Option<&'static str>,
    key: String,
    /// Without one: where the key's value came from.
    offset: Option<usize>,
    message: String,
}

impl Complaints {
    /// Something about a key.
    pub fn about(&mut self, key: &'static str, message: impl Into<String>) {
        self.0.push(Complaint { section: None, key: key.to_owned(), offset: None, message: message.into() });
    }

    /// Something about a key of a table inside the section, at an offset of the file.
    pub(super) fn at(&mut self, offset: usize, section: &'static str, key: &str, message: impl Into<String>) {
        let (key, message) = (key.to_owned(), message.into());
        self.0.push(Complaint { section: Some(section), key, offset: Some(offset), message });
    }

    /// Another address is made from this one, unless it is given itself under the key `own`.
    pub fn derives(&mut self, key: &'static str, address: &Address, offset: u16, own: &str) {
        if let Err(error) = address.with_port_offset(offset) {
            self.about(key, format!("`{own}` is not given and derived from it: {error}"));
        }
    }

    /// Whoever listens beyond this machine must say that it is meant.
    pub fn listens(&mut self, key: &'static str, address: &Address, insecure: bool) {
        if !insecure && !address.is_loopback() {
            let message = format!(
                "{address} can be reached from other machines, and nothing is encrypted or authenticated yet; use \
                 127.0.0.1, or say `--insecure` (`insecure = true`)"
            );
            self.about(key, message);
        }
    }

    /// A list flag is greedy: it may have swallowed the address.
    pub fn logging_paths(&mut self, paths: &[PathBuf]) {
        for path in paths {
            if path.to_string_lossy().contains("://") {
                let path = path.display();
                let message =
                    format!("`{path}` is an address, not a path; on a command line it stands before this flag");
                self.about("logging_paths", message);
            } else if let Err(error) = expand(path) {
                self.about("logging_paths", format!("`{}`: {error}", path.display()));
            }
        }
    }

    pub(super) fn into_mistakes<'a>(
        self,
        section: &'a str,
        file: Option<&'a File>,
        givens: &'a Givens,
    ) -> impl Iterator<Item = Mistake> + 'a {
        self.0.into_iter().map(move |Complaint { section: inner, key, offset, message }| {
            let place = match (offset, file) {
                (Some(offset), Some(file)) => file.place(offset),
                _ => givens.get(&key).map_or(Place::Default, |given| given.place.clone()),
            };
            Mistake::Value { place, section: inner.unwrap_or(section).to_owned(), key, message }
        })
    }
}
