//! The twin of `../types`, made with wit-bindgen instead of the SDK: what the SDK is compared with.

wit_bindgen::generate!({ world: "guest", path: "wit" });

use exports::test::types::echo::{Color, Everything, Guest, Shape, Sides, Style};

struct Echo;

impl Guest for Echo {
    fn all(value: Everything, again: Option<Everything>) -> (Everything, Option<Everything>) {
        (value, again)
    }

    fn shapes(list: Vec<Shape>) -> Vec<Shape> {
        list
    }

    fn one_shape(value: Shape) -> Shape {
        value
    }

    fn colors(first: Color, rest: Vec<Color>) -> (Color, Vec<Color>) {
        (first, rest)
    }

    fn numbers(
        a: Vec<u8>,
        b: Vec<i16>,
        c: Vec<u32>,
        d: Vec<i64>,
        e: Vec<f32>,
        f: Vec<f64>,
    ) -> (Vec<u8>, Vec<i16>, Vec<u32>, Vec<i64>, Vec<f32>, Vec<f64>) {
        (a, b, c, d, e, f)
    }

    fn joined(value: Result<(f32, u64), (i64, f32)>) -> Result<(f32, u64), (i64, f32)> {
        value
    }

    fn options(value: Option<Option<u8>>, list: Vec<Option<bool>>) -> (Option<Option<u8>>, Vec<Option<bool>>) {
        (value, list)
    }

    fn flags(value: Style, list: Vec<(Sides, Style)>, last: Option<Sides>) -> (Style, Vec<(Sides, Style)>, Option<Sides>) {
        (value, list, last)
    }

    fn sides_of(value: Sides) -> Sides {
        value
    }

    fn scalars(a: bool, b: char, c: i8, d: u16, e: i32, f: f32, g: u64) -> (bool, char, i8, u16, i32, f32, u64) {
        (a, b, c, d, e, f, g)
    }

    fn small(value: i8) -> i8 {
        value
    }

    fn float(value: f32) -> f32 {
        value
    }

    fn letter(value: char) -> char {
        value
    }

    fn nothing(value: Result<(), ()>) -> Result<(), ()> {
        value
    }
}

export!(Echo);
