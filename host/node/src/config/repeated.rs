//! What stands in a file twice. The parser names only the place of the second, so the text is looked at again.

use std::ops::Range;

/// A key or section that stands in the file before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) section: String,
    /// Empty for the section itself.
    pub(super) key: String,
    /// Line of the first, counted from 1.
    pub(super) first: usize,
    pub(super) first_is_section: bool,
}

/// What a line of the file gives a value or begins.
struct Line {
    /// From the outermost table down.
    path: Vec<String>,
    /// How much of the path is the section.
    section: usize,
    /// Where each part of the path that stands in this line ends in the file.
    ends: Vec<usize>,
    is_section: bool,
}

/// Where the key at `span` of `text` stands first, if that can be found.
pub(super) fn find(text: &str, span: Range<usize>) -> Option<Repeated> {
    let lines: Vec<Option<Line>> = lines(text, span.end);
    let last = lines.iter().rposition(Option::is_some)?;
    let line = lines[last].as_ref()?;
    // The key may stand in the middle of a path, or behind the sign of a line, in a table written on it.
    let above = line.path.len() - line.ends.len();
    let part = line.ends.iter().position(|end| *end >= span.end)?;
    let path = &line.path[..=above + part];
    let earlier = || lines[..last].iter().enumerate().filter_map(|(at, line)| Some((at, line.as_ref()?)));
    let same = earlier().find(|(_, line)| line.path == path);
    let (at, first) = same.or_else(|| earlier().find(|(_, line)| line.path.starts_with(path)))?;
    let key_from = if line.is_section { path.len() } else { line.section.max(1).min(path.len() - 1) };
    let (section, key) = path.split_at(key_from);
    let (section, key) =
        if section.is_empty() { (key.join("."), String::new()) } else { (section.join("."), key.join(".")) };
    Some(Repeated { section, key, first: at + 1, first_is_section: first.is_section })
}

/// The lines of the file up to the one of an offset; nothing for those that name nothing.
fn lines(text: &str, until: usize) -> Vec<Option<Line>> {
    let (mut lines, mut section, mut start) = (Vec::new(), Vec::new(), 0);
    // The end of a text of several lines, while the line is in one.
    let mut inside: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        if start >= until {
            break;
        }
        let is_text = inside.is_some();
        for quotes in ["\"\"\"", "'''"] {
            if inside.is_none_or(|end| end == quotes) && line.matches(quotes).count() % 2 == 1 {
                inside = if inside.is_some() { None } else { Some(quotes) };
            }
        }
        lines.push(if is_text { None } else { read(line, start, &mut section) });
        start += line.len();
    }
    lines
}

fn read(line: &str, start: usize, section: &mut Vec<String>) -> Option<Line> {
    let rest = line.trim_start();
    let is_section = rest.starts_with('[');
    let names = rest.trim_start_matches('[');
    let stop = if is_section { ']' } else { '=' };
    let (parts, ends) = parts(names, start + line.len() - names.len(), stop)?;
    if is_section {
        *section = parts;
        return Some(Line { path: section.clone(), section: section.len(), ends, is_section });
    }
    let path = section.iter().cloned().chain(parts).collect();
    Some(Line { path, section: section.len(), ends, is_section })
}

/// The names before `stop`, and where each ends.
fn parts(text: &str, start: usize, stop: char) -> Option<(Vec<String>, Vec<usize>)> {
    let (mut names, mut ends, mut name, mut quote) = (Vec::new(), Vec::new(), String::new(), None);
    for (at, sign) in text.char_indices() {
        match quote {
            Some(end) if sign == end => quote = None,
            Some(_) => name.push(sign),
            None if sign == stop || sign == '.' => {
                names.push(std::mem::take(&mut name));
                ends.push(start + at);
                if sign == stop {
                    return Some((names, ends));
                }
            }
            None if matches!(sign, '"' | '\'') => quote = Some(sign),
            None if sign == '#' => return None,
            None if sign.is_whitespace() => {}
            None => name.push(sign),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the key that begins at the last `needle` repeats.
    fn found(text: &str, needle: &str) -> Option<(String, String, usize, bool)> {
        let start = text.rfind(needle).expect("in the text");
        let Repeated { section, key, first, first_is_section } = find(text, start..start + needle.len())?;
        Some((section, key, first, first_is_section))
    }

    #[test]
    fn the_first_one_is_found_in_all_spellings() {
        let is =
            |section: &str, key: &str, first, is_section| Some((section.to_owned(), key.to_owned(), first, is_section));
        assert_eq!(found("[a]\nx = 1\n[b]\nx = 2\n  x = 3\n", "x"), is("b", "x", 4, false));
        assert_eq!(found("# x = 1\n[a]\n'x'=1\nx=2\n", "x"), is("a", "x", 3, false));
        assert_eq!(found("[a]\ny=1\n[b]\n[a]\n", "a"), is("a", "", 1, true));
        assert_eq!(found("[a]\nb = {}\n[a.b]\n", "b"), is("a.b", "", 2, false));
        assert_eq!(found("[[a.b]]\n[a.b]\n", "b"), is("a.b", "", 1, true));
        assert_eq!(found("a.x = 1\na.x = 2\n", "x"), is("a", "x", 1, false));
        assert_eq!(found("a.x = 1\n[a]\n", "a"), is("a", "", 1, false));
        assert_eq!(found("[a]\nt = '''\nx = 1\n'''\nx = 1\nx = 2\n", "x"), is("a", "x", 5, false));
        assert_eq!(found("[a]\nt = { x = 1, x = 2 }\n", "x"), None);
    }
}
