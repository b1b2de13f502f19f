//! The values of `#[default(..)]`: literals that rustc checks against the parameter's type and the host reads as JSON.

use crate::{
    names::{fail, json, kebab},
    types::type_arguments,
};
use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::{Expr, ExprLit, Lit, Result, Type, UnOp, spanned::Spanned};

/// The value as JSON.
pub(crate) fn to_json(value: &Expr) -> Result<String> {
    Ok(match value {
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Bool(value) => value.value.to_string(),
            Lit::Int(value) => value.base10_digits().to_owned(),
            Lit::Float(value) if value.base10_digits().ends_with('.') => format!("{}0", value.base10_digits()),
            Lit::Float(value) => value.base10_digits().to_owned(),
            Lit::Str(value) => json(&value.value()),
            Lit::Char(value) => json(&value.value().to_string()),
            _ => return no_literal(value),
        },
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => format!("-{}", to_json(&unary.expr)?),
        Expr::Array(array) => {
            let elements = array.elems.iter().map(to_json).collect::<Result<Vec<_>>>()?;
            format!("[{}]", elements.join(","))
        }
        Expr::Path(path) if path.path.is_ident("None") => "null".to_owned(),
        Expr::Path(path) if path.path.segments.len() > 1 => match path.path.segments.last() {
            Some(case) => json(&kebab(&case.ident)?),
            None => return no_literal(value),
        },
        Expr::Call(call) if is_some(&call.func) && call.args.len() == 1 => to_json(&call.args[0])?,
        _ => return no_literal(value),
    })
}

fn no_literal<T>(value: &Expr) -> Result<T> {
    fail(
        value,
        "a default is a literal: true, 1, -2.5, 'c', \"text\", [1, 2], None, Some(1) or a case such as Color::Red",
    )
}

fn is_some(function: &Expr) -> bool {
    matches!(function, Expr::Path(path) if path.path.is_ident("Some"))
}

/// Constants that make rustc compare the value with the type, with its errors at the literal.
pub(crate) fn check(value: &Expr, ty: &Type) -> TokenStream {
    if let Type::Path(path) = ty
        && let Some(last) = path.path.segments.last()
    {
        let arguments = type_arguments(&last.arguments);
        match (last.ident.to_string().as_str(), &arguments[..], value) {
            ("String", [], _) => return quote_spanned!(value.span()=> const _: &::core::primitive::str = #value;),
            ("Vec", [element], Expr::Array(array)) => {
                return array.elems.iter().map(|value| check(value, element)).collect();
            }
            ("Option", [inner], Expr::Call(call)) if is_some(&call.func) && call.args.len() == 1 => {
                return check(&call.args[0], inner);
            }
            _ => {}
        }
    }
    quote_spanned!(value.span()=> const _: #ty = #value;)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_become_json() {
        for (rust, json) in [
            ("true", "true"),
            ("-3i8", "-3"),
            ("0xff", "255"),
            ("1.", "1.0"),
            ("1e9", "1e9"),
            ("\"a\\\"b\"", "\"a\\\"b\""),
            ("'ü'", "\"ü\""),
            ("[1, 2]", "[1,2]"),
            ("None", "null"),
            ("Some(2)", "2"),
            ("Color::DarkRed", "\"dark-red\""),
        ] {
            assert_eq!(to_json(&syn::parse_str(rust).unwrap()).unwrap(), json);
        }
        for rust in ["1 + 1", "f()", "LIMIT", "b\"x\""] {
            assert!(
                to_json(&syn::parse_str(rust).unwrap()).unwrap_err().to_string().starts_with("a default is a literal")
            );
        }
    }
}
