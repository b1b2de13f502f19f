//! `scaler inspect`: what a component exports and imports.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use scaler_module::{Function, Module, Type};
use serde_json::{Value, json};

use super::output;
use crate::exit;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct InspectArgs {
    /// A component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn inspect(arguments: &InspectArgs) -> anyhow::Result<ExitCode> {
    let path = arguments.file.display();
    let bytes = fs::read(&arguments.file).map_err(|error| exit::coded(exit::USAGE, format!("{path}: {error}")))?;
    let module = Module::read(&bytes).map_err(|error| exit::coded(exit::USAGE, format!("{path}: {error}")))?;
    let text = if arguments.json { object(&module).to_string() + "\n" } else { picture(&path.to_string(), &module) };
    output::written(io::stdout().lock().write_all(text.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

/// `interface:function` with the names that a call uses after the file's: snake_case, no package, no version.
fn call_name(function: &Function) -> String {
    let name = function.name.replace('-', "_");
    match &function.interface {
        None => name,
        Some(interface) => {
            let bare = interface.split('@').next().unwrap_or_default();
            let last = bare.rsplit('/').next().unwrap_or_default().replace('-', "_");
            format!("{last}:{name}")
        }
    }
}

fn picture(path: &str, module: &Module) -> String {
    let mut text = format!("{path}  {} bytes  {}\n", module.size_bytes, module.hash);
    for line in module.docs.iter().flat_map(|docs| docs.lines()) {
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(text, "\n{} functions", module.functions.len());
    for function in &module.functions {
        let _ = writeln!(text, "  {}{}", call_name(function), function.signature.describe());
        for line in function.docs.iter().flat_map(|docs| docs.lines()) {
            let _ = writeln!(text, "      {line}");
        }
    }
    for refused in &module.uncallable {
        let interface = refused.interface.as_deref().unwrap_or("(root)");
        let _ = writeln!(text, "  not callable: {} of {interface}: {}", refused.name, refused.reason);
    }
    match module.imports.len() {
        0 => text.push_str("\nno imports\n"),
        count => {
            let _ = writeln!(text, "\n{count} imports");
        }
    }
    for import in &module.imports {
        let _ = writeln!(text, "  {} {}", import.name, import.functions.join(" "));
    }
    text
}

fn object(module: &Module) -> Value {
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
            "name": call_name(function),
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
        "uncallable": module.uncallable,
        "imports": module.imports,
    })
}

fn plain(value: &scaler_client::Value) -> Value {
    let text = value.to_json();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
