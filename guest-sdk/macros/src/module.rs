//! A whole module: what is exported, its code, and its record for `scaler build`.

use crate::{
    flags,
    function::{self, Function},
    names::{docs, fail, json, kebab, no_cfg},
    sharing::{self, Foreign},
    types::{Names, Types, is_told},
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
        let function = match item {
            Item::Struct(item) => {
                item.attrs.retain(|attribute| !flags::is_helper(attribute));
                continue;
            }
            Item::Fn(function) if matches!(function.vis, Visibility::Public(_)) => function,
            _ => continue,
        };
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
    let (functions, errors) = functions(&mut types, &interface, items);
    let is_whole = functions.len() == exported(items).count();
    let record = if is_whole { record(&interface, item, &types, &functions) } else { TokenStream::new() };
    types.offer_rest(&errors);
    let (code, exports) = (types.code(), functions.iter().map(|function| &function.code));
    let (errors, borrowed) = (errors.iter().map(Error::to_compile_error), types.borrowed_errors());
    let offer = sharing::offer(&types);
    Ok(quote! {
        #[allow(unused, clippy::all, missing_docs)]
        const _: () = {
            use ::scaler_guest::{abi::{self as __abi, Abi as __Abi}, layout as __layout};
            #record
            #(#code)*
            #(#exports)*
        };
        #(#errors)*
        #(#borrowed)*
        #offer
    })
}

/// The functions that a module exports.
pub(crate) fn exported(items: &[Item]) -> impl Iterator<Item = &ItemFn> {
    items.iter().filter_map(|item| match item {
        Item::Fn(function) if matches!(function.vis, Visibility::Public(_)) => Some(function),
        _ => None,
    })
}

/// The exported functions that are understood, and all errors of the others at once.
fn functions(types: &mut Types<'_>, interface: &str, items: &[Item]) -> (Vec<Function>, Vec<Error>) {
    let (mut functions, mut errors, mut names) = (Vec::new(), Vec::<Error>::new(), Names::default());
    for item in exported(items) {
        let function = names.add(&item.sig.ident).and_then(|_| function::function(types, interface, item));
        match function {
            Ok(function) => functions.push((function, item)),
            Err(error) if is_told(&error) => {}
            // A type that two functions use is wrong only once.
            Err(error) if errors.iter().any(|other| is_same(other, &error)) => {}
            Err(error) => errors.push(error),
        }
    }
    for (function, item) in &functions {
        errors.extend(function::name_clash(types, function, item).err());
    }
    (functions.into_iter().map(|(function, _)| function).collect(), errors)
}

/// Whether two errors say the same of the same place.
pub(crate) fn is_same(left: &Error, right: &Error) -> bool {
    left.to_string() == right.to_string() && format!("{:?}", left.span()) == format!("{:?}", right.span())
}

/// The record of the custom section `scaler-guest`: its length, then JSON. The linker joins those of all modules.
fn record(interface: &str, item: &ItemMod, types: &Types<'_>, functions: &[Function]) -> TokenStream {
    if functions.is_empty() {
        return TokenStream::new();
    }
    let mut wit: String = types.definitions.iter().map(|definition| definition.text.as_str()).collect();
    functions.iter().for_each(|function| wit += &function.wit);
    let defaults: Vec<&str> = functions.iter().flat_map(|function| &function.defaults).map(String::as_str).collect();
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

#[cfg(test)]
mod tests {
    use crate::sharing;

    /// The first message for a module with this body.
    fn message(body: &str) -> String {
        let item = syn::parse_str(&format!("pub mod m {{ {body} }}")).unwrap();
        let code = match sharing::start(&item) {
            Ok(code) => code.to_string(),
            Err(error) => return error.to_string(),
        };
        // Errors stand beside the code that is right, and before the macro with what is told to other modules.
        let own = code.split("macro_rules").next().unwrap_or_default();
        if own.contains("compile_error") { own.replace("\\\"", "\"") } else { "no error".to_owned() }
    }

    #[test]
    fn what_cannot_be_exported_is_refused_with_a_remedy() {
        for (body, expected) in [
            ("pub fn f(a: &str) {}", "a borrowed `&str` cannot cross the component boundary: take a `String` instead"),
            ("pub fn f(a: &[u8]) {}", "take a `Vec<u8>` instead"),
            ("pub fn f(a: &mut u8) {}", "take it by value instead"),
            ("pub fn f<T>(a: T) {}", "use concrete types"),
            ("pub fn f<'a>(a: u8) {}", "has no lifetimes"),
            ("pub async fn f() {}", "cannot be `async`"),
            ("pub unsafe fn f() {}", "cannot be `unsafe`"),
            ("pub extern \"C\" fn f() {}", "calling convention"),
            ("pub fn f(self) {}", "has no `self`"),
            ("pub fn f((a, b): (u8, u8)) {}", "give this parameter a plain name"),
            ("pub fn f(a: usize) {}", "use `u32` or `u64`"),
            ("pub fn f(a: i128) {}", "`i128` has no WIT type"),
            ("pub fn f(a: ()) {}", "`()` can only be a function's result"),
            ("pub fn f(a: [u8; 4]) {}", "use `Vec<u8>` instead"),
            ("pub fn f(a: Box<u8>) {}", "use the value itself"),
            ("pub fn f(a: HashMap<String, u8>) {}", "use `Vec<(String, u8)>`"),
            ("pub fn f(a: impl Clone) {}", "cannot cross the component boundary"),
            ("pub fn f() -> Result<u8> {}", "write the error type too"),
            ("pub fn f(a: Unknown) {}", "`Unknown` cannot cross"),
            ("use super::Outer; pub fn f(a: Outer) {}", "`Outer` is defined outside of a `#[scaler_guest::module]`"),
            ("struct S { a: u8 } pub fn f(a: S) {}", "`S` is not public: an interface needs a `pub struct`"),
            ("pub struct S(u8); pub fn f(a: S) {}", "name its fields"),
            ("pub struct S {} pub fn f(a: S) {}", "a struct without fields"),
            ("pub struct S<T> { a: T } pub fn f(a: S) {}", "use concrete types"),
            ("pub struct S { a: Option<Vec<S>> } pub fn f(a: S) {}", "`S` contains itself"),
            ("#[flags] pub struct S { a: u8 } pub fn f(a: S) {}", "a flag is a `bool`"),
            ("#[flags] pub struct S {} pub fn f(a: S) {}", "flags without a flag"),
            ("#[flags] pub struct S(bool); pub fn f(a: S) {}", "each a `bool`: name them"),
            ("#[flags(8)] pub struct S { a: bool } pub fn f(a: S) {}", "`#[flags]` takes no arguments"),
            ("pub enum E {} pub fn f(a: E) {}", "an enum without cases"),
            ("pub enum E { A { b: u8 } } pub fn f(a: E) {}", "put them into a struct, as in `A(A)`"),
            ("pub enum E { A() } pub fn f(a: E) {}", "remove the parentheses"),
            ("type A = B; type B = A; pub fn f(a: A) {}", "contains itself"),
            ("#[cfg(feature = \"x\")] pub fn f() {}", "`#[cfg]` on an exported function"),
            ("pub struct S { #[cfg(x)] a: u8 } pub fn f(a: S) {}", "`#[cfg]` on a field"),
            (
                "pub struct Point { x: u8 } pub fn point() -> Point {}",
                "the function `point` and the type `Point` are both `point`",
            ),
            ("pub fn a_b() {} pub fn a__b() {}", "`a_b` and `a__b` are both `a-b` in the interface"),
            ("pub fn f(a_b: u8, a__b: u8) {}", "`a_b` and `a__b` are both `a-b` in the interface"),
            ("pub fn größe() {}", "has no WIT name"),
            ("pub fn f(#[default(1)] a: u8, b: u8) {}", "`b` needs a default too"),
            ("pub fn f(#[default(1 + 1)] a: u8) {}", "a default is a literal"),
            ("pub fn f(#[default(1)] #[default(2)] a: u8) {}", "a parameter has one default"),
        ] {
            let message = message(body);
            assert!(message.contains(expected), "{body}\n  gives    {message}\n  expected {expected}");
        }
    }

    #[test]
    fn what_can_be_exported_is_not_refused() {
        for body in [
            "",
            "fn private(a: &str) {} pub(crate) fn shared(a: &str) {} #[cfg(test)] mod tests {}",
            "pub type Id = u64; pub fn f(a: Id) -> Vec<Id> {}",
            "pub struct Holder { a: Box<u8> } pub fn f(mut a: u8) {}",
            "#[flags] pub struct Style { bold: bool, wide: bool } pub fn f(a: Vec<Style>) -> Style {}",
            "use super::shapes::Point; pub fn f(a: Point) {}",
            "use scaler_guest::Result; pub fn f() -> Result<u8> {}",
            "pub fn f(#[default(1)] a: u8, b: Option<u8>) -> Result<(), ()> {}",
        ] {
            assert_eq!(message(body), "no error", "{body}");
        }
    }
}
