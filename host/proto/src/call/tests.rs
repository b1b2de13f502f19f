//! Rules of the grammar one by one, and its errors with their columns.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Call {
    Call::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn value(text: &str) -> Value {
    parse_literal(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Kind and column of the error of a call.
fn error(text: &str) -> (CallErrorKind, usize) {
    let error = Call::parse(text).expect_err(text);
    (error.kind, error.column)
}

fn error_of_literal(text: &str) -> (CallErrorKind, usize) {
    let error = parse_literal(text).expect_err(text);
    (error.kind, error.column)
}

#[test]
fn the_calls_of_the_configuration_page_work_as_written() {
    let call = parse("mymod.init:configure('production', debug=false)");
    assert_eq!((call.module.as_str(), call.function.as_str()), ("mymod.init", "configure"));
    assert_eq!(call.args, [Value::from("production")]);
    assert_eq!(call.kwargs, [("debug".to_owned(), Value::Bool(false))]);
    assert!(!call.bare);
    assert_eq!(call.to_string(), r#"mymod.init:configure("production", debug=false)"#);

    let bare = parse("mymod.init:setup");
    assert!(bare.bare && bare.args.is_empty());
    assert_eq!(bare.to_string(), parse("mymod.init:setup()").to_string());
}

#[test]
fn names_come_in_either_spelling_and_blanks_do_not_matter() {
    let call = parse("  my-mod.2d.init : set-up ( dry-run = True , ) ");
    assert_eq!(call.to_string(), "my_mod.2d.init:set_up(dry_run=true)");
    assert_eq!(parse_target("a.b-c:d-e"), Ok(("a.b_c".to_owned(), "d_e".to_owned())));
    let error = parse_target("a:b(1)").expect_err("arguments");
    assert_eq!((error.kind, error.column), (CallErrorKind::Arguments, 4));
}

#[test]
fn literals_are_those_of_python_and_json() {
    let pairs = [
        ("None", "null"),
        ("null", "null"),
        ("True", "true"),
        ("false", "false"),
        ("1_000", "1000"),
        ("0xFF", "255"),
        ("0b101", "5"),
        ("0o17", "15"),
        ("-0x10", "-16"),
        ("+7", "7"),
        ("-7", "-7"),
        ("0", "0"),
        ("00", "0"),
        ("1e9", "1000000000.0"),
        ("-2.5", "-2.5"),
        (".5", "0.5"),
        ("1.", "1.0"),
        ("1E-3", "0.001"),
        ("1_0.2_5e+1_0", "102500000000.0"),
        ("nan", "nan"),
        ("NaN", "nan"),
        ("inf", "inf"),
        ("-Infinity", "-inf"),
        ("-0.0", "-0.0"),
        ("1e999", "inf"),
        ("[]", "[]"),
        ("[1, 2,]", "[1, 2]"),
        ("()", "[]"),
        ("(1)", "1"),
        ("(1,)", "[1]"),
        ("(1, 2)", "[1, 2]"),
        ("((1,),)", "[[1]]"),
        ("([1,2])", "[1, 2]"),
        ("{}", "{}"),
        ("{'a': 1, \"b\": [2],}", r#"{"a": 1, "b": [2]}"#),
        ("b'a\\x00\\xff'", r#"b"a\x00\xff""#),
        ("b\"\"", "b\"\""),
        ("B'\\''", "b\"'\""),
        ("18446744073709551615", "18446744073709551615"),
    ];
    for (text, canonical) in pairs {
        assert_eq!(value(text).to_string(), canonical, "{text}");
    }
}

#[test]
fn escapes_are_those_of_python_and_json() {
    let pairs = [
        (r"'\n\t\\\'\x41'", "\n\t\\'A"),
        (r#""\"\/\b\f\r""#, "\"/\u{8}\u{c}\r"),
        (r"'\u00e9\U0001F600'", "é😀"),
        (r"'\ud83d\ude00'", "😀"),
        (r"'\0\a\v'", "\0\u{7}\u{b}"),
        ("'a\\\nb'", "ab"),
        (r#"'it"s'"#, "it\"s"),
        ("'é\n'", "é\n"),
    ];
    for (text, wanted) in pairs {
        assert_eq!(value(text), Value::from(wanted), "{text}");
    }
}

#[test]
fn each_mistake_has_its_own_error_and_column() {
    use CallErrorKind as Kind;
    let not_literal = |found: &str| Kind::NotALiteral { found: found.to_owned() };
    let expected = |wanted| Kind::Expected { wanted };
    let cases = [
        ("configure", Kind::NoColon, 10),
        ("configure('a:b')", Kind::NoColon, 10),
        ("", Kind::NoColon, 1),
        (":f", Kind::ModulePath, 1),
        ("a..b:f", Kind::ModulePath, 3),
        ("a b:f", Kind::ModulePath, 2),
        ("a/b*:f", Kind::ModulePath, 2),
        ("a/b:f", Kind::File { corrected: "b:f".to_owned() }, 1),
        ("./mods/my-mod.wasm:init.f(1)", Kind::File { corrected: "my_mod.init:f".to_owned() }, 1),
        ("a:", Kind::NoFunction, 3),
        ("a:(1)", Kind::NotACall, 3),
        ("a:b.c(1)", Kind::DottedFunction { corrected: "a.b:c".to_owned() }, 4),
        ("a:1 + 2", Kind::NotACall, 3),
        ("a:f + 2", Kind::NotACall, 5),
        ("a:[1]", Kind::NotACall, 3),
        ("a:f()()", Kind::NotACall, 6),
        ("a:f(x)", not_literal("x"), 5),
        ("a:f(1, g(2))", not_literal("g(..)"), 8),
        ("a:f(1 + 2)", not_literal("+"), 7),
        ("a:f(é)", not_literal("é"), 5),
        ("a:f(d=1, d=2)", Kind::Twice { name: "d".to_owned() }, 10),
        ("a:f(a-b=1, a_b=2)", Kind::Twice { name: "a_b".to_owned() }, 12),
        ("a:f(d=1, 2)", Kind::PositionalAfterNamed, 10),
        ("a:f(1", expected("`,` or `)`"), 6),
        ("a:f(", expected("a value"), 5),
        ("a:f(1 2)", expected("`,` or `)`"), 7),
        ("a:f(,)", expected("a value"), 5),
        ("a:f('abc)", Kind::OpenText, 5),
        ("a:f('é', 'abc)", Kind::OpenText, 10),
    ];
    for (text, kind, column) in cases {
        assert_eq!(error(text), (kind, column), "{text}");
    }
}

#[test]
fn mistakes_inside_literals_point_at_their_place() {
    use CallErrorKind as Kind;
    let number = |text: &str| Kind::Number { text: text.to_owned() };
    let cases = [
        ("007", number("007"), 1),
        ("1__0", number("1__0"), 1),
        ("12ab", number("12ab"), 1),
        ("0x", number("0x"), 1),
        ("1e", number("1e"), 1),
        ("1.2.3", Kind::Expected { wanted: "the end of the value" }, 4),
        (".", number("."), 1),
        ("1_", number("1_"), 1),
        ("-x", Kind::Expected { wanted: "a number after the sign" }, 2),
        ("[1", Kind::Expected { wanted: "`,` or `]`" }, 3),
        ("{'a' 1}", Kind::Expected { wanted: "`:`" }, 6),
        ("{1: 2}", Kind::Expected { wanted: "a name in quotes" }, 2),
        (r"'\q'", Kind::Escape { reason: "write \\\\ for a backslash" }, 2),
        (r"'\x4'", Kind::Escape { reason: "two hexadecimal digits should follow" }, 2),
        (r"'\ud800'", Kind::Escape { reason: "half of a surrogate pair is missing" }, 2),
        (r"'\U00110000'", Kind::Escape { reason: "there is no such character" }, 2),
        ("b'é'", Kind::NotAscii, 3),
        (r"b'\u0041'", Kind::Escape { reason: "bytes know \\xNN only" }, 3),
    ];
    for (text, kind, column) in cases {
        assert_eq!(error_of_literal(text), (kind, column), "{text}");
    }
    let large = "9".repeat(60);
    assert!(matches!(error_of_literal(&large), (Kind::IntegerTooLarge { .. }, 1)));
}

#[test]
fn the_message_shows_the_call_and_a_caret() {
    let error = Call::parse("mod:f('é', deubg)").expect_err("no literal");
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1..], ["  mod:f('é', deubg)", "             ^"]);
    // Columns of a terminal, not characters: two for each of these, then none for an accent of its own.
    for (call, indent) in [("mod:f('日本', x)", 14), ("mod:f('e\u{301}', x)", 11), ("mod:f('\t', x)", 11)] {
        let text = Call::parse(call).expect_err("no literal").to_string();
        assert_eq!(text.lines().last(), Some(format!("{}^", " ".repeat(indent + 2)).as_str()), "{text}");
    }
    let long = format!("mod:f('{}', x, '{}')", "a".repeat(500), "b".repeat(500));
    let text = Call::parse(&long).expect_err("no literal").to_string();
    let lines: Vec<&str> = text.lines().collect();
    let caret = lines[2].chars().count() - 1;
    assert_eq!(lines[1].chars().nth(caret), Some('x'));
    assert!(lines[1].chars().count() < 140);
}

#[test]
fn depth_is_bounded() {
    for open in ["[", "(", "{'a':"] {
        let (kind, _) = error_of_literal(&open.repeat(1_000_000));
        assert_eq!(kind, CallErrorKind::TooDeep, "{open}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("NaN equals nothing", |number| !number.is_nan()).prop_map(Value::Float),
        any::<String>().prop_map(Value::Str),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::vec((any::<String>(), inner), 0..6).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn a_printed_call_reads_back_as_itself(
        module in "[a-z0-9_][a-z0-9_]{0,8}(\\.[a-z_][a-z0-9_]{0,8}){0,3}",
        function in "[a-z_][a-z0-9_]{0,8}",
        args in prop::collection::vec(any_value(), 0..4),
        kwargs in prop::collection::btree_map("[a-z_][a-z0-9_]{0,5}", any_value(), 0..4),
    ) {
        let call = Call { module, function, args, kwargs: kwargs.into_iter().collect(), bare: false };
        prop_assert_eq!(Call::parse(&call.to_string()), Ok(call));
    }

    #[test]
    fn json_is_a_part_of_the_grammar(value in any_value()) {
        let json = value.to_json();
        let read = Value::from_json(&json);
        prop_assert!(read.is_ok(), "{}", json);
        prop_assert_eq!(parse_literal(&json).ok(), read.ok());
    }

    #[test]
    fn random_text_never_panics(text in any::<String>(), tail in "[\\[\\](){}'\"a-f0-9:.,=\\\\xu _e+-]{0,40}") {
        for text in [text, tail.clone(), format!("m:f({tail})")] {
            if let Err(error) = Call::parse(&text) {
                prop_assert!(error.column <= text.chars().count() + 1);
                prop_assert!(error.to_string().contains('^'));
            }
        }
    }
}
