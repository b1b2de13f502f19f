//! The original's flags as clap reads them: every one in its long form with its value attached, positionals last.
//!
//! Multi-letter short flags (`-osa`, `-tts`), which clap does not have, are declared as aliases without a hyphen at the
//! option itself. Flags that may stand alone (`-p`) take the next word only when it can be a yes or no, and lists end
//! before an address, so that `-p ADDRESS` and `-lp a b ADDRESS` mean what they say.

use std::{any::TypeId, ffi::OsString, iter::Peekable};

use clap::{Arg, ArgAction, Command, error::ErrorKind};

use scaler_proto::nearest::nearest;

use super::values::boolean;

/// Schemes that no path begins with: such a word is the positional.
const SCHEMES: [&str; 3] = ["tcp://", "ipc://", "inproc://"];

/// The short flags of more than one letter that an option has.
pub(crate) fn short_spellings(arg: &Arg) -> Vec<String> {
    aliases(arg).filter(|alias| is_short(alias)).map(|alias| format!("-{alias}")).collect()
}

/// Whether an option has this short flag, written without its hyphen.
pub(super) fn is_short_of(arg: &Arg, word: &str) -> bool {
    arg.get_short().is_some_and(|letter| word.chars().eq([letter]))
        || aliases(arg).any(|alias| is_short(alias) && alias == word)
}

/// Other names of the option's key in the file.
pub(super) fn other_keys(arg: &Arg) -> Vec<String> {
    aliases(arg).filter(|alias| !is_short(alias)).map(|alias| alias.replace('-', "_")).collect()
}

fn aliases(arg: &Arg) -> impl Iterator<Item = &str> {
    arg.get_all_aliases().unwrap_or_default().into_iter()
}

fn is_short(alias: &str) -> bool {
    alias.len() <= 4 && !alias.contains('-')
}

/// Whether the option is a yes or no.
pub(super) fn is_boolean(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<bool>()
}

/// Whether the option is a list.
pub(super) fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// Whether the argument is one of clap's own.
pub(super) fn is_own(arg: &Arg) -> bool {
    matches!(arg.get_id().as_str(), "help" | "version")
}

/// The arguments with every flag in its long form. The first one is the program's name; `file_only` is what only a file
/// can hold.
///
/// # Errors
/// A flag of one hyphen that there is not, and a key that is no flag; everything else is left to clap.
pub(super) fn expand(
    command: &mut Command,
    file_only: &[&str],
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Vec<OsString>, clap::Error> {
    let mut words = arguments.into_iter().peekable();
    let mut expanded: Vec<OsString> = words.next().into_iter().collect();
    let mut positionals = Vec::new();
    while let Some(word) = words.next() {
        let Some(text) = word.to_str().filter(|text| is_flag(text)) else {
            positionals.push(word);
            continue;
        };
        if text == "--" {
            positionals.extend(words);
            break;
        }
        let (flag, value) = match text.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (text, None),
        };
        match find(command, flag).or_else(|| attached(command, text)) {
            Some(Found { arg, value: glued }) => expanded.extend(long_form(arg, value.or(glued), &mut words)),
            None => match no_flag(command, file_only, flag) {
                Some(problem) => return Err(command.error(ErrorKind::UnknownArgument, problem)),
                None if flag.starts_with("--") || matches!(flag, "-h" | "-V") => expanded.push(word),
                None => return Err(unknown(command, flag)),
            },
        }
    }
    if !positionals.is_empty() {
        expanded.push("--".into());
        expanded.extend(positionals);
    }
    Ok(expanded)
}

struct Found<'c> {
    arg: &'c Arg,
    value: Option<String>,
}

/// A hyphen and a letter; `-1` is a number and `-` alone a word.
fn is_flag(word: &str) -> bool {
    word == "--" || word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| !c.is_ascii_digit()))
}

fn find<'c>(command: &'c Command, flag: &str) -> Option<Found<'c>> {
    let arg = command.get_arguments().filter(|arg| !is_own(arg)).find(|arg| match flag.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long) || aliases(arg).any(|alias| alias == long && !is_short(alias)),
        None => {
            let letter = arg.get_short().map(|letter| format!("-{letter}"));
            letter.as_deref() == Some(flag) || short_spellings(arg).iter().any(|short| short == flag)
        }
    })?;
    Some(Found { arg, value: None })
}

/// A letter with its value attached, as in `-n8`.
fn attached<'c>(command: &'c Command, text: &str) -> Option<Found<'c>> {
    let mut letters = text.strip_prefix('-')?.chars();
    let letter = letters.next().filter(|letter| letter.is_ascii_alphabetic())?;
    let value = letters.as_str();
    // A letter after it is rather a flag of more letters, mistyped; a path is not.
    let is_value = value.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.' | '/'));
    let arg = command.get_arguments().find(|arg| arg.get_short() == Some(letter) && !is_own(arg))?;
    (is_value && !is_boolean(arg)).then(|| Found { arg, value: Some(value.to_owned()) })
}

/// The flag with the values that belong to it.
fn long_form(arg: &Arg, value: Option<String>, words: &mut Peekable<impl Iterator<Item = OsString>>) -> Vec<OsString> {
    let long = arg.get_long().unwrap_or_default();
    let with = |value: OsString| {
        let mut flag = OsString::from(format!("--{long}="));
        flag.push(value);
        flag
    };
    let alone = || vec![OsString::from(format!("--{long}"))];
    if let Some(value) = value {
        return vec![with(value.into())];
    }
    let is_free = |word: &OsString| !word.to_str().is_some_and(is_flag);
    if is_boolean(arg) {
        // What looks like a word but is no yes or no is told so, instead of being taken for the address.
        let is_meant = |word: &str| boolean(word).is_ok() || word.chars().all(char::is_alphabetic);
        let next = words.next_if(|word| word.to_str().is_some_and(is_meant) && is_free(word));
        return vec![with(next.unwrap_or_else(|| "true".into()))];
    }
    if is_list(arg) {
        let is_path =
            |word: &OsString| is_free(word) && !SCHEMES.iter().any(|scheme| word.to_string_lossy().starts_with(scheme));
        let values: Vec<OsString> = std::iter::from_fn(|| words.next_if(is_path)).map(with).collect();
        return if values.is_empty() { alone() } else { values };
    }
    words.next_if(is_free).map_or_else(alone, |value| vec![with(value)])
}

/// What to say about a key of the file that is no flag.
fn no_flag(command: &Command, file_only: &[&str], flag: &str) -> Option<String> {
    let key = flag.strip_prefix("--")?.replace('-', "_");
    if command.get_arguments().any(|arg| arg.is_positional() && arg.get_id() == key.as_str()) {
        let (program, name) = (command.get_name(), key.to_ascii_uppercase());
        return Some(format!("{name} stands without a flag: write `{program} tcp://HOST:PORT`, not `{flag} ..`"));
    }
    let is_table = file_only.contains(&key.as_str());
    is_table.then(|| format!("'{flag}' is no flag: a table like `{key}` stands only in a file, given by --config"))
}

fn unknown(command: &mut Command, flag: &str) -> clap::Error {
    let mut spellings = Vec::new();
    for arg in command.get_arguments().filter(|arg| !is_own(arg)) {
        let Some(long) = arg.get_long() else { continue };
        spellings.push((long.to_owned(), format!("--{long}")));
        for short in short_spellings(arg) {
            spellings.push((short.trim_start_matches('-').to_owned(), format!("{short} (--{long})")));
        }
    }
    let near = nearest(flag.trim_start_matches('-'), spellings.iter().map(|(letters, _)| letters.as_str()));
    let meant = near.and_then(|near| spellings.iter().find(|(letters, _)| letters == near));
    let tip = meant.map_or_else(|| "-h lists the flags".to_owned(), |(_, full)| format!("did you mean {full}?"));
    command.error(ErrorKind::UnknownArgument, format!("unexpected argument '{flag}' found; {tip}"))
}
