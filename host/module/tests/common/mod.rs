//! Components for tests, made from WIT text: every export is there, none does anything.

use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, PackageMetadata, Resolve};

/// A component of the world `root` in `package root:component`, with its docs and the given defaults.
pub(crate) fn component(wit: &str, defaults: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).expect("valid WIT");
    let world = resolve.select_world(&[package], None).expect("one world");
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("metadata");
    let encoder = ComponentEncoder::default().module(&module).expect("module").validate(true).encode();
    let mut bytes = encoder.expect("component");
    let docs = PackageMetadata::extract(&resolve, package).encode().expect("docs");
    custom_section(&mut bytes, "package-docs", &docs);
    if !defaults.is_empty() {
        custom_section(&mut bytes, "scaler-defaults", defaults.as_bytes());
    }
    bytes
}

/// Appends a custom section.
pub(crate) fn custom_section(bytes: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut body = leb(name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(content);
    bytes.push(0);
    bytes.extend_from_slice(&leb(body.len()));
    bytes.extend_from_slice(&body);
}

pub(crate) fn leb(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}
