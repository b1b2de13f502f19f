//! What travels beside the types of a component: documentation and default arguments.
//!
//! `package-docs` is the standard section of WIT tools (a version byte, then JSON); `scaler-defaults` is our SDK's (a
//! JSON array of `{interface, function, parameter, value}`). Both are comfort: what cannot be read is left out, except
//! that a default of the wrong type is an error, because a call would fail on it.

use scaler_proto::resolve::same;
use scaler_proto::value::Value;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::read::ReadError;

/// Largest annotation that is looked at.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The documentation of a package, as its section has it.
#[derive(Debug, Default)]
pub(crate) struct Docs(Json);

/// One entry of `scaler-defaults`.
#[derive(Debug, Deserialize)]
pub(crate) struct Default {
    /// As exported or its last name alone; `None` for a root export.
    #[serde(default)]
    pub(crate) interface: Option<String>,
    /// The function.
    pub(crate) function: String,
    /// The parameter.
    pub(crate) parameter: String,
    /// The value in named form.
    pub(crate) value: Value,
}

impl Docs {
    pub(crate) fn read(section: Option<&[u8]>) -> Self {
        let json = section.filter(|bytes| bytes.len() <= BYTES_MAX).and_then(|bytes| match bytes {
            // Versions 0 and 1 differ in what they may hold, not in how.
            [0 | 1, json @ ..] => serde_json::from_slice(json).ok(),
            _ => None,
        });
        Self(json.unwrap_or_default())
    }

    /// What the author wrote about the whole module: the package, else its world, else its only interface.
    pub(crate) fn package(&self) -> Option<String> {
        let worlds = self.worlds().filter_map(|world| world.get("docs"));
        self.0.get("docs").into_iter().chain(worlds).find_map(text).or_else(|| {
            let maps = self.interfaces().filter_map(Json::as_object);
            let mut written =
                maps.flat_map(serde_json::Map::values).filter_map(|interface| text(interface.get("docs")?));
            let first = written.next();
            if written.next().is_some() { None } else { first }
        })
    }

    pub(crate) fn function(&self, interface: Option<&str>, function: &str) -> Option<String> {
        let Some(interface) = interface else {
            let maps = self.worlds().flat_map(|world| [world.get("func_exports"), world.get("funcs")]);
            return maps.flatten().filter_map(|map| map.get(function)).find_map(docs_of);
        };
        let last = last_name(interface);
        let named = self.interfaces().filter_map(|map| map.get(interface).or_else(|| map.get(last)));
        named.filter_map(|found| found.get("funcs")?.get(function)).find_map(docs_of)
    }

    /// Maps from names of interfaces, exports first: those written inside of worlds, then those of the package.
    fn interfaces(&self) -> impl Iterator<Item = &Json> {
        let in_worlds = self.worlds().flat_map(|world| [world.get("interface_exports"), world.get("interfaces")]);
        in_worlds.chain([self.0.get("interfaces")]).flatten()
    }

    fn worlds(&self) -> impl Iterator<Item = &Json> {
        self.0.get("worlds").and_then(Json::as_object).into_iter().flat_map(serde_json::Map::values)
    }
}

impl Default {
    /// All entries of all sections.
    pub(crate) fn read(sections: &[&[u8]]) -> Result<Vec<Self>, ReadError> {
        let mut all = Vec::new();
        for section in sections {
            if section.len() > BYTES_MAX {
                return Err(ReadError::TooComplex { what: "bytes of defaults", limit: BYTES_MAX });
            }
            let entries: Vec<Self> =
                serde_json::from_slice(section).map_err(|error| ReadError::Defaults { reason: error.to_string() })?;
            all.extend(entries);
        }
        Ok(all)
    }

    pub(crate) fn is_for(&self, interface: Option<&str>, function: &str) -> bool {
        let interface_fits = match (self.interface.as_deref(), interface) {
            (None, None) => true,
            (Some(own), Some(exported)) => same(own, exported) || same(last_name(own), last_name(exported)),
            _ => false,
        };
        interface_fits && same(&self.function, function)
    }
}

/// `init` of `ns:pkg/init@1.0.0`
fn last_name(interface: &str) -> &str {
    let name = interface.split('@').next().unwrap_or(interface);
    name.rsplit(['/', ':']).next().unwrap_or(name)
}

/// Functions hold their docs as an object, in the oldest version as a text.
fn docs_of(function: &Json) -> Option<String> {
    text(function.get("docs").unwrap_or(function))
}

fn text(json: &Json) -> Option<String> {
    json.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}
