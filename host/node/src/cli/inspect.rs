//! `scaler inspect`: what a component exports and imports.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use scaler_module::{Module, Type};
use serde_json::{Value, json};

use super::output;
use crate::{exit, guest};

/// So many components of a folder are named.
const COMPONENTS_SHOWN: usize = 5;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct InspectArgs {
    /// A component, as `scaler build` makes it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// As one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn inspect(arguments: &InspectArgs) -> anyhow::Result<ExitCode> {
    let path = arguments.file.display();
    if arguments.file.is_dir() {
        return Err(exit::coded(exit::USAGE, format!("{path} is a folder; {}", in_folder(&arguments.file))));
    }
    let bytes = fs::read(&arguments.file).map_err(|error| exit::coded(exit::USAGE, format!("{path}: {error}")))?;
    let module = Module::read(&bytes).map_err(|error| exit::coded(exit::USAGE, format!("{path}: {error}")))?;
    let (stem, dotted) = guest::call_stem(&arguments.file);
    let text = if arguments.json {
        object(&stem, &module).to_string() + "\n"
    } else {
        picture(&stem, &path.to_string(), &module)
    };
    output::written(io::stdout().lock().write_all(text.as_bytes()))?;
    if let Some(dotted) = dotted {
        // With stderr closed there is nobody to tell.
        let _ = writeln!(io::stderr(), "note: no call finds this file: {dotted}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What to give instead of a folder.
fn in_folder(folder: &Path) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_component = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
    let mut paths: Vec<String> = entries.filter(is_component).map(|path| path.display().to_string()).collect();
    paths.sort_unstable();
    let more = paths.len().saturating_sub(COMPONENTS_SHOWN);
    paths.truncate(COMPONENTS_SHOWN);
    match (paths.as_slice(), more) {
        ([], _) => "give a component, a file NAME.wasm as `scaler build` makes it".to_owned(),
        (paths, 0) => format!("give a component in it: {}", paths.join(", ")),
        (paths, more) => format!("give a component in it: {}, or one of {more} more", paths.join(", ")),
    }
}

fn picture(stem: &str, path: &str, module: &Module) -> String {
    let mut text = format!("{path}  {} bytes  {}\n", module.size_bytes, module.hash);
    for line in module.docs.iter().flat_map(|docs| docs.lines()) {
        let _ = writeln!(text, "{line}");
    }
    text.push_str(if module.functions.is_empty() { "\nno functions\n" } else { "\nfunctions\n" });
    for function in &module.functions {
        let _ = writeln!(text, "  {}{}", guest::call_name(stem, function), function.signature.describe());
        for line in function.docs.iter().flat_map(|docs| docs.lines()) {
            let _ = writeln!(text, "      {line}");
        }
    }
    let types = types(module);
    if !types.is_empty() {
        let _ = writeln!(text, "\ntypes");
    }
    for definition in &types {
        let _ = writeln!(text, "  {definition}");
    }
    for refused in &module.uncallable {
        let interface = refused.interface.as_deref().unwrap_or("(root)");
        let _ = writeln!(text, "  not callable: {} of {interface}: {}", refused.name, refused.reason);
    }
    text.push_str(if module.imports.is_empty() { "\nno imports\n" } else { "\nimports\n" });
    for import in &module.imports {
        let _ = writeln!(text, "  {} {}", import.name, import.functions.join(" "));
    }
    text
}

fn object(stem: &str, module: &Module) -> Value {
    let functions = module.functions.iter().map(|function| {
        let parameters = function.signature.parameters.iter().map(|parameter| {
            json!({
                "name": parameter.name.replace('-', "_"),
                "type": parameter.ty.to_string(),
                "default": parameter.default.as_ref().map(plain),
                "optional": parameter.default.is_some() || matches!(parameter.ty, Type::Option(_)),
            })
        });
        json!({
            "call": guest::call_name(stem, function),
            "interface": function.interface,
            "function": function.name,
            "signature": function.signature.describe(),
            "parameters": parameters.collect::<Vec<_>>(),
            "result": function.signature.result.as_ref().map(ToString::to_string),
            "docs": function.docs,
        })
    });
    json!({
        "hash": module.hash.to_string(),
        "size_bytes": module.size_bytes,
        "docs": module.docs,
        "functions": functions.collect::<Vec<_>>(),
        "types": types(module),
        "uncallable": module.uncallable,
        "imports": module.imports,
    })
}

/// What the named types are made of, each once, in the order in which the functions need them.
fn types(module: &Module) -> Vec<String> {
    let signatures = module.functions.iter().map(|function| &function.signature);
    let needed = signatures
        .flat_map(|signature| signature.parameters.iter().map(|parameter| &parameter.ty).chain(&signature.result));
    let mut definitions = Vec::new();
    needed.for_each(|ty| define(ty, &mut definitions));
    definitions
}

fn define(ty: &Type, definitions: &mut Vec<String>) {
    let snake = |name: &str| name.replace('-', "_");
    let (definition, inner): (Option<String>, Vec<&Type>) = match ty {
        Type::Record { name, fields } => {
            let inside: Vec<_> = fields.iter().map(|field| format!("{}: {}", snake(&field.name), field.ty)).collect();
            let definition = format!("record {} {{ {} }}", snake(name), inside.join(", "));
            (Some(definition), fields.iter().map(|field| &field.ty).collect())
        }
        Type::Variant { name, cases } => {
            let inside: Vec<_> = cases
                .iter()
                .map(|case| match &case.ty {
                    Some(ty) => format!("{}({ty})", snake(&case.name)),
                    None => snake(&case.name),
                })
                .collect();
            let definition = format!("variant {} {{ {} }}", snake(name), inside.join(", "));
            (Some(definition), cases.iter().filter_map(|case| case.ty.as_ref()).collect())
        }
        Type::Enum { name, cases: words } => (Some(words_of("enum", name, words)), Vec::new()),
        Type::Flags { name, names: words } => (Some(words_of("flags", name, words)), Vec::new()),
        Type::List(inner) | Type::Option(inner) => (None, vec![inner.as_ref()]),
        Type::Result { ok, err } => (None, ok.iter().chain(err).map(AsRef::as_ref).collect()),
        Type::Tuple(inner) => (None, inner.iter().collect()),
        _ => (None, Vec::new()),
    };
    if let Some(definition) = definition {
        if definitions.contains(&definition) {
            return;
        }
        definitions.push(definition);
    }
    inner.into_iter().for_each(|ty| define(ty, definitions));
}

fn words_of(what: &str, name: &str, words: &[String]) -> String {
    format!("{what} {} {{ {} }}", name.replace('-', "_"), words.join(", ").replace('-', "_"))
}

fn plain(value: &scaler_client::Value) -> Value {
    let text = value.to_json();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
