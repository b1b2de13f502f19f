//! A whole module: what is exported, its code, and its record for `scaler build`.

use crate::{
    function::{self, Function},
    names::{docs, fail, json, kebab, no_cfg},
    sharing::{self, Foreign},
    types::{Names, Types},
};
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Error, FnArg, Item, ItemFn, ItemMod, LitByteStr, Result, Visibility};

/// The attribute takes no arguments.
pub(crate) fn check_arguments(arguments: &TokenStream) -> Result<()> {
    if arguments.is_empty() { Ok(()) } else { fail(arguments, "`#[scaler_guest::module]` takes no arguments") }
}

/// Removes what only this macro understands.
pub(crate) fn remove_helper_attributes(item: &mut ItemMod) {
    for item in item.content.iter_mut().flat_map(|(_, items)| items) {
        let Item::Fn(function) = item else { continue };
        if !matches!(function.vis, Visibility::Public(_)) {
            continue;
        }
        for input in &mut function.sig.inputs {
            if let FnArg::Typed(input) = input {
                input.attrs.retain(|attribute| !attribute.path().is_ident("default"));
            }
        }
    }
}

/// The items of a module that has a body.
pub(crate) fn items(item: &ItemMod) -> Result<&[Item]> {
    match &item.content {
        Some((_, items)) => Ok(items),
        None => fail(item, "write the module's body here: `pub mod name { .. }`"),
    }
}

/// Everything that is added to a module once all types it uses are known.
pub(crate) fn finish(item: &ItemMod, foreign: &[Foreign]) -> Result<TokenStream> {
    let items = items(item)?;
    no_cfg(&item.attrs, "an exported module")?;
    let interface = kebab(&item.ident)?;
    let mut types = Types::new(items, foreign);
    let functions = functions(&mut types, &interface, items)?;
    let record = record(&interface, item, &types, &functions);
    types.offer_rest();
    let (code, exports) = (types.code(), functions.iter().map(|function| &function.code));
    let offer = sharing::offer(&types);
    Ok(quote! {
        #[allow(unused, clippy::all, missing_docs)]
        const _: () = {
            use ::scaler_guest::{abi::{self as __abi, Abi as __Abi}, layout as __layout};
            #record
            #(#code)*
            #(#exports)*
        };
        #offer
    })
}

/// The exported functions, or all errors at once.
fn functions(types: &mut Types<'_>, interface: &str, items: &[Item]) -> Result<Vec<Function>> {
    let (mut functions, mut errors, mut names) = (Vec::new(), Vec::<Error>::new(), Names::default());
    for item in items {
        let Item::Fn(item) = item else { continue };
        if !matches!(item.vis, Visibility::Public(_)) {
            continue;
        }
        let function = names.add(&item.sig.ident).and_then(|_| function::function(types, interface, item));
        match function {
            Ok(function) => functions.push((function, item)),
            // A type that two functions use is wrong only once.
            Err(error) if errors.iter().any(|other| is_same(other, &error)) => {}
            Err(error) => errors.push(error),
        }
    }
    for (function, item) in &functions {
        errors.extend(function::name_clash(types, function, item).err());
    }
    let combined = errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    });
    match combined {
        None => Ok(functions.into_iter().map(|(function, _): (Function, &ItemFn)| function).collect()),
        Some(errors) => Err(errors),
    }
}

fn is_same(left: &Error, right: &Error) -> bool {
    left.to_string() == right.to_string() && format!("{:?}", left.span()) == format!("{:?}", right.span())
}

/// The record of the custom section `scaler-guest`: its length, then JSON. The linker joins those of all modules.
fn record(interface: &str, item: &ItemMod, types: &Types<'_>, functions: &[Function]) -> TokenStream {
    if functions.is_empty() {
        return TokenStream::new();
    }
    let mut wit: String = types.definitions.iter().map(|definition| definition.text.as_str()).collect();
    functions.iter().for_each(|function| wit += &function.wit);
    let defaults: Vec<&str> =
        functions.iter().flat_map(|function| &function.defaults).map(String::as_str).collect();
    let text = format!(
        "{{\"interface\":{},\"docs\":{},\"wit\":{},\"defaults\":[{}]}}",
        json(interface),
        json(&docs(&item.attrs, "  ")),
        json(&wit),
        defaults.join(",")
    );
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend(text.bytes());
    let (length, bytes) = (bytes.len(), LitByteStr::new(&bytes, Span::call_site()));
    quote! {
        #[cfg(target_family = "wasm")]
        #[used]
        #[unsafe(link_section = "scaler-guest")]
        static __RECORD: [u8; #length] = *#bytes;
    }
}
