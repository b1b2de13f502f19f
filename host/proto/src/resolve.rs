//! From the name in a call to one exported function: the longest file match decides (DESIGN section 4).
//!
//! `a.b.c:f` is the root export `f` of module `a.b.c`; else an `f` in an interface `c` of module `a.b`; else an `f` in
//! an interface `b.c` of module `a`, `b` being its package. The scheduler, `--preload` and `scaler run` all ask here.

use std::fmt;

use crate::{
    message::{FunctionInfo, ModuleInfo},
    nearest::{Hint, nearest},
};

/// Why a name means nothing, or too much. Names are shown in snake_case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// No module of that path or a part of it.
    #[error("there is no module `{module}`; {}{hint}", remedy(known))]
    NoModule {
        /// As asked.
        module: String,
        /// The nearest name.
        hint: Hint,
        /// What there is.
        known: Known,
    },
    /// There are modules, but none exports the function where it was asked for.
    #[error("module `{module}` has no function `{function}`; there is {known}{hint}")]
    NoFunction {
        /// As asked.
        module: String,
        /// As asked.
        function: String,
        /// The nearest name.
        hint: Hint,
        /// What there is.
        known: Known,
    },
    /// More than one function has that name.
    #[error("`{module}:{function}` is ambiguous; it could be {known}")]
    Ambiguous {
        /// As asked.
        module: String,
        /// As asked.
        function: String,
        /// All of them, with the whole names.
        known: Known,
    },
}

/// Names that there are, sorted; prints the first few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known(pub Vec<String>);

impl Known {
    const SHOWN: usize = 12;
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing at all");
        }
        for (index, name) in self.0.iter().take(Self::SHOWN).enumerate() {
            write!(f, "{}`{name}`", if index == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(Self::SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// What there is instead of a module, or how to come by the first.
fn remedy(known: &Known) -> String {
    if known.0.is_empty() {
        return "there is no module at all: make one with `scaler build` and put it into the cluster's `module_path` \
                (`--module-path`, `./modules` unless set otherwise)"
            .to_owned();
    }
    format!("there is {known}")
}

/// Finds the function that `module` (dotted path) and `function` name, in either spelling.
///
/// # Errors
/// When there is none (lists what there is and the nearest name) or more than one (lists them).
pub fn resolve<'a>(
    modules: impl Iterator<Item = &'a ModuleInfo>,
    module: &str,
    function: &str,
) -> Result<(&'a ModuleInfo, &'a FunctionInfo), ResolveError> {
    let segments: Vec<&str> = module.split('.').collect();
    // Modules whose path is the beginning of what was asked for, the longest first.
    let mut reachable: Vec<(&ModuleInfo, &[&str])> = Vec::new();
    let mut others = Vec::new();
    for info in modules {
        match strip(&segments, &info.path) {
            Some(rest) => reachable.push((info, rest)),
            None => others.push(info),
        }
    }
    reachable.sort_by_key(|(_, rest)| rest.len());

    let (module, function) = (snake(module), snake(function));
    for level in reachable.chunk_by(|(_, left), (_, right)| left.len() == right.len()) {
        let mut found: Vec<(&ModuleInfo, &FunctionInfo)> = Vec::new();
        for (info, rest) in level {
            for export in info.functions.iter().filter(|export| same(&export.name, &function)) {
                let twin = |(known, other): &(&ModuleInfo, &FunctionInfo)| {
                    known.identity == info.identity && known.path == info.path && other.interface == export.interface
                };
                if interface_matches(export.interface.as_deref(), rest) && !found.iter().any(twin) {
                    found.push((info, export));
                }
            }
        }
        match found[..] {
            [] => {}
            [only] => return Ok(only),
            _ => {
                let known = sorted(found.iter().map(|(info, export)| whole_name(info, export)));
                return Err(ResolveError::Ambiguous { module, function, known });
            }
        }
    }

    if reachable.is_empty() {
        let paths = || others.iter().map(|info| snake(&info.path));
        let known = sorted(paths());
        let names: Vec<String> = others.iter().flat_map(|info| callable_names(info)).collect();
        let hint = Hint::of(&module, names.iter().map(String::as_str));
        return Err(ResolveError::NoModule { module, hint, known });
    }
    let known = sorted(reachable.iter().flat_map(|(info, _)| info.functions.iter().map(|export| target(info, export))));
    // The module is there, so what was mistyped is the function; or it is asked for under another interface.
    let functions = known.0.iter().filter_map(|name| Some(name.rsplit_once(':')?.1));
    let meant = nearest(&function, functions);
    let of = |meant: &str| known.0.iter().find(|name| name.rsplit_once(':').is_some_and(|(_, own)| own == meant));
    // The only name that there is stands there already.
    let hint = Hint(meant.and_then(of).filter(|_| known.0.len() > 1).cloned());
    Err(ResolveError::NoFunction { module, function, hint, known })
}

/// The shortest target under which a call reaches an export: `a.b.init:configure`.
#[must_use]
pub fn target(info: &ModuleInfo, export: &FunctionInfo) -> String {
    target_in(&info.path, export)
}

/// The same for a module of which only the path is known.
#[must_use]
pub fn target_in(path: &str, export: &FunctionInfo) -> String {
    let path = snake(path);
    let name = snake(&export.name);
    match export.interface.as_deref().map(|interface| interface_segments(interface).pop().unwrap_or_default()) {
        Some(interface) => format!("{path}.{}:{name}", snake(interface)),
        None => format!("{path}:{name}"),
    }
}

/// Whether two names are the same in snake_case and kebab-case.
#[must_use]
pub fn same(left: &str, right: &str) -> bool {
    left.len() == right.len()
        && left.bytes().zip(right.bytes()).all(|(l, r)| l == r || matches!((l, r), (b'-', b'_') | (b'_', b'-')))
}

/// A name as it is shown: in snake_case.
#[must_use]
pub fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// What is left of the asked segments after the module's own path, if that is their beginning.
fn strip<'s, 'a>(segments: &'s [&'a str], path: &str) -> Option<&'s [&'a str]> {
    let mut rest = segments;
    for own in path.split('.') {
        let (first, after) = rest.split_first()?;
        if !same(first, own) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// Whether an export lies where the rest of the path points: at the root if nothing is left, else in an interface whose
/// last names (`ns`, `pkg`, `iface` of `ns:pkg/iface@1.0.0`) are the rest.
fn interface_matches(interface: Option<&str>, rest: &[&str]) -> bool {
    let Some(interface) = interface else { return rest.is_empty() };
    let own = interface_segments(interface);
    !rest.is_empty()
        && own.len() >= rest.len()
        && own[own.len() - rest.len()..].iter().zip(rest).all(|(l, r)| same(l, r))
}

fn interface_segments(interface: &str) -> Vec<&str> {
    let name = interface.split('@').next().unwrap_or(interface);
    name.split([':', '/']).collect()
}

/// What may stand before the `:` of a call of the module: its path, and with each of its interfaces.
fn callable_names(info: &ModuleInfo) -> Vec<String> {
    let path = snake(&info.path);
    let mut names = vec![path.clone()];
    for interface in info.functions.iter().filter_map(|export| export.interface.as_deref()) {
        let own = interface_segments(interface);
        names.extend((0..own.len()).map(|from| format!("{path}.{}", snake(&own[from..].join(".")))));
    }
    names
}

fn whole_name(info: &ModuleInfo, export: &FunctionInfo) -> String {
    let hash = info.identity.hash.to_string();
    let interface =
        export.interface.as_deref().map_or_else(|| "the root".to_owned(), |name| format!("interface {name}"));
    format!("{} in {interface} of module {} ({})", snake(&export.name), info.path, &hash[..12])
}

fn sorted(names: impl Iterator<Item = String>) -> Known {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    Known(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::ModuleHash, message::Identity};

    /// `module("a.b", ["f", "ns:pkg/init@1.0.0#g"])`
    fn module(path: &str, exports: &[&str]) -> ModuleInfo {
        let functions = exports.iter().map(|export| match export.split_once('#') {
            Some((interface, name)) => (Some(interface.to_owned()), name),
            None => (None, *export),
        });
        ModuleInfo {
            path: path.to_owned(),
            identity: Identity { hash: ModuleHash([path.len() as u8; 32]), preload: None },
            functions: functions
                .map(|(interface, name)| FunctionInfo { interface, name: name.to_owned(), signature: Vec::new() })
                .collect(),
        }
    }

    fn find(modules: &[ModuleInfo], module: &str, function: &str) -> Result<String, String> {
        resolve(modules.iter(), module, function)
            .map(|(info, export)| {
                format!("{}|{}|{}", info.path, export.interface.as_deref().unwrap_or("-"), export.name)
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_longest_file_match_wins_and_shorter_ones_follow() {
        let all = [
            module("a.b.c", &["f"]),
            module("a.b", &["ns:pkg/c#f", "c#g"]),
            module("a", &["ns:b/c@1.2.0#f", "ns:b/c@1.2.0#h"]),
        ];
        assert_eq!(find(&all, "a.b.c", "f").as_deref(), Ok("a.b.c|-|f"));
        assert_eq!(find(&all, "a.b.c", "g").as_deref(), Ok("a.b|c|g"));
        assert_eq!(find(&all, "a.b.c", "h").as_deref(), Ok("a|ns:b/c@1.2.0|h"));
        assert_eq!(find(&all[1..], "a.b.c", "f").as_deref(), Ok("a.b|ns:pkg/c|f"));
        assert_eq!(find(&all, "a.ns.b.c", "h").as_deref(), Ok("a|ns:b/c@1.2.0|h"));
    }

    #[test]
    fn both_spellings_name_the_same_thing() {
        let all = [module("my-mod", &["my:pkg/set-up#do-it"])];
        for (path, function) in [("my_mod.set_up", "do_it"), ("my-mod.set-up", "do-it"), ("my_mod.set-up", "do_it")] {
            assert_eq!(find(&all, path, function).as_deref(), Ok("my-mod|my:pkg/set-up|do-it"));
        }
    }

    #[test]
    fn a_root_export_is_not_reached_through_an_interface_nor_the_other_way() {
        let all = [module("m", &["f", "init#g"])];
        assert!(find(&all, "m", "g").expect_err("in init").contains("did you mean `m.init:g`?"));
        assert!(find(&all, "m.init", "f").expect_err("at the root").contains("did you mean `m:f`?"));
    }

    #[test]
    fn ambiguity_lists_the_candidates() {
        let versions = [module("m", &["ns:p/init@1.0.0#f", "ns:p/init@2.0.0#f"])];
        let error = find(&versions, "m.init", "f").expect_err("two versions");
        let start =
            "`m.init:f` is ambiguous; it could be `f in interface ns:p/init@1.0.0 of module m (010101010101)`, `f in";
        assert!(error.starts_with(start) && error.contains("ns:p/init@2.0.0"), "{error}");
        let spellings = [module("a-b", &["f"]), module("a_b", &["f"])];
        assert!(find(&spellings, "a_b", "f").expect_err("two files").contains("ambiguous"));
    }

    #[test]
    fn the_same_identity_announced_twice_is_one() {
        let all = [module("m", &["f"]), module("m", &["f"])];
        assert_eq!(find(&all, "m", "f").as_deref(), Ok("m|-|f"));
    }

    #[test]
    fn a_miss_lists_what_there_is_and_the_nearest() {
        let all = [module("options", &["mc#price"]), module("hello", &["greet"])];
        assert_eq!(
            find(&all, "helo", "greet").expect_err("typo"),
            "there is no module `helo`; there is `hello`, `options`; did you mean `hello`?"
        );
        assert_eq!(
            find(&all, "hello", "great").expect_err("typo"),
            "module `hello` has no function `great`; there is `hello:greet`"
        );
        // As long as it may be wrong, the module's name does not make a stranger a relative.
        assert_eq!(
            find(&all, "options", "prepare").expect_err("a stranger"),
            "module `options` has no function `prepare`; there is `options.mc:price`"
        );
        let nothing = find(&[], "x", "y").expect_err("nothing");
        assert!(nothing.starts_with("there is no module `x`; there is no module at all: "), "{nothing}");
        assert!(nothing.contains("scaler build") && nothing.contains("module_path"), "{nothing}");
    }

    #[test]
    fn a_mistyped_module_is_told_with_the_interface_that_was_asked_for() {
        let all = [module("hello", &["demo:hello/greeting#greet"]), module("tools.text", &["f"])];
        for (asked, meant) in [
            ("helo.greeting", "hello.greeting"),
            ("helo.greting", "hello.greeting"),
            ("hello1", "hello"),
            ("helo.demo.hello.greeting", "hello.demo.hello.greeting"),
            ("tols.text", "tools.text"),
        ] {
            let error = find(&all, asked, "greet").expect_err(asked);
            assert_eq!(
                error,
                format!("there is no module `{asked}`; there is `hello`, `tools.text`; did you mean `{meant}`?")
            );
        }
        let stranger = find(&all, "numbers.greeting", "greet").expect_err("a stranger");
        assert_eq!(stranger, "there is no module `numbers.greeting`; there is `hello`, `tools.text`");
    }
}
