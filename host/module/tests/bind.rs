//! The rules of binding one by one, and the bytes that they make.

use scaler_module::{BindError, Case, Field, Parameter, Problem, Signature, Type};
use scaler_proto::{call::Call, value::Value};

fn list(inner: Type) -> Type {
    Type::List(Box::new(inner))
}

fn option(inner: Type) -> Type {
    Type::Option(Box::new(inner))
}

fn record(fields: &[(&str, Type)]) -> Type {
    let field = |(name, ty): &(&str, Type)| Field { name: (*name).to_owned(), ty: ty.clone() };
    Type::Record { name: "spec".to_owned(), fields: fields.iter().map(field).collect() }
}

fn variant() -> Type {
    let case = |name: &str, ty| Case { name: name.to_owned(), ty };
    let cases =
        vec![case("none", None), case("up-and-out", Some(Type::Float64)), case("maybe", Some(option(Type::U8)))];
    Type::Variant { name: "barrier".to_owned(), cases }
}

fn enumeration() -> Type {
    Type::Enum { name: "kind".to_owned(), cases: vec!["put".to_owned(), "long-call".to_owned()] }
}

fn flags(count: usize) -> Type {
    Type::Flags { name: "style".to_owned(), names: (0..count).map(|bit| format!("f-{bit}")).collect() }
}

fn signature(parameters: &[(&str, Type)]) -> Signature {
    let parameter = |(name, ty): &(&str, Type)| Parameter { name: (*name).to_owned(), ty: ty.clone(), default: None };
    Signature { parameters: parameters.iter().map(parameter).collect(), result: None }
}

/// Binds the arguments of a call as written, `f(<text>)`.
fn bind(signature: &Signature, text: &str) -> Result<Vec<u8>, BindError> {
    let call = Call::parse(&format!("m:f({text})")).unwrap_or_else(|error| panic!("{error}"));
    signature.bind(&call.args, &call.kwargs)
}

/// Binds one argument of a type and shows it decoded again.
fn one(ty: &Type, text: &str) -> String {
    let signature = signature(&[("x", ty.clone())]);
    let bytes = bind(&signature, text).unwrap_or_else(|error| panic!("{ty} <- {text}: {error}"));
    signature.decode_arguments(&bytes).expect("decodes")[0].1.to_string()
}

fn problem(ty: &Type, text: &str) -> String {
    bind(&signature(&[("x", ty.clone())]), text).expect_err(text).to_string()
}

#[test]
fn arguments_come_by_position_by_name_by_default_or_as_none() {
    let mut sig = signature(&[("environment", Type::String), ("dry-run", Type::Bool), ("retries", option(Type::U8))]);
    sig.parameters[1].default = Some(Value::Bool(true));
    for text in [
        "'p'",
        "environment='p'",
        "'p', dry_run=true",
        "'p', dry-run=True, retries=None",
        "retries=null, environment=\"p\"",
    ] {
        assert_eq!(bind(&sig, text).expect(text), [0x93, 0xa1, b'p', 0xc3, 0xc0], "{text}");
    }
    let error = |text| bind(&sig, text).expect_err(text).to_string();
    let shown = "(environment: string, dry_run: bool = true, retries: option<u8>)";
    assert_eq!(error(""), format!("missing argument `environment`; the function takes {shown}"));
    assert_eq!(error("'p', true, 1, 2"), format!("4 arguments are given, the function takes 3: {shown}"));
    assert_eq!(
        error("'p', dry_rum=true"),
        format!("there is no parameter `dry_rum`; the function takes {shown}; did you mean `dry_run`?")
    );
    assert_eq!(error("'p', environment='q'"), "the argument `environment` is given twice");
    let none = bind(&signature(&[]), "1").expect_err("it takes none").to_string();
    assert_eq!(none, "1 argument is given, the function takes 0: ()");
}

#[test]
fn what_is_given_already_is_not_suggested() {
    let add = signature(&[("a", Type::S64), ("b", Type::S64)]);
    let error = |text| bind(&add, text).expect_err(text).to_string();
    assert_eq!(error("1, c=2"), "there is no parameter `c`; the function takes (a: s64, b: s64); did you mean `b`?");
    assert_eq!(error("c=2, a=1"), error("1, c=2"), "whatever comes first");
    assert_eq!(error("1, 2, c=3"), "there is no parameter `c`; the function takes (a: s64, b: s64)");
}

#[test]
fn objects_leave_holes_and_are_checked_apart() {
    let mut sig =
        signature(&[("table", list(Type::Float64)), ("scale", Type::Float64), ("label", option(Type::String))]);
    sig.parameters[1].default = Some(Value::Float(1.0));
    let object =
        |value: &Value| if let Value::Str(name) = value { name.strip_prefix('@').map(str::to_owned) } else { None };
    let around = |text: &str| {
        let call = Call::parse(&format!("m:f({text})")).expect(text);
        sig.bind_around(&call.args, &call.kwargs, object)
    };
    let one = [0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0];
    let (bytes, objects) = around("'@a'").expect("binds");
    assert_eq!(bytes, [&[0x93, 0xc0][..], &one, &[0xc0]].concat());
    assert_eq!(objects, [(0, "a".to_owned())]);
    let (bytes, objects) = around("label='@b', scale='@c', table=[]").expect("binds");
    assert_eq!(bytes, [0x93, 0xc4, 0, 0xc0, 0xc0]);
    assert_eq!(objects, [(1, "c".to_owned()), (2, "b".to_owned())]);
    assert!(around("scale='@c'").expect_err("the table is missing").to_string().contains("`table`"));
    assert!(around("'@a', table='@b'").expect_err("twice").to_string().contains("twice"));
    let table = &sig.parameters[0];
    assert_eq!(table.check(&Value::List(vec![Value::Float(1.0), Value::Int(2)])), Ok(()));
    let error = table.check(&Value::List(vec![Value::Null])).expect_err("no number").to_string();
    assert!(error.starts_with("argument table[0]: "), "{error}");
}

#[test]
fn scalars_are_checked_and_spelled_as_people_spell_them() {
    assert_eq!(one(&Type::U64, "18446744073709551615"), "18446744073709551615");
    assert_eq!(one(&Type::S8, "-128"), "-128");
    assert_eq!(one(&Type::Float64, "3"), "3.0");
    assert_eq!(one(&Type::Float32, "0.1"), "0.1");
    assert_eq!(one(&Type::Float64, "'-Infinity'"), "-inf");
    assert_eq!(one(&Type::Float32, "inf"), "inf");
    assert_eq!(one(&Type::Char, "'é'"), "\"é\"");
    assert_eq!(problem(&Type::U8, "300"), "argument x: 300 does not fit u8 (0 to 255)");
    assert_eq!(
        problem(&Type::S64, "9223372036854775808"),
        "argument x: 9223372036854775808 does not fit s64 (-9223372036854775808 to 9223372036854775807)"
    );
    assert_eq!(problem(&Type::U32, "2.0"), "argument x: 2.0 is a float, and u32 takes integers");
    assert_eq!(problem(&Type::U32, "true"), "argument x: true is not an integer (u32)");
    assert_eq!(problem(&Type::Float32, "1e300"), "argument x: 1e300 does not fit f32");
    assert_eq!(problem(&Type::Float64, "'much'"), "argument x: \"much\" is not a number (f64)");
    assert_eq!(problem(&Type::Char, "'ab'"), "argument x: \"ab\" is not one character");
    assert_eq!(problem(&Type::String, "1"), "argument x: 1 is not a string; write \"1\" in quotes");
    assert_eq!(problem(&Type::Bool, "1"), "argument x: 1 is not a bool (true or false)");
}

#[test]
fn lists_of_scalars_are_packed() {
    for text in ["b'\\x01\\xff'", "[1, 255]"] {
        assert_eq!(bind(&signature(&[("x", list(Type::U8))]), text).expect(text), [0x91, 0xc4, 2, 1, 255]);
    }
    assert_eq!(
        bind(&signature(&[("x", list(Type::S16))]), "[-2, 3]").expect("fits"),
        [0x91, 0xc4, 4, 0xfe, 0xff, 3, 0]
    );
    assert_eq!(one(&list(Type::Float32), "[0.1, nan, 2]"), "[0.1, nan, 2.0]");
    assert_eq!(one(&list(Type::S64), "[-1, 5]"), "[-1, 5]");
    assert_eq!(one(&list(Type::Bool), "[true, false]"), "[true, false]");
    assert_eq!(one(&list(list(Type::U8)), "[b'a', []]"), "[b\"a\", b\"\"]");
    // A Rust `Vec<u8>` arrives as bytes, whatever it is for; what is stored is taken as it is.
    assert_eq!(one(&list(Type::U32), "b'\\x01\\xff'"), "[1, 255]");
    assert_eq!(one(&list(option(Type::U8)), "b'\\x01\\xff'"), "[1, 255]");
    assert_eq!(one(&Type::Tuple(vec![Type::U8, Type::U8]), "b'\\x01\\xff'"), "[1, 255]");
    let bytes = Value::Bytes(vec![0; 8]);
    for (ty, fits) in [(list(Type::U8), true), (list(Type::U32), false), (list(option(Type::U8)), false)] {
        let parameter = Parameter { name: "x".to_owned(), ty, default: None };
        assert_eq!(parameter.check(&bytes).is_ok(), fits, "{parameter:?}");
    }
    assert_eq!(problem(&list(Type::U8), "[1, 300]"), "argument x[1]: 300 does not fit u8 (0 to 255)");
    assert_eq!(problem(&list(Type::U8), "'ab'"), "argument x: \"ab\" is not bytes or a list of integers (list<u8>)");
}

#[test]
fn records_and_tuples_take_maps_and_lists() {
    let ty = record(&[("strike", Type::Float64), ("max-steps", option(Type::U32))]);
    for text in ["{'strike': 1, 'max_steps': 2}", "{'max-steps': 2, 'strike': 1}", "(1, 2)", "[1, 2]"] {
        assert_eq!(one(&ty, text), r#"{"strike": 1.0, "max_steps": 2}"#, "{text}");
    }
    assert_eq!(one(&ty, "{'strike': 1}"), r#"{"strike": 1.0, "max_steps": null}"#);
    assert_eq!(problem(&ty, "{'max_steps': 1}"), "argument x: the field `strike` of spec is missing");
    assert_eq!(
        problem(&ty, "{'strike': 1, 'max_step': 1}"),
        "argument x: spec has no field `max_step`; it has `strike`, `max_steps`; did you mean `max_steps`?"
    );
    assert_eq!(problem(&ty, "{'strike': 1, 'strike': 2}"), "argument x: the field `strike` is given twice");
    assert_eq!(problem(&ty, "[1]"), "argument x: 1 entries are given, spec takes 2");
    assert_eq!(problem(&ty, "1"), "argument x: 1 is not a map with the fields of spec");
    assert_eq!(one(&Type::Tuple(vec![Type::String, Type::U8]), "('a', 1)"), "[\"a\", 1]");
    let nested = record(&[("strikes", list(ty))]);
    assert_eq!(
        problem(&nested, "{'strikes': [(1, 2), {'strike': 'x'}]}"),
        "argument x.strikes[1].strike: \"x\" is not a number (f64)"
    );
    assert_eq!(one(&list(Type::Tuple(vec![Type::String, Type::U8])), "{'a': 1, 'b': 2}"), r#"[["a", 1], ["b", 2]]"#);
    assert_eq!(
        problem(&list(Type::U8), "{'a': 1}"),
        "argument x: {\"a\": 1} is not bytes or a list of integers (list<u8>)"
    );
}

#[test]
fn cases_are_names_or_one_entry_maps() {
    let ty = variant();
    assert_eq!(one(&ty, "'none'"), "\"none\"");
    assert_eq!(one(&ty, "{'none': null}"), "\"none\"");
    assert_eq!(one(&ty, "{'up_and_out': 2}"), r#"{"up_and_out": 2.0}"#);
    assert_eq!(one(&ty, "{'up-and-out': 2}"), r#"{"up_and_out": 2.0}"#);
    assert_eq!(one(&ty, "'maybe'"), r#"{"maybe": null}"#);
    assert_eq!(
        problem(&ty, "'up_and_out'"),
        "argument x: the case `up_and_out` carries a value of type f64; write {'up_and_out': value}"
    );
    assert_eq!(problem(&ty, "{'none': 1}"), "argument x: the case `none` carries no value; write 'none'");
    assert_eq!(
        problem(&ty, "'nome'"),
        "argument x: barrier has no case `nome`; it has `none`, `up_and_out`, `maybe`; did you mean `none`?"
    );
    assert_eq!(problem(&ty, "{'up_and_out': 'x'}"), "argument x.up_and_out: \"x\" is not a number (f64)");
    assert_eq!(one(&enumeration(), "'long_call'"), "\"long_call\"");
    assert_eq!(problem(&enumeration(), "1"), "argument x: 1 is not a case of kind");
    let result = Type::Result { ok: Some(Box::new(Type::U8)), err: None };
    assert_eq!(one(&result, "{'ok': 1}"), r#"{"ok": 1}"#);
    assert_eq!(one(&result, "'err'"), "\"err\"");
}

#[test]
fn flags_are_lists_of_names() {
    assert_eq!(bind(&signature(&[("x", flags(3))]), "['f_0', 'f-2']").expect("fits"), [0x91, 5]);
    assert_eq!(one(&flags(3), "{'f_0': true, 'f_1': false}"), "[\"f_0\"]");
    assert_eq!(one(&flags(3), "'f_1'"), "[\"f_1\"]");
    assert_eq!(one(&flags(64), "['f_63', 'f_0']"), "[\"f_0\", \"f_63\"]");
    assert_eq!(one(&flags(70), "['f_69', 'f_33']"), "[\"f_33\", \"f_69\"]");
    assert_eq!(one(&flags(70), "[]"), "[]");
    assert_eq!(
        problem(&flags(2), "['f_2']"),
        "argument x[0]: style has no flag `f_2`; it has `f_0`, `f_1`; did you mean `f_0`?"
    );
}

#[test]
fn options_of_options_tell_none_from_some_none() {
    let ty = option(option(Type::U8));
    for (text, shown, bytes) in [
        ("null", "null", &[0x91, 0x90][..]),
        ("{'some': null}", r#"{"some": null}"#, &[0x91, 0x91, 0xc0]),
        ("{'some': 3}", r#"{"some": 3}"#, &[0x91, 0x91, 3]),
        ("3", r#"{"some": 3}"#, &[0x91, 0x91, 3]),
    ] {
        assert_eq!(one(&ty, text), shown);
        assert_eq!(bind(&signature(&[("x", ty.clone())]), text).expect(text), bytes);
    }
    let three = option(ty);
    for (text, bytes) in [
        ("null", &[0x91, 0xc0][..]),
        ("{'some': null}", &[0x91, 0x90]),
        ("{'some': {'some': null}}", &[0x91, 0x91, 0xc0]),
        ("{'some': {'some': 3}}", &[0x91, 0x91, 3]),
    ] {
        assert_eq!(one(&three, text), text.replace('\'', "\""));
        let sig = signature(&[("x", three.clone())]);
        assert_eq!(bind(&sig, text).expect(text), bytes);
        assert_eq!(sig.bind_encoded(bytes).expect(text), bytes);
    }
    assert_eq!(one(&option(list(Type::U8)), "null"), "null");
}

#[test]
fn encoded_arguments_come_in_either_form() {
    let sig = signature(&[
        ("kind", enumeration()),
        ("spec", record(&[("a", Type::U8), ("b", variant())])),
        ("set", flags(3)),
    ]);
    let bound = bind(&sig, "'long_call', {'a': 7, 'b': {'up_and_out': 1.5}}, ['f_1']").expect("binds");
    assert_eq!(sig.bind_encoded(&bound), Ok(bound.clone()), "the positional form is its own");
    let by_name = Call::parse("m:f({'kind': 'long_call', 'spec': {'a': 7, 'b': {'up_and_out': 1.5}}, 'set': ['f_1']})")
        .expect("a call");
    let named = by_name.args[0].encode().expect("encodes");
    assert_eq!(sig.bind_encoded(&named), Ok(bound.clone()));
    let mixed = Call::parse("m:f(1, [7, [1, 1.5]], 2)").expect("a call");
    assert_eq!(sig.bind_encoded(&Value::List(mixed.args).encode().expect("encodes")), Ok(bound));
    for (text, words) in [
        ("m:f(2, [7, [0, null]], 0)", "no case number 2"),
        ("m:f(0, [7, [3, null]], 0)", "no case number 3"),
        ("m:f(0, [7, [0, null]], 8)", "3 flags"),
    ] {
        let args = Value::List(Call::parse(text).expect("a call").args).encode().expect("encodes");
        assert!(sig.bind_encoded(&args).expect_err(text).to_string().contains(words), "{text}");
    }
    assert!(matches!(sig.bind_encoded(&[0x01]), Err(BindError::NotArguments { .. })));
    assert!(matches!(sig.bind_encoded(&[0xc1]), Err(BindError::Encoded(_))));
}

#[test]
fn encoded_scalars_and_packed_lists_pass_as_they_are_but_not_unchecked() {
    let sig = signature(&[("n", Type::U8), ("v", list(Type::U32))]);
    let packed = [0x92, 5, 0xc4, 4, 1, 0, 0, 0];
    assert_eq!(sig.bind_encoded(&packed), Ok(packed.to_vec()));
    let broken = [0x92, 5, 0xc4, 3, 1, 0, 0];
    let problem = Box::new(Problem::Packed { length: 3, width: 4 });
    assert_eq!(sig.bind_encoded(&broken), Err(BindError::Value { path: "v".to_owned(), problem }));
    let large = [0x92, 0xcd, 1, 0x2c, 0xc4, 0];
    assert_eq!(sig.bind_encoded(&large).expect_err("300").to_string(), "argument n: 300 does not fit u8 (0 to 255)");
    let trailing = [0x92, 5, 0xc4, 0, 0xc0];
    assert!(sig.bind_encoded(&trailing).is_err());
}

#[test]
fn results_are_unwrapped_and_checked() {
    let result = Type::Result { ok: Some(Box::new(list(Type::Float64))), err: Some(Box::new(enumeration())) };
    let sig = Signature { parameters: vec![], result: Some(result) };
    assert_eq!(
        sig.decode_returned(&[0xc4, 8, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]).map(|v| v.to_string()).as_deref(),
        Ok("[1.0]")
    );
    assert_eq!(sig.decode_error(&[1]).map(|v| v.to_string()).as_deref(), Ok("\"long_call\""));
    assert_eq!(sig.decode_error(&[7]).expect_err("no case").to_string(), "error: kind has no case number 7; it has 2");
    assert_eq!(
        sig.decode_returned(&[0xc4, 1, 0]).expect_err("cut").to_string(),
        "result: 1 bytes are no whole number of elements of 8 bytes"
    );
    assert_eq!(Signature::default().decode_returned(&[0xc0]), Ok(Value::Null));
    assert!(flags(3).decode(&[8]).is_err());
    assert!(
        record(&[("a", Type::U8)])
            .decode(&[0x91, 0xcd, 1, 0])
            .expect_err("range")
            .to_string()
            .starts_with("value.a: 256")
    );
}
