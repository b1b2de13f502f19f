//! How the states of tasks and workers look, once for the page, the terminal and plots.
//!
//! The colours keep apart for readers who do not see red or green as others do (after Okabe and Ito, darkened for a
//! white ground), and a shape goes with each, so that colour never stands alone.

/// How one state looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The state's name, as in views.
    pub state: &'static str,
    /// Its shape, one column wide.
    pub glyph: char,
    /// On a light ground: red, green, blue.
    pub light: [u8; 3],
    /// On a dark ground.
    pub dark: [u8; 3],
}

const fn look(state: &'static str, glyph: char, light: u32, dark: u32) -> Look {
    Look { state, glyph, light: rgb(light), dark: rgb(dark) }
}

const fn rgb(colour: u32) -> [u8; 3] {
    let [_, red, green, blue] = colour.to_be_bytes();
    [red, green, blue]
}

/// States of tasks, in the order of a task's life.
pub const TASKS: [Look; 9] = [
    look("waiting", '…', 0x9a_5b_00, 0xf0_b2_3e),
    look("assigned", '›', 0x3d_74_a8, 0x9c_cb_f0),
    look("running", '▶', 0x00_5f_a8, 0x56_b4_f5),
    look("canceling", '◌', 0x76_5c_1e, 0xd3_bd_78),
    look("returning", '↩', 0x4f_6f_7f, 0xa9_bf_ca),
    look("succeeded", '✓', 0x00_73_56, 0x2c_c2_95),
    look("failed", '✗', 0xb8_3b_00, 0xff_85_52),
    look("canceled", '⊘', 0x5f_66_70, 0xa4_ab_b6),
    look("aborted", '!', 0x86_1f_66, 0xee_96_cf),
];

/// States of workers; `busy` and `idle` are what a ready one does.
pub const WORKERS: [Look; 7] = [
    look("busy", '▶', 0x00_5f_a8, 0x56_b4_f5),
    look("idle", '○', 0x5f_66_70, 0xa4_ab_b6),
    look("starting", '◌', 0x76_5c_1e, 0xd3_bd_78),
    look("ready", '●', 0x00_73_56, 0x2c_c2_95),
    look("lost", '✗', 0xb8_3b_00, 0xff_85_52),
    look("leaving", '↩', 0x4f_6f_7f, 0xa9_bf_ca),
    look("retired", '■', 0x86_1f_66, 0xee_96_cf),
];

/// The look of a state; one that nobody knows is shown plainly, not refused.
#[must_use]
pub fn of(state: &str) -> Look {
    let known = TASKS.iter().chain(&WORKERS).find(|look| look.state == state);
    known.copied().unwrap_or(look("unknown", '?', 0x5f_66_70, 0xa4_ab_b6))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use scaler_proto::task::State;

    use super::*;

    fn luminance([red, green, blue]: [u8; 3]) -> f64 {
        let part = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue)
    }

    fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn every_state_of_a_task_has_a_look_of_its_own() {
        let names: Vec<_> = TASKS.iter().map(|look| look.state).collect();
        assert_eq!(names, State::ALL.map(State::name));
        for looks in [&TASKS[..], &WORKERS[..]] {
            let glyphs: BTreeSet<_> = looks.iter().map(|look| look.glyph).collect();
            let colours: BTreeSet<_> = looks.iter().map(|look| look.light).collect();
            assert_eq!((glyphs.len(), colours.len()), (looks.len(), looks.len()));
        }
    }

    #[test]
    fn every_colour_can_be_read_on_its_ground() {
        for look in TASKS.iter().chain(&WORKERS) {
            assert!(contrast(look.light, [0xf5, 0xf6, 0xf8]) >= 4.5, "{} on light", look.state);
            assert!(contrast(look.dark, [0x1c, 0x21, 0x29]) >= 4.5, "{} on dark", look.state);
        }
    }

    #[test]
    fn an_unknown_state_is_shown() {
        assert_eq!(of("suspended-by-magic").glyph, '?');
        assert_eq!(of("failed").glyph, '✗');
    }
}
