//! Random types and random values of them: binding and decoding give the value back, and damage never panics.

use proptest::{prelude::*, test_runner::TestCaseError};
use scaler_module::{Case, Field, Parameter, Signature, Type};
use scaler_proto::value::Value;

fn name() -> impl Strategy<Value = String> {
    "[a-z]{1,4}(-[a-z]{1,3})?"
}

fn names(most: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set(name(), 1..most).prop_map(|names| names.into_iter().collect())
}

fn any_type() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            Type::Bool,
            Type::U8,
            Type::U16,
            Type::U32,
            Type::U64,
            Type::S8,
            Type::S16,
            Type::S32,
            Type::S64,
            Type::Float32,
            Type::Float64,
            Type::Char,
            Type::String,
        ]),
        names(5).prop_map(|cases| Type::Enum { name: "e".to_owned(), cases }),
        names(5).prop_map(|names| Type::Flags { name: "f".to_owned(), names }),
        (65_usize..100).prop_map(|count| Type::Flags {
            name: "f".to_owned(),
            names: (0..count).map(|bit| format!("b{bit}")).collect()
        }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|ty| Type::List(Box::new(ty))),
            inner.clone().prop_map(|ty| Type::Option(Box::new(ty))),
            (prop::option::of(inner.clone()), prop::option::of(inner.clone()))
                .prop_map(|(ok, err)| Type::Result { ok: ok.map(Box::new), err: err.map(Box::new) }),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Type::Tuple),
            (names(4), prop::collection::vec(inner.clone(), 4)).prop_map(|(names, types)| Type::Record {
                name: "r".to_owned(),
                fields: names.into_iter().zip(types).map(|(name, ty)| Field { name, ty }).collect(),
            }),
            (names(4), prop::collection::vec(prop::option::of(inner), 4)).prop_map(|(names, types)| Type::Variant {
                name: "v".to_owned(),
                cases: names.into_iter().zip(types).map(|(name, ty)| Case { name, ty }).collect(),
            }),
        ]
    })
}

/// A value of the type in the form in which decoding shows it; choices are taken from `random`.
fn value_of(ty: &Type, random: &mut impl FnMut() -> u64) -> Value {
    let snake = |name: &String| name.replace('-', "_");
    match ty {
        Type::Bool => Value::Bool(random().is_multiple_of(2)),
        Type::U8 => Value::from(random() as u8),
        Type::U16 => Value::from(random() as u16),
        Type::U32 => Value::from(random() as u32),
        Type::U64 => Value::from(random()),
        Type::S8 => Value::from(random() as i8),
        Type::S16 => Value::from(random() as i16),
        Type::S32 => Value::from(random() as i32),
        Type::S64 => Value::from(random() as i64),
        Type::Float32 => Value::Float(scaler_proto::value::widen((random() as i32) as f32 / 1000.0)),
        Type::Float64 => Value::Float((random() as i64) as f64 / 1000.0),
        Type::Char => Value::from(['a', 'é', '😀', '\0'][random() as usize % 4].to_string()),
        Type::String => Value::from("né\"".repeat(random() as usize % 20)),
        Type::List(inner) if **inner == Type::U8 => Value::Bytes((0..random() % 300).map(|byte| byte as u8).collect()),
        Type::List(inner) => Value::List((0..random() % 5).map(|_| value_of(inner, random)).collect()),
        Type::Option(_) if random().is_multiple_of(3) => Value::Null,
        Type::Option(inner) if matches!(**inner, Type::Option(_)) => {
            Value::Map(vec![("some".to_owned(), value_of(inner, random))])
        }
        Type::Option(inner) => value_of(inner, random),
        Type::Result { ok, err } => {
            let (name, payload) = if random().is_multiple_of(2) { ("ok", ok) } else { ("err", err) };
            payload.as_ref().map_or(Value::from(name), |ty| Value::Map(vec![(name.to_owned(), value_of(ty, random))]))
        }
        Type::Tuple(types) => Value::List(types.iter().map(|ty| value_of(ty, random)).collect()),
        Type::Record { fields, .. } => {
            Value::Map(fields.iter().map(|field| (snake(&field.name), value_of(&field.ty, random))).collect())
        }
        Type::Variant { cases, .. } => {
            let Case { name, ty } = &cases[random() as usize % cases.len()];
            ty.as_ref().map_or(Value::from(snake(name)), |ty| Value::Map(vec![(snake(name), value_of(ty, random))]))
        }
        Type::Enum { cases, .. } => Value::from(snake(&cases[random() as usize % cases.len()])),
        Type::Flags { names, .. } => Value::List(
            names.iter().filter(|_| random().is_multiple_of(2)).map(|name| Value::from(snake(name))).collect(),
        ),
    }
}

fn generator(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 3
    }
}

fn check(types: Vec<Type>, seed: u64) -> Result<(), TestCaseError> {
    let mut random = generator(seed);
    let parameters = types.into_iter().enumerate();
    let parameters = parameters.map(|(index, ty)| Parameter { name: format!("p{index}"), ty, default: None }).collect();
    let signature = Signature { parameters, result: None };
    prop_assert_eq!(&Signature::from_bytes(&signature.to_bytes()).expect("travels"), &signature);

    let args: Vec<Value> = signature.parameters.iter().map(|p| value_of(&p.ty, &mut random)).collect();
    let kwargs: Vec<(String, Value)> =
        args.iter().enumerate().map(|(index, v)| (format!("p{index}"), v.clone())).collect();
    let bytes = signature.bind(&args, &[]).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(&signature.decode_arguments(&bytes).expect("decodes"), &kwargs);
    prop_assert_eq!(&signature.bind(&[], &kwargs).expect("binds by name"), &bytes);
    prop_assert_eq!(&signature.bind_encoded(&bytes).expect("positional is legal on the wire"), &bytes);

    for _ in 0..20 {
        let mut damaged = bytes.clone();
        let place = random() as usize % damaged.len();
        damaged[place] = random() as u8;
        if let Ok(shown) = signature.decode_arguments(&damaged) {
            prop_assert!(signature.bind(&[], &shown).is_ok(), "what decodes also binds");
        }
        let _ = signature.bind_encoded(&damaged);
    }
    Ok(())
}

proptest! {
    #[test]
    fn binding_and_decoding_are_inverse(types in prop::collection::vec(any_type(), 0..4), seed in any::<u64>()) {
        check(types, seed)?;
    }

    #[test]
    fn any_value_binds_or_says_why(ty in any_type(), other in any_type(), seed in any::<u64>()) {
        let mut random = generator(seed);
        let value = value_of(&other, &mut random);
        let mut out = Vec::new();
        match ty.encode_into(&mut out, &value) {
            Ok(()) => prop_assert!(ty.decode(&out).is_ok()),
            Err(error) => prop_assert!(error.to_string().starts_with("argument value")),
        }
    }
}
