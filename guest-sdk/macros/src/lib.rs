//! The `#[module]` attribute of `scaler-guest`: plain Rust functions become exports of the canonical ABI.
//!
//! The attribute leaves the module as it is and adds to it: for wasm, the exported functions and one record in the
//! custom section `scaler-guest` that `scaler build` reads; everywhere, the checks and the errors.
//! How the pieces follow each other:
//!
//! - `module`: what is exported, and the record;
//! - `types`: Rust types to WIT text, flat core types and the code that moves them;
//! - `function`: one exported function; `default`: the values of `#[default(..)]`; `flags`: structs with `#[flags]`;
//! - `sharing`: types of other `#[module]`s of the crate, which a macro cannot see and has to be handed;
//! - `names`: WIT's spelling, documentation comments, JSON strings.

mod default;
mod flags;
mod function;
mod module;
mod names;
mod sharing;
mod types;

use proc_macro::TokenStream;
use quote::quote;

/// Exports every `pub fn` of a module; see the documentation of `scaler-guest`.
#[proc_macro_attribute]
pub fn module(arguments: TokenStream, input: TokenStream) -> TokenStream {
    let mut item = syn::parse_macro_input!(input as syn::ItemMod);
    let addition = module::check_arguments(&arguments.into())
        .and_then(|()| sharing::start(&item))
        .unwrap_or_else(|error| sharing::failed(&error, item.content.is_some()));
    module::remove_helper_attributes(&mut item);
    // Errors join the module instead of replacing it, so that its callers get no errors of their own.
    match &mut item.content {
        Some((_, items)) => {
            items.push(syn::Item::Verbatim(addition));
            quote!(#item).into()
        }
        None => quote!(#item #addition).into(),
    }
}

/// Not for use by hand: goes on with a module whose types come from other modules.
#[doc(hidden)]
#[proc_macro]
pub fn __continue_module(state: TokenStream) -> TokenStream {
    sharing::resume(state.into()).unwrap_or_else(|error| sharing::failed(&error, true)).into()
}
