//! Rust types of an interface: their WIT text, their flat core types, and the code that moves them.

use crate::{
    flags,
    module::is_same,
    names::{docs, fail, kebab, no_cfg},
    sharing::{Foreign, Form, Imports, module_and_name},
};
use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use std::collections::BTreeMap;
use syn::{
    Error, Fields, GenericArgument, Generics, Ident, Item, ItemEnum, ItemStruct, PathArguments, Result, Type, TypePath,
    TypeTuple, Visibility, parse_quote,
};

/// Core wasm types of the flat form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    I32,
    I64,
    F32,
    F64,
}

impl Core {
    /// The type that holds either: what the slots of a variant's cases become.
    fn join(self, other: Core) -> Core {
        match (self, other) {
            (left, right) if left == right => left,
            (Core::I32, Core::F32) | (Core::F32, Core::I32) => Core::I32,
            _ => Core::I64,
        }
    }

    /// The Rust type of the parameter.
    pub(crate) fn rust(self) -> TokenStream {
        match self {
            Core::I32 => quote!(i32),
            Core::I64 => quote!(i64),
            Core::F32 => quote!(f32),
            Core::F64 => quote!(f64),
        }
    }

    /// One letter, the form in which modules hand their types to each other.
    pub(crate) fn letter(self) -> char {
        match self {
            Core::I32 => 'i',
            Core::I64 => 'l',
            Core::F32 => 'f',
            Core::F64 => 'd',
        }
    }

    /// The reverse of [`Core::letter`].
    pub(crate) fn from_letter(letter: char) -> Option<Core> {
        [Core::I32, Core::I64, Core::F32, Core::F64].into_iter().find(|core| core.letter() == letter)
    }
}

/// The flat form of a variant with these cases: its number, then the joined payloads.
fn variant_flat<'a>(cases: impl IntoIterator<Item = &'a [Core]>) -> Vec<Core> {
    let mut payload: Vec<Core> = Vec::new();
    for case in cases {
        for (index, core) in case.iter().enumerate() {
            match payload.get_mut(index) {
                Some(joined) => *joined = joined.join(*core),
                None => payload.push(*core),
            }
        }
    }
    [Core::I32].into_iter().chain(payload).collect()
}

/// A Rust type as WIT sees it.
#[derive(Debug, Clone)]
pub(crate) struct WitType {
    pub(crate) text: String,
    pub(crate) flat: Vec<Core>,
}

impl WitType {
    fn new(text: impl Into<String>, flat: &[Core]) -> Self {
        Self { text: text.into(), flat: flat.to_vec() }
    }

    fn variant(text: String, cases: &[&[Core]]) -> Self {
        Self { text, flat: variant_flat(cases.iter().copied()) }
    }
}

/// A type's definition in the interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A user's type once it was understood.
#[derive(Debug, Clone)]
struct Known {
    wit: WitType,
    /// Its own definition and those it needs, in order.
    definitions: Vec<Definition>,
    /// The implementation of `Abi`.
    code: TokenStream,
}

const SUPPORTED: &str = "use bool, char, u8..u64, i8..i64, f32, f64, String, Vec<T>, Option<T>, Result<T, E>, tuples, \
                         or a pub struct or enum of this module, or of another `#[scaler_guest::module]` from which \
                         it is imported by name";

/// The text of an error that has been told at its own place already.
const TOLD: &str = "told elsewhere";

/// Whether an error is only a sign that others have been told.
pub(crate) fn is_told(error: &Error) -> bool {
    error.to_string() == TOLD
}

/// The types that a module's functions can use.
pub(crate) struct Types<'a> {
    items: BTreeMap<String, &'a Item>,
    imports: Imports,
    foreign: &'a [Foreign],
    known: BTreeMap<String, Known>,
    /// Those that cannot cross and that another module may name, with the errors that nobody has told.
    broken: BTreeMap<String, TokenStream>,
    /// Errors of types of other modules that this one uses.
    borrowed: Vec<TokenStream>,
    /// Types being looked at, outermost first: a repetition is a recursion.
    stack: Vec<String>,
    /// What the interface defines so far.
    pub(crate) definitions: Vec<Definition>,
}

impl<'a> Types<'a> {
    pub(crate) fn new(items: &'a [Item], foreign: &'a [Foreign]) -> Self {
        Self {
            items: local_types(items),
            imports: Imports::of(items),
            foreign,
            known: BTreeMap::new(),
            broken: BTreeMap::new(),
            borrowed: Vec::new(),
            stack: Vec::new(),
            definitions: Vec::new(),
        }
    }

    /// The type of a parameter, a result, a field or a payload.
    pub(crate) fn resolve(&mut self, ty: &Type) -> Result<WitType> {
        match ty {
            Type::Paren(inner) => self.resolve(&inner.elem),
            Type::Group(inner) => self.resolve(&inner.elem),
            Type::Reference(reference) => {
                let hint = match &*reference.elem {
                    Type::Path(path) if path.path.is_ident("str") => "take a `String` instead".to_owned(),
                    Type::Slice(slice) => format!("take a `Vec<{}>` instead", show(&slice.elem)),
                    _ => "take it by value instead".to_owned(),
                };
                fail(ty, format!("a borrowed `{}` cannot cross the component boundary: {hint}", show(ty)))
            }
            Type::Tuple(tuple) if tuple.elems.is_empty() => {
                fail(ty, "`()` can only be a function's result or stand inside `Result`")
            }
            Type::Tuple(tuple) => self.tuple(tuple),
            Type::Array(array) => fail(
                ty,
                format!("an array cannot cross the component boundary: use `Vec<{}>` instead", show(&array.elem)),
            ),
            Type::Path(path) if path.qself.is_none() => self.path(ty, path),
            _ => fail(ty, format!("`{}` cannot cross the component boundary: {SUPPORTED}", show(ty))),
        }
    }

    fn tuple(&mut self, tuple: &TypeTuple) -> Result<WitType> {
        if tuple.elems.len() > 12 {
            return fail(tuple, "a tuple of more than 12 elements: use a struct with named fields instead");
        }
        let elements = tuple.elems.iter().map(|element| self.resolve(element)).collect::<Result<Vec<_>>>()?;
        let texts: Vec<&str> = elements.iter().map(|element| element.text.as_str()).collect();
        let flat: Vec<Core> = elements.iter().flat_map(|element| element.flat.iter().copied()).collect();
        Ok(WitType { text: format!("tuple<{}>", texts.join(", ")), flat })
    }

    fn path(&mut self, ty: &Type, path: &TypePath) -> Result<WitType> {
        let Some(last) = path.path.segments.last() else { return fail(ty, SUPPORTED) };
        let name = last.ident.to_string();
        if path.path.segments.len() == 1 && self.items.contains_key(&name) {
            return self.local(&name, ty);
        }
        if let Some((module, name)) = module_and_name(&path.path, &self.imports) {
            return self.shared(&module, &name, ty);
        }
        let arguments = type_arguments(&last.arguments);
        let of_sdk = path.path.segments.first().is_some_and(|first| first.ident == "scaler_guest")
            || (path.path.segments.len() == 1 && self.imports.is_from_sdk(&name));
        self.standard(ty, &name, &arguments, of_sdk)
    }

    /// A type of the language or its library.
    fn standard(&mut self, ty: &Type, name: &str, arguments: &[&Type], of_sdk: bool) -> Result<WitType> {
        use Core::{F32, F64, I32, I64};
        Ok(match (name, arguments) {
            ("bool" | "char" | "u8" | "u16" | "u32", []) => WitType::new(name, &[I32]),
            ("i8" | "i16" | "i32", []) => WitType::new(name.replace('i', "s"), &[I32]),
            ("u64", []) => WitType::new("u64", &[I64]),
            ("i64", []) => WitType::new("s64", &[I64]),
            ("f32", []) => WitType::new("f32", &[F32]),
            ("f64", []) => WitType::new("f64", &[F64]),
            ("String", []) => WitType::new("string", &[I32, I32]),
            ("Error", []) if of_sdk => WitType::new("string", &[I32, I32]),
            ("Vec", [element]) => {
                let element = self.resolve(element)?;
                WitType::new(format!("list<{}>", element.text), &[I32, I32])
            }
            ("Option", [inner]) => {
                let inner = self.resolve(inner)?;
                WitType::variant(format!("option<{}>", inner.text), &[&[], &inner.flat])
            }
            ("Result", [ok]) if of_sdk => self.result(ok, &parse_quote!(::scaler_guest::Error))?,
            ("Result", [ok, error]) => self.result(ok, error)?,
            ("Result", [_]) => {
                return fail(ty, "write the error type too: `Result<T, E>`, or `scaler_guest::Result<T>`");
            }
            ("usize" | "isize", []) => {
                let letter = if name == "usize" { 'u' } else { 'i' };
                return fail(
                    ty,
                    format!("`{name}` has no fixed size in an interface: use `{letter}32` or `{letter}64`"),
                );
            }
            ("u128" | "i128", []) => {
                return fail(ty, format!("`{name}` has no WIT type: use `{}64`, or a list of bytes", &name[..1]));
            }
            ("Box" | "Rc" | "Arc", [_]) => {
                return fail(ty, format!("`{name}` cannot cross the component boundary: use the value itself"));
            }
            ("HashMap" | "BTreeMap", [key, value, ..]) => {
                let pairs = format!("Vec<({}, {})>", show(key), show(value));
                return fail(ty, format!("`{name}` cannot cross the component boundary: use `{pairs}`"));
            }
            ("HashSet" | "BTreeSet" | "VecDeque", [element, ..]) => {
                return fail(ty, format!("`{name}` cannot cross the component boundary: use `Vec<{}>`", show(element)));
            }
            _ => return self.unknown(ty),
        })
    }

    fn unknown(&self, ty: &Type) -> Result<WitType> {
        match (self.imports.glob(), ty) {
            (Some(glob), Type::Path(path)) if path.path.get_ident().is_some() => {
                let name = show(ty);
                let by_name = format!("{}::{name}", glob.trim_end_matches("::*"));
                fail(
                    ty,
                    format!(
                        "where `{name}` comes from cannot be seen: import it by its name, `use {by_name};`, \
                         and not by `use {glob};`"
                    ),
                )
            }
            _ => fail(ty, format!("`{}` cannot cross the component boundary: {SUPPORTED}", show(ty))),
        }
    }

    fn result(&mut self, ok: &Type, error: &Type) -> Result<WitType> {
        let ok = if is_unit(ok) { WitType::new("_", &[]) } else { self.resolve(ok)? };
        let error = if is_unit(error) { WitType::new("_", &[]) } else { self.resolve(error)? };
        let text = match (ok.text.as_str(), error.text.as_str()) {
            ("_", "_") => "result".to_owned(),
            (ok, "_") => format!("result<{ok}>"),
            (ok, error) => format!("result<{ok}, {error}>"),
        };
        Ok(WitType::variant(text, &[&ok.flat, &error.flat]))
    }

    /// A type of another `#[module]`.
    fn shared(&mut self, module: &str, name: &str, at: &Type) -> Result<WitType> {
        match self.foreign.iter().find(|foreign| foreign.is_about(module, name)).map(|foreign| &foreign.form) {
            Some(Form::Known { wit_name, flat, definitions }) => {
                self.define(definitions, at)?;
                Ok(WitType::new(format!("%{wit_name}"), flat))
            }
            Some(Form::Broken(errors)) => {
                // With the places: the same mistake in two fields is two errors.
                let is_new = self.borrowed.iter().all(|other| format!("{other:?}") != format!("{errors:?}"));
                if is_new {
                    self.borrowed.push(errors.clone());
                }
                fail(at, TOLD)
            }
            None if !self.foreign.iter().any(|foreign| foreign.module == module) => fail(
                at,
                format!(
                    "`{module}` is not asked for `{name}`, as no function here uses it: move this type to the \
                     functions that use it, or into a module that has only types"
                ),
            ),
            None => fail(
                at,
                format!(
                    "`{module}` has no type `{name}` for interfaces: it must be a pub struct or enum of a \
                     `#[scaler_guest::module]`"
                ),
            ),
        }
    }

    /// A type of this module.
    fn local(&mut self, name: &str, at: &Type) -> Result<WitType> {
        if !self.known.contains_key(name) {
            if self.stack.iter().any(|outer| outer == name) {
                return fail(at, format!("`{name}` contains itself, and WIT has no recursive types"));
            }
            let outer = std::mem::take(&mut self.definitions);
            self.stack.push(name.to_owned());
            let known = self.understand(self.items[name], at);
            self.stack.pop();
            self.definitions = outer;
            self.known.insert(name.to_owned(), known?);
        }
        let known = self.known[name].clone();
        self.define(&known.definitions, at)?;
        Ok(known.wit)
    }

    fn understand(&mut self, item: &Item, at: &Type) -> Result<Known> {
        let (visibility, kind) = match item {
            Item::Struct(item) => (&item.vis, "struct"),
            Item::Enum(item) => (&item.vis, "enum"),
            Item::Type(alias) => {
                no_generics(&alias.generics)?;
                let wit = self.resolve(&alias.ty)?;
                return Ok(Known { wit, definitions: self.definitions.clone(), code: TokenStream::new() });
            }
            _ => return fail(at, SUPPORTED),
        };
        if !matches!(visibility, Visibility::Public(_)) {
            return fail(at, format!("`{}` is not public: an interface needs a `pub {kind}`", show(at)));
        }
        match item {
            Item::Struct(item) => self.record(item),
            Item::Enum(item) => self.cases(item),
            _ => fail(at, SUPPORTED),
        }
    }

    fn record(&mut self, item: &ItemStruct) -> Result<Known> {
        no_generics(&item.generics)?;
        if let Some(flags) = flags::of(item)? {
            return Ok(self.finished(flags.name, flags.text, vec![Core::I32], flags.code));
        }
        no_cfg(&item.attrs, "a type of an interface")?;
        let Fields::Named(fields) = &item.fields else {
            return fail(&item.ident, "only a struct with named fields becomes a record: name its fields");
        };
        if fields.named.is_empty() {
            return fail(&item.ident, "a struct without fields has no WIT form");
        }
        let name = kebab(&item.ident)?;
        let (mut text, mut flat, mut names) = (String::new(), Vec::new(), Names::default());
        for field in &fields.named {
            no_cfg(&field.attrs, "a field of an interface")?;
            let Some(ident) = &field.ident else { continue };
            let wit = self.resolve(&field.ty)?;
            let comment = docs(&field.attrs, "    ");
            text += &format!("{comment}    %{}: {},\n", names.add(ident)?, wit.text);
            flat.extend(wit.flat);
        }
        let text = format!("{}  record %{name} {{\n{text}  }}\n", docs(&item.attrs, "  "));
        Ok(self.finished(name, text, flat, record_code(&item.ident, &fields.named)))
    }

    fn cases(&mut self, item: &ItemEnum) -> Result<Known> {
        no_generics(&item.generics)?;
        no_cfg(&item.attrs, "a type of an interface")?;
        if item.variants.is_empty() {
            return fail(&item.ident, "an enum without cases has no WIT form");
        }
        let name = kebab(&item.ident)?;
        let (mut text, mut flats, mut names) = (String::new(), Vec::new(), Names::default());
        for variant in &item.variants {
            no_cfg(&variant.attrs, "a case of an interface")?;
            let payload = match &variant.fields {
                Fields::Unit => WitType::new("", &[]),
                Fields::Named(fields) => {
                    return fail(
                        fields,
                        format!(
                            "a case with named fields has no WIT form: put them into a struct, as in `{0}({0})`",
                            variant.ident
                        ),
                    );
                }
                Fields::Unnamed(fields) => match fields.unnamed.len() {
                    0 => return fail(fields, "a case with an empty payload has no WIT form: remove the parentheses"),
                    1 => self.resolve(&fields.unnamed[0].ty)?,
                    _ => {
                        let types = fields.unnamed.iter().map(|field| &field.ty);
                        self.resolve(&parse_quote!((#(#types),*)))?
                    }
                },
            };
            let brackets = if payload.text.is_empty() { String::new() } else { format!("({})", payload.text) };
            text += &format!("{}    %{}{brackets},\n", docs(&variant.attrs, "    "), names.add(&variant.ident)?);
            flats.push(payload.flat);
        }
        let keyword = if item.variants.iter().all(|variant| variant.fields.is_empty()) { "enum" } else { "variant" };
        let text = format!("{}  {keyword} %{name} {{\n{text}  }}\n", docs(&item.attrs, "  "));
        let flat = variant_flat(flats.iter().map(Vec::as_slice));
        Ok(self.finished(name, text, flat, cases_code(item)))
    }

    fn finished(&self, name: String, text: String, flat: Vec<Core>, code: TokenStream) -> Known {
        let mut definitions = self.definitions.clone();
        definitions.push(Definition { name: name.clone(), text });
        Known { wit: WitType { text: format!("%{name}"), flat }, definitions, code }
    }

    /// Adds definitions that are not there yet.
    fn define(&mut self, definitions: &[Definition], at: &Type) -> Result<()> {
        for definition in definitions {
            match self.definitions.iter().find(|other| other.name == definition.name) {
                Some(other) if other == definition => {}
                Some(_) => {
                    return fail(
                        at,
                        format!("two types are both `{}` in the interface: rename one of them", definition.name),
                    );
                }
                None => self.definitions.push(definition.clone()),
            }
        }
        Ok(())
    }

    /// Looks at the public types that no function named, so that other modules can use them. Those that cannot cross
    /// are nobody's business until somebody uses them; `told` are the errors that this module tells itself.
    pub(crate) fn offer_rest(&mut self, told: &[Error]) {
        let definitions = std::mem::take(&mut self.definitions);
        let items: Vec<(String, &'a Item)> = self.items.iter().map(|(name, item)| (name.clone(), *item)).collect();
        for (name, item) in items {
            let (Item::Struct(ItemStruct { ident, vis, .. }) | Item::Enum(ItemEnum { ident, vis, .. })) = item else {
                continue;
            };
            let (Visibility::Public(_), false) = (vis, self.known.contains_key(&name)) else { continue };
            self.definitions.clear();
            if let Err(error) = self.local(&name, &parse_quote!(#ident)) {
                let is_known = is_told(&error) || told.iter().any(|other| is_same(other, &error));
                let errors = if is_known { TokenStream::new() } else { error.to_compile_error() };
                self.broken.insert(name, errors);
            }
        }
        self.definitions = definitions;
    }

    /// The types that cannot cross, each with the errors that whoever uses it has to tell.
    pub(crate) fn broken(&self) -> impl Iterator<Item = (&str, &TokenStream)> {
        self.broken.iter().map(|(name, errors)| (name.as_str(), errors))
    }

    /// The errors of types of other modules that this one uses.
    pub(crate) fn borrowed_errors(&self) -> &[TokenStream] {
        &self.borrowed
    }

    /// The implementations of `Abi` for this module's types.
    pub(crate) fn code(&self) -> impl Iterator<Item = &TokenStream> {
        self.known.values().map(|known| &known.code)
    }

    /// What other modules may use: name, WIT name, flat form and definitions.
    pub(crate) fn offers(&self) -> impl Iterator<Item = (&str, &WitType, &[Definition])> {
        self.known
            .iter()
            .filter(|(name, _)| !matches!(self.items[*name], Item::Type(_)))
            .map(|(name, known)| (name.as_str(), &known.wit, known.definitions.as_slice()))
    }

    /// The Rust name of a local type by its WIT name.
    pub(crate) fn local_named(&self, wit_name: &str) -> Option<&Ident> {
        self.items.values().find_map(|item| match item {
            Item::Struct(item) if kebab(&item.ident).is_ok_and(|name| name == wit_name) => Some(&item.ident),
            Item::Enum(item) if kebab(&item.ident).is_ok_and(|name| name == wit_name) => Some(&item.ident),
            _ => None,
        })
    }
}

/// The structs, enums and aliases of a module.
pub(crate) fn local_types(items: &[Item]) -> BTreeMap<String, &Item> {
    let named = items.iter().filter_map(|item| match item {
        Item::Struct(named) => Some((named.ident.to_string(), item)),
        Item::Enum(named) => Some((named.ident.to_string(), item)),
        Item::Type(named) => Some((named.ident.to_string(), item)),
        _ => None,
    });
    named.collect()
}

/// The types between `<` and `>`.
pub(crate) fn type_arguments(arguments: &PathArguments) -> Vec<&Type> {
    let PathArguments::AngleBracketed(arguments) = arguments else { return Vec::new() };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}

/// Names of one name space of WIT, each used once.
#[derive(Default)]
pub(crate) struct Names(BTreeMap<String, Ident>);

impl Names {
    /// The WIT name of an identifier, or an error if another one has it already.
    pub(crate) fn add(&mut self, ident: &Ident) -> Result<String> {
        let name = kebab(ident)?;
        match self.0.insert(name.clone(), ident.clone()) {
            None => Ok(name),
            Some(other) => fail(ident, format!("`{other}` and `{ident}` are both `{name}` in the interface")),
        }
    }
}

/// The unit type.
pub(crate) fn is_unit(ty: &Type) -> bool {
    matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// Refuses type parameters and lifetimes.
pub(crate) fn no_generics(generics: &Generics) -> Result<()> {
    if generics.params.is_empty() { Ok(()) } else { fail(generics, "an interface has no generics: use concrete types") }
}

/// A type as the user wrote it, more or less.
fn show(ty: &Type) -> String {
    let mut text = ty.to_token_stream().to_string();
    for (spaced, tight) in
        [("& ", "&"), (" :: ", "::"), (" <", "<"), ("< ", "<"), (" >", ">"), (" ,", ","), ("& ", "&")]
    {
        text = text.replace(spaced, tight);
    }
    text
}

/// `Abi` for a struct.
fn record_code<'a>(ident: &Ident, fields: impl IntoIterator<Item = &'a syn::Field> + Clone) -> TokenStream {
    let types: Vec<&Type> = fields.clone().into_iter().map(|field| &field.ty).collect();
    let names: Vec<&Ident> = fields.into_iter().filter_map(|field| field.ident.as_ref()).collect();
    let locals: Vec<Ident> = (0..names.len()).map(|index| format_ident!("__field_{index}")).collect();
    quote! {
        unsafe impl __Abi for #ident {
            const LAYOUT: __layout::Layout = __layout::Layout::record(&[#(<#types as __Abi>::LAYOUT),*]);
            const FLAT: usize = __layout::sum_of(&[#(<#types as __Abi>::FLAT),*]);
            unsafe fn load(__pointer: *const u8) -> Self {
                let mut __fields = __abi::Loader::new(__pointer);
                unsafe { #ident { #(#names: __fields.take::<#types>()),* } }
            }
            unsafe fn store(self, __pointer: *mut u8) {
                let #ident { #(#names: #locals),* } = self;
                let mut __fields = __abi::Storer::new(__pointer);
                unsafe { #(__fields.put::<#types>(#locals);)* }
            }
            unsafe fn lift(__slots: &mut __abi::Slots<'_>) -> Self {
                unsafe { #ident { #(#names: <#types as __Abi>::lift(__slots)),* } }
            }
        }
    }
}

/// `Abi` for an enum.
fn cases_code(item: &ItemEnum) -> TokenStream {
    let ident = &item.ident;
    let (mut payloads, mut loads, mut stores, mut lifts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let last = item.variants.len() - 1;
    for (index, variant) in item.variants.iter().enumerate() {
        let case = &variant.ident;
        let types: Vec<&Type> = variant.fields.iter().map(|field| &field.ty).collect();
        let locals: Vec<Ident> = (0..types.len()).map(|index| format_ident!("__value_{index}")).collect();
        let (payload, value) = match types.len() {
            0 => (quote!(()), quote!(())),
            1 => (quote!(#(#types)*), quote!(#(#locals)*)),
            _ => (quote!((#(#types),*)), quote!((#(#locals),*))),
        };
        let whole = if types.is_empty() { quote!(#ident::#case) } else { quote!(#ident::#case(#(#locals),*)) };
        let number = index as u32;
        let pattern = if index == last { quote!(_) } else { quote!(#number) };
        loads.push(quote!(#pattern => { let #value = <#payload as __Abi>::load(__payload); #whole }));
        lifts.push(quote!(#pattern => { let #value = <#payload as __Abi>::lift(&mut __payload); #whole }));
        stores.push(quote!(#whole => {
            __SHAPE.store(__pointer, #number);
            <#payload as __Abi>::store(#value, __payload);
        }));
        payloads.push(payload);
    }
    quote! {
        const _: () = {
            const __SHAPE: __layout::Variant = __layout::Variant::new(&[#(<#payloads as __Abi>::LAYOUT),*]);
            const __PAYLOAD_FLAT: usize = __layout::max_of(&[#(<#payloads as __Abi>::FLAT),*]);
            unsafe impl __Abi for #ident {
                const LAYOUT: __layout::Layout = __SHAPE.layout;
                const FLAT: usize = 1 + __PAYLOAD_FLAT;
                unsafe fn load(__pointer: *const u8) -> Self {
                    unsafe {
                        let __payload = __pointer.add(__SHAPE.payload_offset);
                        match __SHAPE.load(__pointer) { #(#loads)* }
                    }
                }
                unsafe fn store(self, __pointer: *mut u8) {
                    unsafe {
                        let __payload = __pointer.add(__SHAPE.payload_offset);
                        match self { #(#stores)* }
                    }
                }
                unsafe fn lift(__slots: &mut __abi::Slots<'_>) -> Self {
                    unsafe {
                        let __case = __slots.one() as u32;
                        let mut __payload = __slots.take(__PAYLOAD_FLAT);
                        match __case { #(#lifts)* }
                    }
                }
            }
        };
    }
}
