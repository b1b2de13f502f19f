//! Every type that can cross, there and back; its twin in `../bindgen` does the same with wit-bindgen.

/// Types that the functions below share with this module; it exports nothing itself.
#[scaler_guest::module]
pub mod shapes {
    /// A point in the plane.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Point {
        /// To the right.
        pub x: f64,
        /// Upwards.
        pub y: f64,
    }

    /// What was drawn.
    #[derive(Clone, Debug, PartialEq)]
    pub enum Shape {
        Dot,
        Line(Point, Point),
        Polygon(Vec<Point>),
        Label(String),
        Weight(u8),
    }

    /// A colour.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub enum Color {
        Red,
        DarkGreen,
        Blue,
    }

    /// How it was drawn.
    #[flags]
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct Style {
        pub bold: bool,
        /// Leaning.
        pub italic: bool,
        pub double_width: bool,
    }

    /// Two bytes of flags.
    #[flags]
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct Sides {
        pub a: bool,
        pub b: bool,
        pub c: bool,
        pub d: bool,
        pub e: bool,
        pub f: bool,
        pub g: bool,
        pub h: bool,
        pub i: bool,
    }
}

/// Echoes.
#[scaler_guest::module]
pub mod echo {
    use super::shapes::{Color, Point as Place, Shape, Sides, Style};

    /// Another name for a type.
    pub type Names = Vec<String>;

    /// Everything at once.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Everything {
        pub a: bool,
        pub b: u8,
        pub c: i16,
        pub d: u32,
        pub e: i64,
        pub f: f32,
        pub g: char,
        pub h: Names,
        pub i: Option<Color>,
        pub j: Result<Place, String>,
        pub k: Vec<Shape>,
        pub r#type: (u16, i8, f64),
    }

    /// More flat parameters than fit, and a record back.
    pub fn all(value: Everything, again: Option<Everything>) -> (Everything, Option<Everything>) {
        (value, again)
    }

    pub fn shapes(list: Vec<Shape>) -> Vec<Shape> {
        list
    }

    /// A joined payload in flat form.
    pub fn one_shape(value: Shape) -> Shape {
        value
    }

    pub fn colors(first: Color, rest: Vec<Color>) -> (Color, Vec<Color>) {
        (first, rest)
    }

    pub fn numbers(
        a: Vec<u8>,
        b: Vec<i16>,
        c: Vec<u32>,
        d: Vec<i64>,
        e: Vec<f32>,
        f: Vec<f64>,
    ) -> (Vec<u8>, Vec<i16>, Vec<u32>, Vec<i64>, Vec<f32>, Vec<f64>) {
        (a, b, c, d, e, f)
    }

    /// Joined slots: an integer, a float and a long integer in one place.
    pub fn joined(value: Result<(f32, u64), (i64, f32)>) -> Result<(f32, u64), (i64, f32)> {
        value
    }

    pub fn options(value: Option<Option<u8>>, list: Vec<Option<bool>>) -> (Option<Option<u8>>, Vec<Option<bool>>) {
        (value, list)
    }

    pub fn flags(
        value: Style,
        list: Vec<(Sides, Style)>,
        last: Option<Sides>,
    ) -> (Style, Vec<(Sides, Style)>, Option<Sides>) {
        (value, list, last)
    }

    pub fn sides_of(value: Sides) -> Sides {
        value
    }

    pub fn scalars(a: bool, b: char, c: i8, d: u16, e: i32, f: f32, g: u64) -> (bool, char, i8, u16, i32, f32, u64) {
        (a, b, c, d, e, f, g)
    }

    pub fn small(value: i8) -> i8 {
        value
    }

    pub fn float(value: f32) -> f32 {
        value
    }

    pub fn letter(value: char) -> char {
        value
    }

    pub fn nothing(value: Result<(), ()>) -> Result<(), ()> {
        value
    }
}

/// What only the SDK's guest has.
#[scaler_guest::module]
pub mod extra {
    use super::shapes::{Color, Point, Style};

    /// Defaults of every kind, which come back.
    pub fn defaults(
        #[default(true)] a: bool,
        #[default(-3)] b: i8,
        #[default(2.5)] c: f64,
        #[default('ü')] d: char,
        #[default("two\nlines")] e: String,
        #[default(Some(4))] f: Option<u8>,
        #[default([1, 2])] g: Vec<u16>,
        #[default(Color::DarkGreen)] h: Color,
        i: Option<String>,
    ) -> (bool, i8, f64, char, String, Option<u8>, Vec<u16>, Color, Option<String>) {
        (a, b, c, d, e, f, g, h, i)
    }

    /// The types of a third module, which the second uses too.
    pub fn shared(point: Point, style: Style) -> (Point, Style) {
        (point, style)
    }

    /// The size of the memory in pages, to see whether calls leave something behind.
    pub fn pages() -> u32 {
        #[cfg(target_family = "wasm")]
        return core::arch::wasm32::memory_size(0) as u32;
        #[cfg(not(target_family = "wasm"))]
        0
    }
}

#[cfg(test)]
mod tests {
    use super::{echo, shapes::Point, shapes::Shape};

    #[test]
    fn a_native_call_is_a_plain_call() {
        let line = Shape::Line(Point { x: 0.0, y: 1.0 }, Point { x: 2.0, y: 3.0 });
        assert_eq!(echo::one_shape(line.clone()), line);
    }
}
