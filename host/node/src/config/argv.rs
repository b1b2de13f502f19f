//! The original's multi-letter short flags (`-osa`, `-tts`), which clap does not have, as long ones.
//!
//! They are declared as aliases without a hyphen at the option itself. Flags that may stand alone (`-p`) only take the
//! next word when it is a boolean, so that `-p ADDRESS` works.

use std::{any::TypeId, ffi::OsString};

use clap::{Arg, Command};

use super::values::boolean;

/// The short flag of more than one letter that an alias stands for.
pub(super) fn short_spellings(arg: &Arg) -> Vec<String> {
    let aliases = arg.get_all_aliases().unwrap_or_default();
    aliases
        .into_iter()
        .filter(|alias| alias.len() <= 4 && !alias.contains('-'))
        .map(|alias| format!("-{alias}"))
        .collect()
}

/// Whether the option is a yes or no.
pub(super) fn is_boolean(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<bool>()
}

/// The arguments with every flag in its long form. The first one is the program's name.
pub(super) fn expand(command: &Command, arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter().peekable();
    let mut expanded: Vec<OsString> = arguments.next().into_iter().collect();
    while let Some(argument) = arguments.next() {
        let Some(text) = argument.to_str().filter(|text| text.starts_with('-')) else {
            expanded.push(argument);
            continue;
        };
        if text == "--" {
            expanded.push(argument);
            expanded.extend(arguments);
            break;
        }
        let (flag, value) = match text.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (text, None),
        };
        let Some((arg, long)) = find(command, flag) else {
            expanded.push(argument);
            continue;
        };
        let value = match value {
            Some(value) => Some(value.to_owned()),
            None if is_boolean(arg) => {
                let next = arguments.next_if(|next| next.to_str().is_some_and(|word| boolean(word).is_ok()));
                Some(next.and_then(|word| word.into_string().ok()).unwrap_or_else(|| "true".to_owned()))
            }
            None => None,
        };
        expanded.push(value.map_or_else(|| format!("--{long}"), |value| format!("--{long}={value}")).into());
    }
    expanded
}

fn find<'c>(command: &'c Command, flag: &str) -> Option<(&'c Arg, &'c str)> {
    command.get_arguments().find_map(|arg| {
        let long = arg.get_long()?;
        let short = || arg.get_short().is_some_and(|letter| flag == format!("-{letter}"));
        let known = flag == format!("--{long}") || short() || short_spellings(arg).iter().any(|short| short == flag);
        (known && !matches!(long, "help" | "version")).then_some((arg, long))
    })
}
