//! What a Rust value is at its outside, seen before it is made a value without a type.
//!
//! A case of an enum with a payload looks like a map of one name afterwards; as the arguments of a call it is one
//! argument, while a map is many.

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{Error, Impossible},
};

/// What the value was at its outside from which the arguments of a call were made.
///
/// As text it is what to add to an error: the value may have been meant as the one argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outermost {
    /// A case of an enum.
    Case,
    /// A list or tuple struct, whose length may be meant otherwise than as a number of arguments.
    List,
    /// A map, which gives arguments by name.
    Map,
    /// A struct, which does as well.
    Struct,
    /// A tuple, or nothing that could be several arguments.
    #[default]
    Other,
}

impl Outermost {
    /// Looks at the outside only, whatever the value's size.
    pub(crate) fn of(value: &impl Serialize) -> Self {
        value.serialize(Probe).map_or_else(|found| found, |never| match never {})
    }
}

impl fmt::Display for Outermost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gives = match self {
            Self::List => "a list gives one argument for each element",
            Self::Map => "a map gives its arguments by name",
            Self::Struct => "a struct gives its fields as arguments",
            Self::Case | Self::Other => return Ok(()),
        };
        write!(f, "; {gives}: to give it as the one argument, write `(value,)`")
    }
}

/// Nothing is ever written.
enum Never {}

/// Stops at the first thing it is told.
struct Probe;

/// What was found, as the reason to stop.
impl std::error::Error for Outermost {}

impl Error for Outermost {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }
}

type Found<T> = Result<T, Outermost>;

macro_rules! other {
    ($($name:ident($type:ty))*) => {$(
        fn $name(self, _: $type) -> Found<Never> {
            Err(Outermost::Other)
        }
    )*};
}

impl Serializer for Probe {
    type Ok = Never;
    type Error = Outermost;
    type SerializeSeq = Impossible<Never, Outermost>;
    type SerializeTuple = Impossible<Never, Outermost>;
    type SerializeTupleStruct = Impossible<Never, Outermost>;
    type SerializeTupleVariant = Impossible<Never, Outermost>;
    type SerializeMap = Impossible<Never, Outermost>;
    type SerializeStruct = Impossible<Never, Outermost>;
    type SerializeStructVariant = Impossible<Never, Outermost>;

    other! {
        serialize_bool(bool)
        serialize_i8(i8)
        serialize_i16(i16)
        serialize_i32(i32)
        serialize_i64(i64)
        serialize_i128(i128)
        serialize_u8(u8)
        serialize_u16(u16)
        serialize_u32(u32)
        serialize_u64(u64)
        serialize_u128(u128)
        serialize_f32(f32)
        serialize_f64(f64)
        serialize_char(char)
        serialize_str(&str)
        serialize_bytes(&[u8])
        serialize_unit_struct(&'static str)
    }

    fn serialize_none(self) -> Found<Never> {
        Err(Outermost::Other)
    }

    fn serialize_unit(self) -> Found<Never> {
        Err(Outermost::Other)
    }

    // As in the value that is made of it, the inside is all there is.
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Found<Never> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Found<Never> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Found<Never> {
        Err(Outermost::Case)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Found<Never> {
        Err(Outermost::Case)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Found<Self::SerializeTupleVariant> {
        Err(Outermost::Case)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Found<Self::SerializeStructVariant> {
        Err(Outermost::Case)
    }

    fn serialize_seq(self, _: Option<usize>) -> Found<Self::SerializeSeq> {
        Err(Outermost::List)
    }

    fn serialize_tuple(self, _: usize) -> Found<Self::SerializeTuple> {
        Err(Outermost::Other)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Found<Self::SerializeTupleStruct> {
        Err(Outermost::List)
    }

    fn serialize_map(self, _: Option<usize>) -> Found<Self::SerializeMap> {
        Err(Outermost::Map)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Found<Self::SerializeStruct> {
        Err(Outermost::Struct)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use scaler_proto::value::Value;

    use super::*;
    use crate::IntoArguments as _;

    #[derive(Serialize)]
    enum Shape {
        Point,
        Circle(f64),
        Box(f64, f64),
        Named { name: String },
    }

    #[derive(Serialize)]
    struct Wrapped(Shape);

    #[derive(Serialize)]
    struct Options {
        strike: f64,
    }

    #[test]
    fn a_case_of_an_enum_is_the_one_argument_whatever_it_carries() {
        let number = |number| Value::Float(number);
        let case = |name: &str, value| Value::Map(vec![(name.to_owned(), value)]);
        let named = case("Named", case("name", Value::Str("a".to_owned())));
        for (shape, value) in [
            (Shape::Point, Value::Str("Point".to_owned())),
            (Shape::Circle(2.0), case("Circle", number(2.0))),
            (Shape::Box(1.0, 2.0), case("Box", Value::List(vec![number(1.0), number(2.0)]))),
            (Shape::Named { name: "a".to_owned() }, named),
        ] {
            let arguments = Some(Wrapped(shape)).into_arguments().expect("arguments");
            assert_eq!(
                (arguments.positional, arguments.named, arguments.outermost.to_string()),
                (vec![value], Vec::new(), String::new())
            );
        }
    }

    #[test]
    fn everything_else_is_as_it_was_with_a_hint_where_it_may_be_meant_otherwise() {
        let of = |arguments: Result<crate::Arguments, _>| {
            let arguments = arguments.expect("arguments");
            (arguments.positional.len(), arguments.named.len(), !arguments.outermost.to_string().is_empty())
        };
        assert_eq!(of(Options { strike: 1.0 }.into_arguments()), (0, 1, true));
        assert_eq!(of(BTreeMap::from([("a", 1), ("b", 2)]).into_arguments()), (0, 2, true));
        assert_eq!(of(vec![1, 2, 3].into_arguments()), (3, 0, true));
        assert_eq!(of((1, "a").into_arguments()), (2, 0, false));
        assert_eq!(of((Options { strike: 1.0 },).into_arguments()), (1, 0, false));
        assert_eq!(of(().into_arguments()), (0, 0, false));
        assert_eq!(of("a".into_arguments()), (1, 0, false));
    }
}
