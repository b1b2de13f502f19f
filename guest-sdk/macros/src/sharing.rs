//! Types of other `#[module]`s of the crate.
//!
//! An attribute sees only the module it stands on. So each module also defines a macro that hands its types, already
//! understood, to whoever asks: a module that uses foreign types calls the macros of their modules one after the other,
//! carrying its own tokens along, and is finished when the last one has answered.

use crate::{
    module,
    names::fail,
    types::{Core, Definition, Types, local_types, type_arguments},
};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use std::collections::{BTreeMap, BTreeSet};
use syn::{
    Error, FnArg, Ident, Item, ItemEnum, ItemMod, ItemStruct, LitStr, Path, Result, ReturnType, Token, Type, UseTree,
    Visibility,
    ext::IdentExt as _,
    parenthesized,
    parse::{Parse, ParseStream},
    parse_quote,
    punctuated::Punctuated,
    spanned::Spanned,
};

/// The macro of a module. rustc shows this name when a type comes from a module without the attribute.
const OFFER: &str = "__types_come_only_from_a_module_with_the_attribute_scaler_guest_module";

/// A type of another module, as that module understood it.
#[derive(Debug)]
pub(crate) struct Foreign {
    pub(crate) module: String,
    pub(crate) name: String,
    pub(crate) form: Form,
}

/// What a module could make of a type.
#[derive(Debug)]
pub(crate) enum Form {
    Known {
        wit_name: String,
        flat: Vec<Core>,
        definitions: Vec<Definition>,
    },
    /// It cannot cross. The errors stand at its own lines; whoever uses it tells them. There are none if they have been
    /// told where it is defined.
    Broken(TokenStream),
}

/// In place of a name: nothing of the module is known, and why has been told.
const ALL: &str = "_";

impl Foreign {
    /// Whether this is what is known of a type.
    pub(crate) fn is_about(&self, module: &str, name: &str) -> bool {
        self.module == module && (self.name == name || self.name == ALL)
    }
}

/// The names that a module imports, with their full paths.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    names: BTreeMap<String, Vec<Ident>>,
    /// `crate::types::*`: nobody can say which names these are.
    globs: Vec<String>,
}

impl Imports {
    pub(crate) fn of(items: &[Item]) -> Self {
        let mut imports = Self::default();
        for item in items {
            if let Item::Use(item) = item {
                imports.add(&item.tree, &mut Vec::new());
            }
        }
        imports
    }

    fn add(&mut self, tree: &UseTree, prefix: &mut Vec<Ident>) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.clone());
                self.add(&path.tree, prefix);
                prefix.pop();
            }
            UseTree::Name(name) => {
                let path = prefix.iter().chain([&name.ident]).cloned().collect();
                self.names.insert(name.ident.to_string(), path);
            }
            UseTree::Rename(rename) => {
                let path = prefix.iter().chain([&rename.ident]).cloned().collect();
                self.names.insert(rename.rename.to_string(), path);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add(tree, prefix)),
            UseTree::Glob(_) => {
                if prefix.first().is_some_and(is_of_crate) {
                    self.globs.push(format!("{}::*", joined(prefix)));
                }
            }
        }
    }

    /// The first import of this crate that names nothing.
    pub(crate) fn glob(&self) -> Option<&str> {
        self.globs.first().map(String::as_str)
    }

    /// Whether a name was imported from the SDK.
    pub(crate) fn is_from_sdk(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|path| path.first().is_some_and(|first| first == "scaler_guest"))
    }
}

fn is_of_crate(ident: &Ident) -> bool {
    ident == "crate" || ident == "super" || ident == "self"
}

/// The full path of a type of this crate that is not this module's own; `None` for what the language or a library has.
fn full_path(path: &Path, imports: &Imports) -> Option<Vec<Ident>> {
    let mut full: Vec<Ident> = path.segments.iter().map(|segment| segment.ident.clone()).collect();
    let first = full.first()?;
    if !is_of_crate(first) {
        let mut imported = imports.names.get(&first.to_string())?.clone();
        // Errors at the place of use help more than those at the import.
        imported.last_mut()?.set_span(first.span());
        imported.extend(full.drain(1..));
        full = imported;
    }
    (is_of_crate(full.first()?) && full.len() > 1).then_some(full)
}

/// Module and name of a type of this crate that is not this module's own.
pub(crate) fn module_and_name(path: &Path, imports: &Imports) -> Option<(String, String)> {
    let mut full = full_path(path, imports)?;
    let name = full.pop()?.to_string();
    Some((joined(&full), name))
}

fn joined(path: &[Ident]) -> String {
    path.iter().map(Ident::to_string).collect::<Vec<_>>().join("::")
}

/// Looks for the modules whose types a module's functions use.
struct Search<'a> {
    items: BTreeMap<String, &'a Item>,
    imports: Imports,
    seen: BTreeSet<String>,
    modules: BTreeMap<String, Vec<Ident>>,
}

impl Search<'_> {
    fn visit(&mut self, ty: &Type) -> Result<()> {
        match ty {
            Type::Paren(inner) => self.visit(&inner.elem),
            Type::Group(inner) => self.visit(&inner.elem),
            Type::Tuple(tuple) => tuple.elems.iter().try_for_each(|element| self.visit(element)),
            Type::Path(path) if path.qself.is_none() => self.visit_path(&path.path, ty),
            _ => Ok(()),
        }
    }

    fn visit_path(&mut self, path: &Path, at: &Type) -> Result<()> {
        if let Some(last) = path.segments.last() {
            type_arguments(&last.arguments).into_iter().try_for_each(|argument| self.visit(argument))?;
        }
        if let Some(name) = path.get_ident().map(Ident::to_string)
            && let Some(item) = self.items.get(&name).copied()
        {
            if !self.seen.insert(name) {
                return Ok(());
            }
            return match item {
                Item::Struct(item) => item.fields.iter().try_for_each(|field| self.visit(&field.ty)),
                Item::Enum(item) => {
                    let mut fields = item.variants.iter().flat_map(|variant| &variant.fields);
                    fields.try_for_each(|field| self.visit(&field.ty))
                }
                Item::Type(item) => self.visit(&item.ty),
                _ => Ok(()),
            };
        }
        let Some(mut module) = full_path(path, &self.imports) else { return Ok(()) };
        let Some(name) = module.pop() else { return Ok(()) };
        if module.iter().all(is_of_crate) {
            return fail(
                at,
                format!(
                    "`{name}` is defined outside of a `#[scaler_guest::module]`: move it into this one, or into another one and import it from there"
                ),
            );
        }
        self.modules.insert(joined(&module), module);
        Ok(())
    }
}

/// The modules whose types the functions of this one use, by path; where there are no functions, its public types.
fn modules_needed(items: &[Item]) -> Result<Vec<Path>> {
    let mut search = Search {
        items: local_types(items),
        imports: Imports::of(items),
        seen: BTreeSet::new(),
        modules: BTreeMap::new(),
    };
    for function in module::exported(items) {
        for input in &function.sig.inputs {
            if let FnArg::Typed(input) = input {
                search.visit(&input.ty)?;
            }
        }
        if let ReturnType::Type(_, ty) = &function.sig.output {
            search.visit(ty)?;
        }
    }
    if module::exported(items).next().is_none() {
        for item in items {
            let (Item::Struct(ItemStruct { ident, vis, .. }) | Item::Enum(ItemEnum { ident, vis, .. })) = item else {
                continue;
            };
            if matches!(vis, Visibility::Public(_)) {
                search.visit(&parse_quote!(#ident))?;
            }
        }
    }
    let paths = search.modules.into_values().map(|module| {
        let segments: Punctuated<syn::PathSegment, Token![::]> =
            module.into_iter().map(syn::PathSegment::from).collect();
        Path { leading_colon: None, segments }
    });
    Ok(paths.collect())
}

/// What the attribute adds to a module: all of it, or the question to the first module it needs types of.
pub(crate) fn start(item: &ItemMod) -> Result<TokenStream> {
    let items = module::items(item)?;
    let modules = modules_needed(items)?;
    match modules.first() {
        None => module::finish(item, &[]),
        Some(first) => Ok(ask(first, &quote!((#item) (#(#modules),*)))),
    }
}

fn ask(module: &Path, state: &TokenStream) -> TokenStream {
    let offer = Ident::new(OFFER, module.span());
    quote!(#module::#offer! { #state })
}

/// What the macros carry: the module, the modules it asks, and their answers so far.
struct State {
    item: ItemMod,
    modules: Vec<Path>,
    answers: Vec<TokenStream>,
}

impl Parse for State {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (item, modules);
        parenthesized!(item in input);
        parenthesized!(modules in input);
        let item = item.parse()?;
        let modules = Punctuated::<Path, Token![,]>::parse_terminated(&modules)?.into_iter().collect();
        let mut answers = Vec::new();
        while !input.is_empty() {
            let answer;
            parenthesized!(answer in input);
            answers.push(answer.parse()?);
        }
        Ok(Self { item, modules, answers })
    }
}

/// Goes on after an answer: asks the next module, or finishes.
pub(crate) fn resume(state: TokenStream) -> Result<TokenStream> {
    let State { item, modules, answers } = syn::parse2(state)?;
    if let Some(next) = modules.get(answers.len()) {
        return Ok(ask(next, &quote!((#item) (#(#modules),*) #((#answers))*)));
    }
    let mut foreign = Vec::new();
    for (module, answer) in modules.iter().zip(answers) {
        let idents: Vec<Ident> = module.segments.iter().map(|segment| segment.ident.clone()).collect();
        let module = joined(&idents);
        let Answer(types) = syn::parse2(answer)?;
        // That it was asked is to be known of a module without types as well.
        let asked = Foreign { module: module.clone(), name: String::new(), form: Form::Broken(TokenStream::new()) };
        foreign.push(asked);
        foreign.extend(types.into_iter().map(|ty| Foreign { module: module.clone(), ..ty }));
    }
    module::finish(&item, &foreign)
}

/// The types of a module, as its macro writes them: `Point "point" "dd" ("point" "record ..")`, or `Point ! (errors)`
/// for one that cannot cross.
struct Answer(Vec<Foreign>);

impl Parse for Answer {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut types = Vec::new();
        while !input.is_empty() {
            let name = Ident::parse_any(input)?.to_string();
            let form = if input.peek(Token![!]) { broken(input)? } else { known(input)? };
            types.push(Foreign { module: String::new(), name, form });
        }
        Ok(Self(types))
    }
}

fn broken(input: ParseStream<'_>) -> Result<Form> {
    input.parse::<Token![!]>()?;
    let errors;
    parenthesized!(errors in input);
    Ok(Form::Broken(errors.parse()?))
}

fn known(input: ParseStream<'_>) -> Result<Form> {
    let (wit_name, flat): (LitStr, LitStr) = (input.parse()?, input.parse()?);
    let texts;
    parenthesized!(texts in input);
    let mut definitions = Vec::new();
    while !texts.is_empty() {
        let (name, text): (LitStr, LitStr) = (texts.parse()?, texts.parse()?);
        definitions.push(Definition { name: name.value(), text: text.value() });
    }
    let flat = flat.value().chars().filter_map(Core::from_letter).collect();
    Ok(Form::Known { wit_name: wit_name.value(), flat, definitions })
}

/// The macro that answers for this module.
pub(crate) fn offer(types: &Types<'_>) -> TokenStream {
    let known = types.offers().map(|(name, wit, definitions)| {
        let name = format_ident!("{name}");
        let wit_name = wit.text.trim_start_matches('%');
        let flat: String = wit.flat.iter().map(|core| core.letter()).collect();
        let texts = definitions.iter().flat_map(|definition| [&definition.name, &definition.text]);
        quote!(#name #wit_name #flat (#(#texts)*))
    });
    let broken = types.broken().map(|(name, errors)| {
        let name = format_ident!("{name}");
        quote!(#name ! (#errors))
    });
    answering(&quote!(#(#known)* #(#broken)*))
}

/// What a module becomes that could not be understood at all: its errors, and for those that use its types no others.
pub(crate) fn failed(error: &Error, has_body: bool) -> TokenStream {
    let errors = error.to_compile_error();
    let all = format_ident!("{ALL}");
    let offer = if has_body { answering(&quote!(#all ! ())) } else { TokenStream::new() };
    quote!(#errors #offer)
}

fn answering(answer: &TokenStream) -> TokenStream {
    let offer = Ident::new(OFFER, proc_macro2::Span::call_site());
    quote! {
        #[allow(unused_macros)]
        macro_rules! #offer {
            ($($state:tt)*) => { ::scaler_guest::__continue_module! { $($state)* (#answer) } };
        }
        #[allow(unused_imports)]
        #[doc(hidden)]
        pub(crate) use #offer;
    }
}
