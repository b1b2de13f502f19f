//! Reading components: honest ones of every kind, and hostile bytes.

mod common;

use common::{component, custom_section, leb};
use scaler_module::{Module, ReadError};
use scaler_proto::{resolve::resolve, value::Value};

const WIT: &str = r#"
    package root:component;

    /// Prices options.
    world root {
        import host: interface { log: func(text: string); now: func() -> u64; }
        import tick: func();
        /// At the root.
        export ping: func(count: u32) -> u32;
        export init: interface {
            /// Sets the environment.
            configure: func(environment: string, debug: bool, retries: option<u8>) -> result<_, string>;
        }
        export mc;
    }

    interface types { record spec { strike: f64 } }

    /// Monte Carlo.
    interface mc {
        use types.{spec};
        variant barrier { none, up-and-out(f64) }
        enum kind { put, long-call }
        flags style { european, knock-in }
        type specs = list<spec>;
        /// Prices one book.
        price-all: func(the-specs: specs, kind: kind, barrier: barrier, style: style, seeds: tuple<u64, s8>, c: char) -> result<list<f64>, string>;
        resource book { total: func() -> f64; }
        open: func() -> book;
    }
"#;

const DEFAULTS: &str = r#"[{"interface": "init", "function": "configure", "parameter": "debug", "value": true}]"#;

fn read(bytes: &[u8]) -> Module {
    Module::read(bytes).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn exports_types_docs_defaults_and_imports_are_found() {
    let bytes = component(WIT, DEFAULTS);
    let module = read(&bytes);
    assert_eq!(module.docs.as_deref(), Some("Prices options."));
    assert_eq!(module.size_bytes, bytes.len() as u64);
    let shown: Vec<String> = module
        .functions
        .iter()
        .map(|f| {
            format!(
                "{}#{}{}|{}",
                f.interface.as_deref().unwrap_or("-"),
                f.name,
                f.signature,
                f.docs.as_deref().unwrap_or("-")
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "-#ping(count: u32) -> u32|At the root.",
            "init#configure(environment: string, debug: bool = true, retries: option<u8>) -> result<_, string>|Sets the environment.",
            "root:component/mc#price-all(the_specs: list<spec>, kind: kind, barrier: barrier, style: style, seeds: tuple<u64, s8>, c: char) \
             -> result<list<f64>, string>|Prices one book.",
        ]
    );
    let definitions = module.functions[2].signature.definitions();
    assert_eq!(
        definitions,
        [
            "record spec { strike: f64 }",
            "enum kind { put, long_call }",
            "variant barrier { none, up_and_out(f64) }",
            "flags style { european, knock_in }"
        ]
    );
    let uncallable: Vec<(&str, &str)> =
        module.uncallable.iter().map(|f| (f.name.as_str(), f.reason.as_str())).collect();
    assert!(uncallable.contains(&("open", "it takes or returns a resource")), "{uncallable:?}");
    assert!(uncallable.contains(&("[method]book.total", "it belongs to a resource")), "{uncallable:?}");
    let imports: Vec<(&str, usize)> = module.imports.iter().map(|i| (i.name.as_str(), i.functions.len())).collect();
    assert!(imports.contains(&("host", 2)) && imports.contains(&("tick", 0)), "{imports:?}");
}

#[test]
fn what_is_announced_resolves_and_binds() {
    let module = read(&component(WIT, DEFAULTS));
    let info = module.info("preload", Some("preload.init:configure()".to_owned()));
    let (_, export) = resolve([&info].into_iter(), "preload.init", "configure").expect("found");
    let signature = scaler_module::Signature::from_bytes(&export.signature).expect("a signature");
    let bytes = signature.bind(&[Value::from("production")], &[]).expect("binds");
    let shown = signature.decode_arguments(&bytes).expect("decodes");
    let shown: Vec<String> = shown.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(shown, ["environment=\"production\"", "debug=true", "retries=null"]);
}

#[test]
fn the_hash_is_of_the_bytes() {
    let bytes = component(WIT, "");
    let mut other = bytes.clone();
    custom_section(&mut other, "note", b"x");
    assert_eq!(read(&bytes).hash, read(&bytes).hash);
    assert_ne!(read(&bytes).hash, read(&other).hash);
    assert_eq!(read(&bytes).functions, read(&other).functions);
}

#[test]
fn docs_of_another_package_or_damaged_ones_do_no_harm() {
    let bytes = component(WIT, "");
    for docs in [
        &b"\x01{\"worlds\":{\"elsewhere\":{}}}"[..],
        b"\x01{\"interfaces\":{\"x\":{\"funcs\":{\"y\":1}}}}",
        b"\x09",
        b"",
        b"\x01[[[",
        &[0xff; 40],
    ] {
        let mut other = bytes.clone();
        custom_section(&mut other, "package-docs", docs);
        assert_eq!(read(&other).functions.len(), 3);
    }
}

#[test]
fn defaults_that_do_not_fit_are_errors_that_name_the_parameter() {
    let cases = [
        (
            r#"[{"interface": "init", "function": "configure", "parameter": "debug", "value": 3}]"#,
            "`debug` in `configure`",
        ),
        (r#"[{"interface": "init", "function": "configure", "parameter": "nope", "value": 3}]"#, "no such parameter"),
        (
            r#"[{"interface": "else", "function": "configure", "parameter": "debug", "value": true}]"#,
            "no such function",
        ),
        ("{}", "cannot be read"),
        (&"[".repeat(100_000), "cannot be read"),
    ];
    for (defaults, text) in cases {
        let error = Module::read(&component(WIT, defaults)).expect_err("refused").to_string();
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn what_is_no_component_is_named() {
    let core = wat::parse_str("(module (func (export \"f\")))").expect("a module");
    assert_eq!(Module::read(&core), Err(ReadError::CoreModule));
    assert_eq!(Module::read(b""), Err(ReadError::Empty));
    assert_eq!(Module::read(b"  (component)"), Err(ReadError::Wat));
    assert_eq!(Module::read(b"\n#!/bin/sh\necho"), Err(ReadError::Text { start: "#!/bin/sh".to_owned() }));
    assert_eq!(Module::read(b"\x7fELF\x02\x01"), Err(ReadError::NotWasm { start: b"\x7fELF".to_vec() }));
    assert_eq!(Module::read(b"\0asm\x0d\0\x02\0"), Err(ReadError::Version { version: 0x2_000d }));
    assert_eq!(Module::read(b"\0asm"), Err(ReadError::Truncated { offset: 0 }));
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("x.wit", "package a:b; interface c { f: func(); }").expect("valid WIT");
    let package = wit_component::encode(&resolve, package, false).expect("encodes");
    assert_eq!(Module::read(&package), Err(ReadError::WitPackage));
    let empty = wat::parse_str("(component)").expect("a component");
    assert_eq!(read(&empty).functions, []);
}

#[test]
fn nested_bombs_end_early() {
    let mut bytes = Vec::from(*b"\0asm\x0d\0\x01\0");
    for _ in 0..2_000 {
        let mut outer = Vec::from(*b"\0asm\x0d\0\x01\0\x04");
        outer.extend_from_slice(&leb(bytes.len()));
        outer.append(&mut bytes);
        bytes = outer;
    }
    assert!(matches!(Module::read(&bytes), Err(ReadError::TooComplex { .. })));

    // 2^15 fields in fifteen lines: valid, and too large to write out.
    let mut wit =
        String::from("package root:component; world root { export a; } interface a { record t0 { a: u8, b: u8 }\n");
    for level in 1..=14 {
        wit += &format!("record t{level} {{ a: t{}, b: t{} }}\n", level - 1, level - 1);
    }
    let module = read(&component(&format!("{wit} small: func(x: t5); large: func(x: t14); }}"), ""));
    assert_eq!(module.functions.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["small"]);
    assert_eq!(module.uncallable[0].reason, "its types are too large");
}

/// Random damage to an honest component: an error or a module, in bounded time, and never a panic that gets out.
#[test]
fn damaged_components_cost_an_error() {
    let honest = component(WIT, DEFAULTS);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut readable = 0;
    for _ in 0..3_000 {
        let mut bytes = honest.clone();
        for _ in 0..1 + random(3) {
            let place = random(bytes.len());
            match random(4) {
                0 => bytes[place] = random(256) as u8,
                1 => bytes[place] ^= 1 << random(8),
                2 => bytes.truncate(place.max(1)),
                _ => {
                    let length = random(20).min(bytes.len() - place);
                    let part: Vec<u8> = bytes[place..place + length].to_vec();
                    let target = random(bytes.len());
                    bytes.splice(target..target, part);
                }
            }
        }
        readable += usize::from(Module::read(&bytes).is_ok());
    }
    for length in 0..honest.len() {
        readable += usize::from(Module::read(&honest[..length]).is_ok());
    }
    assert!(readable > 0, "damage to names and code leaves some components readable");
}
