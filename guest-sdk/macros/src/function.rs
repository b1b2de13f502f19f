//! One exported function: its WIT text, its defaults, and the export that lifts, calls and lowers.

use crate::{
    default,
    names::{docs, fail, json, kebab, no_cfg},
    types::{Core, Names, Types, WitType, is_unit, no_generics},
};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Expr, FnArg, GenericParam, Ident, ItemFn, Pat, PatType, Result, ReturnType, Signature, Type};

/// More flat parameters than this are passed in memory.
const FLAT_PARAMETERS_MAX: usize = 16;

/// What an exported function adds to its module.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) wit: String,
    pub(crate) defaults: Vec<String>,
    pub(crate) code: TokenStream,
}

/// Understands a `pub fn`.
pub(crate) fn function(types: &mut Types<'_>, interface: &str, item: &ItemFn) -> Result<Function> {
    let signature = &item.sig;
    check_signature(item)?;
    let name = kebab(&signature.ident)?;
    let mut parameters = Vec::new();
    let (mut names, mut checks, mut defaults, mut optional) =
        (Names::default(), TokenStream::new(), Vec::new(), None::<Ident>);
    for input in &signature.inputs {
        let FnArg::Typed(input) = input else { return fail(input, "an exported function has no `self`") };
        let Pat::Ident(pattern) = &*input.pat else {
            return fail(&input.pat, "give this parameter a plain name: it becomes part of the interface");
        };
        no_cfg(&input.attrs, "a parameter of an interface")?;
        let wit = types.resolve(&input.ty)?;
        let parameter = names.add(&pattern.ident)?;
        match default_of(input)? {
            Some(value) => {
                checks.extend(default::check(&value, &input.ty));
                let value = default::to_json(&value)?;
                defaults.push(format!(
                    "{{\"function\":{},\"parameter\":{},\"value\":{value}}}",
                    json(&name),
                    json(&parameter)
                ));
                optional = Some(pattern.ident.clone());
            }
            None => {
                if let Some(earlier) = optional.as_ref().filter(|_| !wit.text.starts_with("option<")) {
                    let message =
                        format!("`{}` needs a default too, because `{earlier}` before it has one", pattern.ident);
                    return fail(pattern, message);
                }
            }
        }
        parameters.push((parameter, &*input.ty, wit));
    }
    let result = match &signature.output {
        ReturnType::Type(_, ty) if !is_unit(ty) => Some((&**ty, types.resolve(ty)?)),
        _ => None,
    };
    let texts: Vec<String> = parameters.iter().map(|(name, _, wit)| format!("%{name}: {}", wit.text)).collect();
    let arrow = result.as_ref().map(|(_, wit)| format!(" -> {}", wit.text)).unwrap_or_default();
    let wit = format!("{}  %{name}: func({}){arrow};\n", docs(&item.attrs, "  "), texts.join(", "));
    let export = export(interface, &name, &signature.ident, &parameters, result.as_ref());
    Ok(Function { name, wit, defaults, code: quote!(const _: () = { #checks #export };) })
}

fn check_signature(item: &ItemFn) -> Result<()> {
    let Signature { generics, asyncness, unsafety, abi, variadic, .. } = &item.sig;
    no_cfg(&item.attrs, "an exported function")?;
    if let Some(lifetime) = generics.params.iter().find(|parameter| matches!(parameter, GenericParam::Lifetime(_))) {
        return fail(lifetime, "an exported function has no lifetimes: its values are owned");
    }
    no_generics(generics)?;
    if let Some(keyword) = asyncness {
        return fail(keyword, "an exported function cannot be `async`: a task is one call that runs to its end");
    }
    if let Some(keyword) = unsafety {
        return fail(keyword, "an exported function cannot be `unsafe`");
    }
    match (abi, variadic) {
        (Some(abi), _) => fail(abi, "an exported function has Rust's own calling convention: leave this out"),
        (_, Some(dots)) => fail(dots, "an exported function has a fixed number of parameters"),
        _ => Ok(()),
    }
}

fn default_of(input: &PatType) -> Result<Option<Expr>> {
    let mut found = input.attrs.iter().filter(|attribute| attribute.path().is_ident("default"));
    match (found.next(), found.next()) {
        (_, Some(second)) => fail(second, "a parameter has one default"),
        (Some(attribute), None) => attribute.parse_args().map(Some),
        (None, None) => Ok(None),
    }
}

/// The functions that the component's encoder looks for.
fn export(
    interface: &str,
    name: &str,
    ident: &Ident,
    parameters: &[(String, &Type, WitType)],
    result: Option<&(&Type, WitType)>,
) -> TokenStream {
    let symbol = format!("{interface}#{name}");
    let (inputs, lift, arguments) = lifting(parameters);
    let (output, lower, post_return) = lowering(&symbol, result);
    quote! {
        #[cfg(target_family = "wasm")]
        #[unsafe(export_name = #symbol)]
        unsafe extern "C" fn __export(#inputs) #output {
            __abi::enter();
            #lift
            let __result = self::#ident(#(#arguments),*);
            __abi::leave();
            #lower
        }
        #post_return
    }
}

/// The export's parameters, the statements that take them, and the arguments of the call.
fn lifting(parameters: &[(String, &Type, WitType)]) -> (TokenStream, TokenStream, Vec<Ident>) {
    let types: Vec<&Type> = parameters.iter().map(|(_, ty, _)| *ty).collect();
    let flat: Vec<Core> = parameters.iter().flat_map(|(_, _, wit)| wit.flat.iter().copied()).collect();
    let arguments: Vec<Ident> = (0..types.len()).map(|index| format_ident!("__argument_{index}")).collect();
    if flat.len() > FLAT_PARAMETERS_MAX {
        let lift = quote! {
            let mut __fields = __abi::Loader::new(__pointer);
            #(let #arguments = unsafe { __fields.take::<#types>() };)*
            unsafe {
                const __PARAMETERS: __layout::Layout = __layout::Layout::record(&[#(<#types as __Abi>::LAYOUT),*]);
                __abi::free_parameters(__pointer, __PARAMETERS);
            }
        };
        return (quote!(__pointer: *mut u8), lift, arguments);
    }
    if flat.is_empty() {
        return (TokenStream::new(), TokenStream::new(), arguments);
    }
    let slots: Vec<Ident> = (0..flat.len()).map(|index| format_ident!("__slot_{index}")).collect();
    let cores = flat.iter().map(|core| core.rust());
    let lift = quote! {
        let __slots = [#(__abi::Slot::to_slot(#slots)),*];
        let mut __slots = __abi::Slots::new(&__slots);
        #(let #arguments = unsafe { <#types as __Abi>::lift(&mut __slots) };)*
    };
    (quote!(#(#slots: #cores),*), lift, arguments)
}

/// The export's result, the expression that gives it, and the post-return function.
fn lowering(symbol: &str, result: Option<&(&Type, WitType)>) -> (TokenStream, TokenStream, TokenStream) {
    let Some((ty, wit)) = result else { return Default::default() };
    if let [core] = wit.flat[..] {
        let core = core.rust();
        let lower = quote!(<#core as __abi::Slot>::from_slot(__abi::lower_one::<#ty>(__result)));
        return (quote!(-> #core), lower, TokenStream::new());
    }
    let post_return = format!("cabi_post_{symbol}");
    let code = quote! {
        #[cfg(target_family = "wasm")]
        #[unsafe(export_name = #post_return)]
        unsafe extern "C" fn __post_return(__pointer: *mut u8) {
            unsafe { __abi::free_result::<#ty>(__pointer) }
        }
    };
    (quote!(-> *mut u8), quote!(__abi::lower_stored::<#ty>(__result)), code)
}

/// Where a type of the interface is named like a function.
pub(crate) fn name_clash(types: &Types<'_>, function: &Function, item: &ItemFn) -> Result<()> {
    if !types.definitions.iter().any(|definition| definition.name == function.name) {
        return Ok(());
    }
    let ty = types.local_named(&function.name).map_or("a type it uses".to_owned(), |name| format!("the type `{name}`"));
    let message = format!(
        "the function `{}` and {ty} are both `{}` in the interface, where functions and types share their names: rename one of them",
        item.sig.ident, function.name
    );
    fail(&item.sig.ident, message)
}
