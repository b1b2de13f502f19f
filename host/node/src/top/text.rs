//! Short texts for narrow columns: numbers with units, names that are cut where no number breaks.

use std::cmp::Ordering;

/// A name of at most `most` characters; what is cut is marked, and a number is cut as a whole.
pub(super) fn cut(name: &str, most: usize) -> String {
    // A name may hold anything; what a terminal would obey is not shown.
    let clean: Vec<char> = name.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    if clean.len() <= most {
        return clean.into_iter().collect();
    }
    let mut end = most.saturating_sub(1);
    if clean[end].is_ascii_digit() {
        let whole = clean[..end].iter().rposition(|letter| !letter.is_ascii_digit()).map_or(0, |last| last + 1);
        // All digits: there is no better place.
        end = if whole == 0 { end } else { whole };
    }
    clean[..end].iter().chain(['…'].iter()).collect()
}

/// With thousands separated.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Of one core.
pub(super) fn percent(permille: u32) -> String {
    format!("{}.{}%", permille / 10, permille % 10)
}

/// In units of 1024, with three figures.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let mut unit = 0;
    let mut value = bytes as f64;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match value {
        _ if unit == 0 => format!("{bytes}B"),
        value if value < 9.95 => format!("{value:.1}{}", UNITS[unit]),
        value => format!("{value:.0}{}", UNITS[unit]),
    }
}

/// Microseconds in the unit that fits.
pub(super) fn duration_us(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => format!("{:.1}ms", us as f64 / 1e3),
        _ => format!("{:.1}s", us as f64 / 1e6),
    }
}

/// A long time by its two largest units.
pub(super) fn long(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Order of names with numbers in them: `w-9` before `w-10`.
pub(super) fn natural(one: &str, other: &str) -> Ordering {
    let key = |name: &str| {
        let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
        (stem.to_owned(), name[stem.len()..].parse::<u64>().unwrap_or(0))
    };
    key(one).cmp(&key(other)).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_with_an_ellipsis_and_never_inside_a_number() {
        assert_eq!(cut("short", 10), "short");
        assert_eq!(cut("a-rather-long-name", 10), "a-rather-…");
        assert_eq!(cut("worker-12345", 10), "worker-…");
        assert_eq!(cut("0123456789012", 10), "012345678…");
        assert_eq!(cut("\u{1b}[31mred", 20), "?[31mred");
        assert_eq!(cut("ünïcödé-näme", 10), "ünïcödé-n…");
    }

    #[test]
    fn numbers_have_units_and_separators() {
        assert_eq!((count(0), count(999), count(1_000)), ("0".into(), "999".into(), "1,000".into()));
        assert_eq!(count(3_412_077), "3,412,077");
        assert_eq!((percent(123), percent(2_000)), ("12.3%".into(), "200.0%".into()));
        assert_eq!((bytes(0), bytes(999), bytes(1_000)), ("0B".into(), "999B".into(), "1.0K".into()));
        assert_eq!((bytes(123 << 20), bytes(23 << 30)), ("123M".into(), "23G".into()));
        assert_eq!(
            (duration_us(80), duration_us(1_500), duration_us(2_500_000)),
            ("80us".into(), "1.5ms".into(), "2.5s".into())
        );
        assert_eq!((long(59), long(3_700)), ("59s".into(), "1h 1m".into()));
    }
}
