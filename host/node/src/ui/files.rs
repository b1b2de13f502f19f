//! The files of the page, embedded; nothing is built, fetched or copied from elsewhere.

use std::fmt::Write as _;

use crate::palette::{self, Look};

/// One file: its path, its type, its text.
pub(super) type File = (&'static str, &'static str, &'static str);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What is served as it is.
pub(super) const FILES: &[File] = &[
    ("/", HTML, include_str!("page/index.html")),
    ("/style.css", CSS, include_str!("page/style.css")),
    ("/main.js", SCRIPT, include_str!("page/main.js")),
    ("/stream.js", SCRIPT, include_str!("page/stream.js")),
    ("/model.js", SCRIPT, include_str!("page/model.js")),
    ("/format.js", SCRIPT, include_str!("page/format.js")),
    ("/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/table.js", SCRIPT, include_str!("page/table.js")),
    ("/tables.js", SCRIPT, include_str!("page/tables.js")),
    ("/glance.js", SCRIPT, include_str!("page/glance.js")),
    ("/chart.js", SCRIPT, include_str!("page/chart.js")),
    ("/timeline.js", SCRIPT, include_str!("page/timeline.js")),
    ("/story.js", SCRIPT, include_str!("page/story.js")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

/// The file at a path, with its type.
pub(super) fn find(path: &str) -> Option<(&'static str, String)> {
    match path {
        "/states.css" => Some((CSS, states_css())),
        "/states.js" => Some((SCRIPT, states_js())),
        path => FILES.iter().find(|(known, ..)| *known == path).map(|(_, kind, text)| (*kind, (*text).to_owned())),
    }
}

fn looks() -> impl Iterator<Item = &'static Look> {
    palette::TASKS.iter().chain(&palette::WORKERS)
}

/// The colours of the states as custom properties, by the system's setting.
fn states_css() -> String {
    let colours = |colour: fn(&Look) -> [u8; 3]| {
        looks().fold(String::new(), |mut text, look| {
            let [red, green, blue] = colour(look);
            // Writing into a `String` cannot fail.
            let _ = write!(text, "--state-{}:#{red:02x}{green:02x}{blue:02x};", look.state);
            text
        })
    };
    format!(
        ":root{{{}}}\n@media (prefers-color-scheme: dark){{:root{{{}}}}}\n",
        colours(|look| look.light),
        colours(|look| look.dark)
    )
}

/// Shapes and order of the states.
fn states_js() -> String {
    let names = |looks: &[Look]| serde_json::json!(looks.iter().map(|look| look.state).collect::<Vec<_>>());
    let glyphs: serde_json::Map<String, serde_json::Value> =
        looks().map(|look| (look.state.to_owned(), look.glyph.to_string().into())).collect();
    format!(
        "export const TASK_STATES = {};\nexport const WORKER_STATES = {};\nexport const GLYPHS = {};\n",
        names(&palette::TASKS),
        names(&palette::WORKERS),
        serde_json::Value::Object(glyphs)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_only_files_that_there_are_and_nothing_from_elsewhere() {
        for (path, _, text) in FILES {
            for (start, _) in text.match_indices("from \"./").chain(text.match_indices("=\"/")) {
                let name = text[start..].split('"').nth(1).unwrap_or_default().trim_start_matches('.');
                let name = name.split(['?', '#']).next().unwrap_or_default();
                let is_served = find(name).is_some() || matches!(name, "/api/view" | "/api/events");
                assert!(is_served, "{path} names {name}, which is not served");
            }
            // A namespace is a name, not an address.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://"), "{path} names another host");
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=\""] {
                assert!(!text.contains(word), "{path} uses {word}");
            }
        }
    }

    #[test]
    fn every_state_has_a_colour_and_a_shape() {
        let (css, script) = (states_css(), states_js());
        for look in looks() {
            assert!(css.matches(&format!("--state-{}:#", look.state)).count() == 2, "{}", look.state);
            assert!(script.contains(&format!("\"{}\":\"{}\"", look.state, look.glyph)), "{}", look.state);
        }
    }
}
