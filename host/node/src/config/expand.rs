//! Paths as they are written where no shell has read them: with `~` and with variables of the environment.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// What stands in a path and cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unexpandable {
    /// A variable that the environment does not have.
    #[error("the variable `{0}` is not set; set it for this process, or write the path out")]
    Unset(String),
    /// Braces without an end, or without a name.
    #[error("`${{` needs the name of a variable and a `}}`, as in `${{HOME}}/scaler.log`")]
    Braces,
    /// The home of somebody else.
    #[error("`{0}` is no home that is known here, only `~` is; write the path out, or `./{0}` for a name that is so")]
    OtherHome(String),
}

/// The path with a leading `~`, and with `$NAME` and `${NAME}`, replaced from the environment of this process.
///
/// # Errors
/// What cannot be replaced, and what to do about it.
pub(crate) fn expand(path: &Path) -> Result<PathBuf, Unexpandable> {
    expand_by(path, |name| env::var_os(name))
}

fn expand_by(path: &Path, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Unexpandable> {
    // What is no text holds none of these signs that anybody meant.
    let Some(mut rest) = path.to_str() else { return Ok(path.to_owned()) };
    let value = |name: &str| variable(name).ok_or_else(|| Unexpandable::Unset(name.to_owned()));
    let mut expanded = OsString::new();
    if let Some(behind) = rest.strip_prefix('~') {
        if !behind.is_empty() && !behind.starts_with('/') {
            return Err(Unexpandable::OtherHome(rest.split('/').next().unwrap_or(rest).to_owned()));
        }
        expanded.push(value("HOME")?);
        rest = behind;
    }
    while let Some((before, behind)) = rest.split_once('$') {
        expanded.push(before);
        let end = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (name, after) = match behind.strip_prefix('{') {
            Some(inside) => inside.split_once('}').filter(|(name, _)| !name.is_empty()).ok_or(Unexpandable::Braces)?,
            None => behind.split_at(end(behind)),
        };
        // A dollar before something else is one.
        if name.is_empty() {
            expanded.push("$");
        } else {
            expanded.push(value(name)?);
        }
        rest = after;
    }
    expanded.push(rest);
    Ok(expanded.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_and_variables_are_replaced_and_what_cannot_be_is_named() {
        let variable = |name: &str| match name {
            "HOME" => Some("/h/me".into()),
            "A_1" => Some("one".into()),
            _ => None,
        };
        let expand = |path: &str| expand_by(Path::new(path), variable).map(|path| path.display().to_string());
        for (path, expected) in [
            ("~", "/h/me"),
            ("~/a.log", "/h/me/a.log"),
            ("./~/a.log", "./~/a.log"),
            ("/x/$A_1/y", "/x/one/y"),
            ("/x/$A_1-${A_1}2", "/x/one-one2"),
            ("/x/5$", "/x/5$"),
            ("/x/$-y", "/x/$-y"),
            ("", ""),
        ] {
            assert_eq!(expand(path).as_deref(), Ok(expected), "{path}");
        }
        assert_eq!(expand("/x/$A_12/y"), Err(Unexpandable::Unset("A_12".to_owned())));
        assert_eq!(expand("${A_1"), Err(Unexpandable::Braces));
        assert_eq!(expand("${}/a"), Err(Unexpandable::Braces));
        assert_eq!(expand("~you/a.log"), Err(Unexpandable::OtherHome("~you".to_owned())));
        let homeless = expand_by(Path::new("~/a.log"), |_| None);
        assert_eq!(homeless, Err(Unexpandable::Unset("HOME".to_owned())));
    }
}
