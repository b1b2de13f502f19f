//! The direct way against wasmtime's own `Val`: what the guest finds in its memory, what comes back, and what is refused.

mod speed;

use proptest::prelude::*;
use wasmtime::component::{Component, Func, Instance, Linker, Val};
use wasmtime::{Config, Engine, Store};

use super::pack;
use super::{Arguments, BadArgument, Returned};

/// An interface type.
#[derive(Clone, Debug)]
enum Ty {
    Plain(&'static str),
    List(Box<Ty>),
    Option(Box<Ty>),
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
    Tuple(Vec<Ty>),
    Record(Vec<Ty>),
    Variant(Vec<Option<Ty>>),
    Enum(usize),
    Flags(usize),
}

fn any_type() -> impl Strategy<Value = Ty> {
    let plain = ["bool", "u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "char", "string"];
    let leaf = prop_oneof![
        6 => proptest::sample::select(plain.to_vec()).prop_map(Ty::Plain),
        1 => (1_usize..300).prop_map(Ty::Enum),
        1 => proptest::sample::select(vec![1_usize, 7, 8, 9, 16, 17, 31, 32]).prop_map(Ty::Flags),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let maybe = proptest::option::of(boxed.clone());
        prop_oneof![
            boxed.clone().prop_map(Ty::List),
            boxed.prop_map(Ty::Option),
            (maybe.clone(), maybe).prop_map(|(ok, err)| Ty::Result(ok, err)),
            proptest::collection::vec(inner.clone(), 1..5).prop_map(Ty::Tuple),
            proptest::collection::vec(inner.clone(), 1..6).prop_map(Ty::Record),
            proptest::collection::vec(proptest::option::of(inner), 1..5).prop_map(Ty::Variant),
        ]
    })
}

/// Definitions of the types that need a name, and how the type is written.
fn write_type(ty: &Ty, out: &mut String, count: &mut usize) -> String {
    let define = |text: String, out: &mut String, count: &mut usize| {
        *count += 1;
        out.push_str(&format!("(type $d{count} {text}) (export $t{count} \"t{count}\" (type $d{count}))\n"));
        format!("$t{count}")
    };
    match ty {
        Ty::Plain(name) => (*name).to_owned(),
        Ty::List(inner) => format!("(list {})", write_type(inner, out, count)),
        Ty::Option(inner) => format!("(option {})", write_type(inner, out, count)),
        Ty::Result(ok, err) => {
            let ok = ok.as_ref().map(|ty| write_type(ty, out, count)).unwrap_or_default();
            let err = err.as_ref().map(|ty| format!("(error {})", write_type(ty, out, count))).unwrap_or_default();
            format!("(result {ok} {err})")
        }
        Ty::Tuple(types) => {
            let parts: Vec<String> = types.iter().map(|ty| write_type(ty, out, count)).collect();
            format!("(tuple {})", parts.join(" "))
        }
        Ty::Record(types) => {
            let mut text = "(record".to_owned();
            for (index, ty) in types.iter().enumerate() {
                text.push_str(&format!(" (field \"field-{index}\" {})", write_type(ty, out, count)));
            }
            define(text + ")", out, count)
        }
        Ty::Variant(cases) => {
            let mut text = "(variant".to_owned();
            for (index, ty) in cases.iter().enumerate() {
                let payload = ty.as_ref().map(|ty| write_type(ty, out, count)).unwrap_or_default();
                text.push_str(&format!(" (case \"case-{index}\" {payload})"));
            }
            define(text + ")", out, count)
        }
        Ty::Enum(cases) => {
            let names: Vec<String> = (0..*cases).map(|index| format!("\"case-{index}\"")).collect();
            define(format!("(enum {})", names.join(" ")), out, count)
        }
        Ty::Flags(flags) => {
            let names: Vec<String> = (0..*flags).map(|index| format!("\"flag-{index}\"")).collect();
            define(format!("(flags {})", names.join(" ")), out, count)
        }
    }
}

/// The core types of the flat form.
fn flatten(ty: &Ty) -> Vec<&'static str> {
    let cases = |payloads: &mut dyn Iterator<Item = Option<&Ty>>| {
        let mut joined: Vec<&'static str> = Vec::new();
        for ty in payloads.flatten() {
            for (index, core) in flatten(ty).into_iter().enumerate() {
                match joined.get_mut(index) {
                    None => joined.push(core),
                    Some(place) if *place == core => {}
                    Some(place) if matches!((*place, core), ("i32", "f32") | ("f32", "i32")) => *place = "i32",
                    Some(place) => *place = "i64",
                }
            }
        }
        joined.insert(0, "i32");
        joined
    };
    match ty {
        Ty::Plain("u64" | "s64") => vec!["i64"],
        Ty::Plain("f32") => vec!["f32"],
        Ty::Plain("f64") => vec!["f64"],
        Ty::Plain("string") | Ty::List(_) => vec!["i32", "i32"],
        Ty::Plain(_) | Ty::Enum(_) | Ty::Flags(_) => vec!["i32"],
        Ty::Tuple(types) | Ty::Record(types) => types.iter().flat_map(flatten).collect(),
        Ty::Option(inner) => cases(&mut [Some(&**inner)].into_iter()),
        Ty::Result(ok, err) => cases(&mut [ok.as_deref(), err.as_deref()].into_iter()),
        Ty::Variant(types) => cases(&mut types.iter().map(Option::as_ref)),
    }
}

/// A component with `show: func(x: T) -> list<u8>`, which gives back all of its memory after it stored its parameters
/// there, and `echo: func(x: list<T>) -> list<T>`.
fn component(ty: &Ty) -> String {
    let (mut definitions, mut count) = (String::new(), 0);
    let written = write_type(ty, &mut definitions, &mut count);
    let mut flat = flatten(ty);
    if flat.len() > 16 {
        flat = vec!["i32"];
    }
    let stores: String = flat
        .iter()
        .enumerate()
        .map(|(index, core)| format!("({core}.store (i32.const {}) (local.get {index}))\n", 64 + index * 8))
        .collect();
    format!(
        r#"(component
  (core module $m
    (memory (export "memory") 4)
    (global $top (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.sub (local.get 2) (i32.const 1))) (i32.sub (i32.const 0) (local.get 2))))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (func (export "show") (param {}) (result i32)
      {stores}
      (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 260000)) (i32.const 0))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  {definitions}
  (func (export "show") (param "x" {written}) (result (list u8)) (canon lift (core func $i "show") (memory $memory) (realloc $realloc)))
  (func (export "echo") (param "x" (list {written})) (result (list {written})) (canon lift (core func $i "echo") (memory $memory) (realloc $realloc))))"#,
        flat.join(" ")
    )
}

/// Numbers out of a seed; the quality does not matter.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() >> 7) as usize % limit
    }

    fn integer(&mut self) -> u64 {
        // Mostly small and mostly at the edges.
        match self.below(4) {
            0 => self.roll() & 0x7f,
            1 => u64::MAX << self.below(64),
            2 => !(u64::MAX << self.below(64)),
            _ => self.roll(),
        }
    }
}

/// A random value, as wasmtime's own type and in positional MessagePack.
fn value(ty: &Ty, dice: &mut Dice, out: &mut Vec<u8>) -> Val {
    match ty {
        Ty::Plain(name) => plain(name, dice, out),
        Ty::List(inner) => {
            let count = dice.below(5);
            list(inner, count, dice, out)
        }
        Ty::Option(inner) => {
            let wrapped =
                super::option_is_wrapped(&**inner, |ty| if let Ty::Option(inner) = ty { Some(&**inner) } else { None });
            let some = dice.below(3) > 0;
            match (some, wrapped) {
                (true, true) => pack::write_array(out, 1),
                (false, true) => pack::write_array(out, 0),
                (false, false) => pack::write_nil(out),
                (true, false) => {}
            }
            Val::Option(some.then(|| Box::new(value(inner, dice, out))))
        }
        Ty::Result(ok, err) => {
            let is_error = dice.below(2);
            pack::write_array(out, 2);
            pack::write_unsigned(out, is_error as u64);
            let payload = payload(if is_error == 0 { ok.as_deref() } else { err.as_deref() }, dice, out);
            Val::Result(if is_error == 0 { Ok(payload) } else { Err(payload) })
        }
        Ty::Tuple(types) => {
            pack::write_array(out, types.len());
            Val::Tuple(types.iter().map(|ty| value(ty, dice, out)).collect())
        }
        Ty::Record(types) => {
            pack::write_array(out, types.len());
            let fields = types.iter().enumerate();
            Val::Record(fields.map(|(index, ty)| (format!("field-{index}"), value(ty, dice, out))).collect())
        }
        Ty::Variant(cases) => {
            let case = dice.below(cases.len());
            pack::write_array(out, 2);
            pack::write_unsigned(out, case as u64);
            Val::Variant(format!("case-{case}"), payload(cases[case].as_ref(), dice, out))
        }
        Ty::Enum(cases) => {
            let case = dice.below(*cases);
            pack::write_unsigned(out, case as u64);
            Val::Enum(format!("case-{case}"))
        }
        Ty::Flags(count) => {
            let set: Vec<usize> = (0..*count).filter(|_| dice.below(2) == 1).collect();
            pack::write_unsigned(out, set.iter().fold(0, |bits, flag| bits | 1 << flag));
            Val::Flags(set.iter().map(|flag| format!("flag-{flag}")).collect())
        }
    }
}

fn payload(ty: Option<&Ty>, dice: &mut Dice, out: &mut Vec<u8>) -> Option<Box<Val>> {
    if ty.is_none() {
        pack::write_nil(out);
    }
    ty.map(|ty| Box::new(value(ty, dice, out)))
}

fn list(inner: &Ty, count: usize, dice: &mut Dice, out: &mut Vec<u8>) -> Val {
    let mut packed = Vec::new();
    if let Ty::Plain(name) = inner
        && !matches!(*name, "bool" | "char" | "string")
    {
        let values: Vec<Val> = (0..count).map(|_| plain(name, dice, &mut Vec::new())).collect();
        for value in &values {
            match value {
                Val::U8(x) => packed.extend_from_slice(&x.to_le_bytes()),
                Val::S8(x) => packed.extend_from_slice(&x.to_le_bytes()),
                Val::U16(x) => packed.extend_from_slice(&x.to_le_bytes()),
                Val::S16(x) => packed.extend_from_slice(&x.to_le_bytes()),
                Val::U32(x) => packed.extend_from_slice(&x.to_le_bytes()),
                Val::S32(x) => packed.extend_from_slice(&x.to_le_bytes()),
                Val::U64(x) => packed.extend_from_slice(&x.to_le_bytes()),
                Val::S64(x) => packed.extend_from_slice(&x.to_le_bytes()),
                Val::Float32(x) => packed.extend_from_slice(&x.to_le_bytes()),
                Val::Float64(x) => packed.extend_from_slice(&x.to_le_bytes()),
                other => panic!("{other:?} is no number"),
            }
        }
        pack::write_binary(out, &packed);
        return Val::List(values);
    }
    pack::write_array(out, count);
    Val::List((0..count).map(|_| value(inner, dice, out)).collect())
}

fn plain(name: &str, dice: &mut Dice, out: &mut Vec<u8>) -> Val {
    let bits = dice.integer();
    macro_rules! integer {
        ($case:ident, $ty:ty, $write:ident) => {{
            let value = bits as $ty;
            pack::$write(out, value.into());
            Val::$case(value)
        }};
    }
    match name {
        "bool" => {
            pack::write_boolean(out, bits & 1 == 1);
            Val::Bool(bits & 1 == 1)
        }
        "u8" => integer!(U8, u8, write_unsigned),
        "s8" => integer!(S8, i8, write_signed),
        "u16" => integer!(U16, u16, write_unsigned),
        "s16" => integer!(S16, i16, write_signed),
        "u32" => integer!(U32, u32, write_unsigned),
        "s32" => integer!(S32, i32, write_signed),
        "u64" => integer!(U64, u64, write_unsigned),
        "s64" => integer!(S64, i64, write_signed),
        "f32" => {
            let value = bits as i32 as f32 / 16.0;
            pack::write_float32(out, value.to_bits());
            Val::Float32(value)
        }
        "f64" => {
            let value = bits as f64 / 16.0;
            pack::write_float64(out, value.to_bits());
            Val::Float64(value)
        }
        "char" => {
            let value = char::from_u32(bits as u32 & 0x1_ffff).unwrap_or('\u{e9}');
            pack::write_text(out, value.encode_utf8(&mut [0; 4]));
            Val::Char(value)
        }
        _ => {
            let text: String =
                (0..dice.below(6)).map(|_| ['a', '\u{e9}', '\u{20ac}', '\u{1f600}'][dice.below(4)]).collect();
            pack::write_text(out, &text);
            Val::String(text)
        }
    }
}

fn engine() -> Engine {
    Engine::new(Config::new().concurrency_support(false)).expect("an engine")
}

fn instance(engine: &Engine, wat: &str) -> (Store<()>, Instance) {
    let component = Component::new(engine, wat::parse_str(wat).expect("valid WAT")).expect("it compiles");
    let mut store = Store::new(engine, ());
    let instance = Linker::new(engine).instantiate(&mut store, &component).expect("it starts");
    (store, instance)
}

fn direct(store: &mut Store<()>, func: Func, arguments: &[u8]) -> wasmtime::Result<Vec<u8>> {
    with_objects(store, func, arguments, &[])
}

fn with_objects(
    store: &mut Store<()>,
    func: Func,
    arguments: &[u8],
    objects: &[(u16, &[u8])],
) -> wasmtime::Result<Vec<u8>> {
    let func = func.typed::<Arguments<'_>, Returned<1>>(&*store)?;
    Ok(func.call(store, Arguments { encoded: arguments, objects })?.bytes)
}

fn by_val(store: &mut Store<()>, func: Func, arguments: &[Val]) -> wasmtime::Result<Val> {
    let mut results = [Val::Bool(false)];
    func.call(store, arguments, &mut results)?;
    let [result] = results;
    Ok(result)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_direct_way_does_what_val_does(ty in any_type(), seed: u64) {
        let engine = engine();
        let wat = component(&ty);

        // What the guest finds: its slots and all of its memory, byte for byte.
        let mut encoded = vec![0x91];
        let val = value(&ty, &mut Dice(seed), &mut encoded);
        let (mut store, alive) = instance(&engine, &wat);
        let func = alive.get_func(&mut store, "show").expect("exported");
        let shown = direct(&mut store, func, &encoded).expect("it is called");
        let (mut store, alive) = instance(&engine, &wat);
        let func = alive.get_func(&mut store, "show").expect("exported");
        let Val::List(expected) = by_val(&mut store, func, std::slice::from_ref(&val)).expect("it is called") else {
            panic!("a list was promised")
        };
        let expected: Vec<u8> = expected.iter().map(|byte| if let Val::U8(byte) = byte { *byte } else { 0 }).collect();
        let mut packed = Vec::new();
        pack::write_binary(&mut packed, &expected);
        prop_assert!(shown == packed, "the guest saw something else");

        // What comes back.
        let mut encoded = Vec::new();
        let vals = list(&ty, 3, &mut Dice(seed ^ 1), &mut encoded);
        let (mut store, alive) = instance(&engine, &wat);
        let func = alive.get_func(&mut store, "echo").expect("exported");
        prop_assert_eq!(&by_val(&mut store, func, std::slice::from_ref(&vals)).expect("it is called"), &vals);
        let (mut store, alive) = instance(&engine, &wat);
        let func = alive.get_func(&mut store, "echo").expect("exported");
        let arguments = [&[0x91][..], &encoded].concat();
        prop_assert_eq!(&direct(&mut store, func, &arguments).expect("it is called"), &encoded);

        // The same argument as a value of its own.
        let (mut store, alive) = instance(&engine, &wat);
        let func = alive.get_func(&mut store, "echo").expect("exported");
        let apart = with_objects(&mut store, func, &[0x91, 0xc0], &[(0, &encoded)]).expect("it is called");
        prop_assert_eq!(apart, encoded);
    }

    #[test]
    fn rubbish_is_an_argument_error(ty in any_type(), bytes: Vec<u8>) {
        let engine = engine();
        let (mut store, alive) = instance(&engine, &component(&ty));
        let func = alive.get_func(&mut store, "show").expect("exported");
        if let Err(error) = direct(&mut store, func, &bytes) {
            prop_assert!(error.downcast_ref::<BadArgument>().is_some(), "{error:?}");
        }
    }
}

#[test]
fn objects_have_their_place_and_fill_it() {
    let engine = engine();
    // `bytes` takes two numbers, a pointer and a length.
    let outcome = |arguments: &[u8], objects: &[(u16, &[u8])]| {
        let (mut store, alive) = instance(&engine, EVIL);
        let func = alive.get_func(&mut store, "bytes").expect("exported");
        with_objects(&mut store, func, arguments, objects).map_err(|error| {
            error.downcast_ref::<BadArgument>().expect("a bad argument").describe(&["p".to_owned(), "n".to_owned()])
        })
    };
    assert_eq!(outcome(&[0x92, 0xc0, 3], &[(0, &[0xcd, 4, 0])]), Ok(vec![0xc4, 3, 0xff, 0xfe, 0xfd]));
    assert_eq!(outcome(&[0x92, 0xc0, 0xc0], &[(0, &[0xcd, 4, 0]), (1, &[1])]), Ok(vec![0xc4, 1, 0xff]));
    let problem = |arguments: &[u8], objects: &[(u16, &[u8])]| outcome(arguments, objects).expect_err("refused");
    assert!(problem(&[0x92, 7, 3], &[(0, &[1])]).contains("argument `p`"), "its place is taken");
    assert!(problem(&[0x92, 0xc0, 3], &[(0, &[1, 2])]).contains("argument `p`: 1 bytes follow"));
    assert!(problem(&[0x92, 0xc0, 3], &[(0, &[])]).contains("argument `p`"), "it is empty");
    assert!(problem(&[0x92, 0xc0, 3], &[(0, &[0xa1, b'x'])]).contains("argument `p`"), "it is a text");
    assert!(problem(&[0x92, 7, 3], &[(2, &[1])]).contains("parameter 2"), "there is none");
    assert!(problem(&[0x92, 0xc0, 3], &[(0, &[1]), (0, &[1])]).contains("parameter 0"), "it is given twice");
}

/// Functions that return whatever they are told to.
const EVIL: &str = r#"
(component
  (core module $m
    (memory (export "memory") 2)
    (global $top (mut i32) (i32.const 4096))
    (data (i32.const 1024) "\ff\fe\fd")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.sub (local.get 2) (i32.const 1))) (i32.sub (i32.const 0) (local.get 2))))
      (global.set $top (i32.add (local.get $at) (local.get 3))) (local.get $at))
    (func (export "outside") (param i32 i32 i32 i32) (result i32) (i32.const 131064))
    (func (export "unaligned") (param i32 i32 i32 i32) (result i32) (i32.const 4099))
    (func (export "traps") (param i32 i32 i32 i32) (result i32) (unreachable))
    (func (export "pair") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
    (func (export "same") (param i32) (result i32) (local.get 0))
    (func (export "scribble") (param i32) (memory.fill (i32.const 4096) (i32.const 88) (i32.const 4096))))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (alias core export $i "outside" (core func $outside))
  (alias core export $i "unaligned" (core func $unaligned))
  (alias core export $i "traps" (core func $traps))
  (alias core export $i "scribble" (core func $scribble))
  (type $d1 (record (field "id" u32) (field "name" string)))
  (export $person "person" (type $d1))
  (type $d2 (enum "red" "green" "blue"))
  (export $color "color" (type $d2))
  (type $d3 (variant (case "a" u8) (case "b")))
  (export $either "either" (type $d3))
  (func (export "bytes") (param "p" u32) (param "n" u32) (result (list u8)) (canon lift (core func $i "pair") (memory $memory) (realloc $realloc)))
  (func (export "text") (param "p" u32) (param "n" u32) (result string) (canon lift (core func $i "pair") (memory $memory) (realloc $realloc)))
  (func (export "floats") (param "p" u32) (param "n" u32) (result (list f64)) (canon lift (core func $i "pair") (memory $memory) (realloc $realloc)))
  (func (export "people") (param "p" u32) (param "n" u32) (result (list $person)) (canon lift (core func $i "pair") (memory $memory) (realloc $realloc)))
  (func (export "variants") (param "p" u32) (param "n" u32) (result (list $either)) (canon lift (core func $i "pair") (memory $memory) (realloc $realloc)))
  (func (export "shade") (param "p" u32) (result $color) (canon lift (core func $i "same")))
  (func (export "char") (param "p" u32) (result char) (canon lift (core func $i "same")))
  (func (export "pointer") (param "p" u32) (result string) (canon lift (core func $i "same") (memory $memory) (realloc $realloc)))
  (func (export "outside") (param "p" (list u8)) (result (list u8)) (canon lift (core func $i "pair") (memory $memory) (realloc $outside)))
  (func (export "unaligned") (param "p" (list u64)) (result (list u8)) (canon lift (core func $i "pair") (memory $memory) (realloc $unaligned)))
  (func (export "traps") (param "p" (list u8)) (result (list u8)) (canon lift (core func $i "pair") (memory $memory) (realloc $traps)))
  (func (export "utf16") (param "p" string) (result string) (canon lift (core func $i "pair") (memory $memory) (realloc $realloc) string-encoding=utf16))
  (func (export "latin1") (param "p" string) (result string) (canon lift (core func $i "pair") (memory $memory) (realloc $realloc) string-encoding=latin1+utf16))
  (func (export "scribble") (param "p" string) (result string) (canon lift (core func $i "pair") (memory $memory) (realloc $realloc) (post-return $scribble))))
"#;

#[test]
fn hostile_guests_are_refused_exactly_where_val_refuses_them() {
    let engine = engine();
    let mut cases: Vec<(&str, Vec<Val>, Vec<u8>)> = Vec::new();
    let numbers = |numbers: &[u32]| {
        let mut encoded = vec![0x90 | numbers.len() as u8];
        numbers.iter().for_each(|number| pack::write_unsigned(&mut encoded, u64::from(*number)));
        (numbers.iter().map(|number| Val::U32(*number)).collect::<Vec<_>>(), encoded)
    };
    for (function, pointer, length) in [
        ("bytes", 131_072, 1),
        ("bytes", 131_072, 0),
        ("bytes", 0xffff_fff0, 100),
        ("bytes", 0, u32::MAX),
        ("bytes", 131_070, 2),
        ("text", 1_024, 3),
        ("text", 131_072, 5),
        ("text", u32::MAX, u32::MAX),
        ("text", 0, 0),
        ("text", 131_073, 0),
        ("floats", 4, 1),
        ("floats", 8, 0x2000_0000),
        ("floats", 8, 16_384),
        ("floats", 8, 16_383),
        ("floats", 4, 0),
        ("people", 2, 1),
        ("people", 0, 0x1555_5556),
        ("people", 1_024, 1),
        ("people", 8_192, 2),
        ("people", 4, 0x2000_0000),
        ("variants", 1_024, 1),
        ("variants", 0, 1),
        ("variants", 131_070, 1),
        ("variants", 131_071, 1),
    ] {
        let (vals, encoded) = numbers(&[pointer, length]);
        cases.push((function, vals, encoded));
    }
    for (function, number) in [
        ("shade", 2),
        ("shade", 3),
        ("char", 65),
        ("char", 0xd800),
        ("char", 0x11_0000),
        ("pointer", 131_072),
        ("pointer", 131_068),
        ("pointer", 2),
        ("pointer", 0xffff_fffc),
        ("pointer", 64),
    ] {
        let (vals, encoded) = numbers(&[number]);
        cases.push((function, vals, encoded));
    }
    let mut hundred = vec![0x91];
    pack::write_binary(&mut hundred, &[1; 96]);
    for function in ["outside", "traps"] {
        cases.push((function, vec![Val::List(vec![Val::U8(1); 96])], hundred.clone()));
    }
    cases.push(("unaligned", vec![Val::List(vec![Val::U64(0x0101_0101_0101_0101); 12])], hundred));
    for function in ["utf16", "latin1", "scribble"] {
        for text in ["", "abc", "h\u{e9}llo", "\u{1f600}x"] {
            let mut encoded = vec![0x91];
            pack::write_text(&mut encoded, text);
            cases.push((function, vec![Val::String(text.into())], encoded));
        }
    }
    for (function, vals, encoded) in cases {
        let (mut store, alive) = instance(&engine, EVIL);
        let func = alive.get_func(&mut store, function).expect("exported");
        let ours = direct(&mut store, func, &encoded);
        let (mut store, alive) = instance(&engine, EVIL);
        let func = alive.get_func(&mut store, function).expect("exported");
        let theirs = by_val(&mut store, func, &vals);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{function} {vals:?}: {ours:?} but {theirs:?}");
        if let (Ok(ours), Ok(Val::String(theirs))) = (ours, theirs) {
            let mut expected = Vec::new();
            pack::write_text(&mut expected, &theirs);
            assert_eq!(ours, expected, "{function}");
        }
    }
}

#[test]
fn names_are_taken_beside_positions() {
    let ty = Ty::Tuple(vec![
        Ty::Record(vec![
            Ty::Plain("u32"),
            Ty::Option(Box::new(Ty::Plain("string"))),
            Ty::Option(Box::new(Ty::Option(Box::new(Ty::Plain("u8"))))),
        ]),
        Ty::Variant(vec![Some(Ty::Plain("s8")), None]),
        Ty::Variant(vec![Some(Ty::Plain("s8")), None]),
        Ty::Enum(3),
        Ty::Flags(32),
        Ty::Flags(9),
        Ty::Result(Some(Box::new(Ty::Plain("bool"))), None),
        Ty::Plain("f64"),
    ]);
    let mut named = vec![0x91, 0x91, 0x98];
    // A record as a map in any order and either spelling; the last field, an option, is not given.
    named.push(0x82);
    pack::write_text(&mut named, "field_1");
    pack::write_text(&mut named, "hi");
    pack::write_text(&mut named, "field-0");
    named.push(7);
    named.push(0x81);
    pack::write_text(&mut named, "case_0");
    pack::write_signed(&mut named, -1);
    pack::write_text(&mut named, "case-1");
    pack::write_text(&mut named, "case_2");
    for flags in [&["flag_0", "flag-31"][..], &["flag_8"]] {
        pack::write_array(&mut named, flags.len());
        flags.iter().for_each(|flag| pack::write_text(&mut named, flag));
    }
    named.push(0x81);
    pack::write_text(&mut named, "ok");
    named.push(0xc3);
    // An integer in the place of a float.
    named.push(3);
    let mut positional = vec![0x91, 0x98, 0x93, 7];
    pack::write_text(&mut positional, "hi");
    positional
        .extend_from_slice(&[0x90, 0x92, 0, 0xff, 0x92, 1, 0xc0, 2, 0xce, 0x80, 0, 0, 1, 0xcd, 1, 0, 0x92, 0, 0xc3]);
    pack::write_float64(&mut positional, 3_f64.to_bits());

    let engine = engine();
    let (mut store, alive) = instance(&engine, &component(&ty));
    let func = alive.get_func(&mut store, "echo").expect("exported");
    assert_eq!(direct(&mut store, func, &named).expect("it is called"), positional);
}

#[test]
fn what_does_not_fit_says_where() {
    let ty = Ty::Record(vec![Ty::Plain("u8"), Ty::List(Box::new(Ty::Enum(2)))]);
    let engine = engine();
    let refused = |encoded: &[u8]| {
        let (mut store, alive) = instance(&engine, &component(&ty));
        let func = alive.get_func(&mut store, "show").expect("exported");
        direct(&mut store, func, encoded)
            .expect_err("refused")
            .downcast::<BadArgument>()
            .expect("an argument error")
            .describe(&["x".into()])
    };
    assert_eq!(
        refused(&[0x91, 0x92, 0xcd, 1, 0, 0x90]),
        "argument `x`: field `field-0`: 256 is out of the range of u8"
    );
    assert_eq!(
        refused(&[0x91, 0x92, 1, 0x92, 0, 5]),
        "argument `x`: field `field-1`: element 1: there is no case 5; the last is 1"
    );
    assert_eq!(refused(&[0x91, 0x92, 0xc0, 0x90]), "argument `x`: field `field-0`: expected an integer, found nil");
    assert_eq!(
        refused(&[0x91, 0x81, 0xa1, b'y', 1]),
        "argument `x`: there is no field `y`; there is `field_0`, `field_1`"
    );
}
