//! `#[flags]`: a struct of `bool`s that crosses as WIT flags, one bit a field.

use crate::{
    names::{docs, fail, kebab, no_cfg},
    types::Names,
};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Fields, Ident, ItemStruct, Meta, Result, Type};

/// Most flags of one type, as components have it.
const FLAGS_MAX: usize = 32;

/// Whether this is the attribute that makes a struct flags.
pub(crate) fn is_helper(attribute: &Attribute) -> bool {
    attribute.path().is_ident("flags")
}

/// Flags as WIT and as code.
pub(crate) struct Flags {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) code: TokenStream,
}

/// The flags of a struct that carries the attribute; `None` for a struct that is a record.
pub(crate) fn of(item: &ItemStruct) -> Result<Option<Flags>> {
    let Some(attribute) = item.attrs.iter().find(|attribute| is_helper(attribute)) else { return Ok(None) };
    if !matches!(attribute.meta, Meta::Path(_)) {
        return fail(attribute, "`#[flags]` takes no arguments");
    }
    no_cfg(&item.attrs, "a type of an interface")?;
    let Fields::Named(fields) = &item.fields else {
        return fail(&item.ident, "flags are a struct with named fields, each a `bool`: name them");
    };
    if fields.named.is_empty() {
        return fail(&item.ident, "flags without a flag have no WIT form");
    }
    if fields.named.len() > FLAGS_MAX {
        return fail(&item.ident, format!("more than {FLAGS_MAX} flags in one type: make two of it"));
    }
    let (mut text, mut names, mut idents) = (String::new(), Names::default(), Vec::new());
    for field in &fields.named {
        no_cfg(&field.attrs, "a flag of an interface")?;
        if !matches!(&field.ty, Type::Path(path) if path.path.is_ident("bool")) {
            return fail(&field.ty, "a flag is a `bool`; without `#[flags]` this struct would be a record");
        }
        let Some(ident) = &field.ident else { continue };
        text += &format!("{}    %{},\n", docs(&field.attrs, "    "), names.add(ident)?);
        idents.push(ident);
    }
    let name = kebab(&item.ident)?;
    let text = format!("{}  flags %{name} {{\n{text}  }}\n", docs(&item.attrs, "  "));
    Ok(Some(Flags { name, text, code: code(&item.ident, &idents) }))
}

/// `Abi` for flags.
fn code(ident: &Ident, fields: &[&Ident]) -> TokenStream {
    let count = fields.len();
    let bits: Vec<u32> = (0..count).map(|index| 1 << index).collect();
    quote! {
        unsafe impl __Abi for #ident {
            const LAYOUT: __layout::Layout = __layout::flags(#count);
            const FLAT: usize = 1;
            unsafe fn load(__pointer: *const u8) -> Self {
                let __bits = unsafe { __abi::load_bits(__pointer, Self::LAYOUT) };
                #ident { #(#fields: __bits & #bits != 0),* }
            }
            unsafe fn store(self, __pointer: *mut u8) {
                let __bits = 0 #(| if self.#fields { #bits } else { 0 })*;
                unsafe { __abi::store_bits(__pointer, Self::LAYOUT, __bits) }
            }
            unsafe fn lift(__slots: &mut __abi::Slots<'_>) -> Self {
                let __bits = __slots.one() as u32;
                #ident { #(#fields: __bits & #bits != 0),* }
            }
        }
    }
}
