//! Exists because `links` in the manifest asks for a build script; there is nothing to do.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
