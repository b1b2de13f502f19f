//! Values across the border of a component without a value type of their own: MessagePack goes straight into guest
//! memory and comes straight out of it, whatever the types are.
//!
//! The trick lives in [`direct`]: two types that implement wasmtime's hidden `Lower` and `Lift` and walk the interface
//! types at run time. Those traits are outside wasmtime's promise of stability (so 48 is pinned). The tests do
//! the same over `Val`, and the two must agree.

mod direct;
mod lift;
mod lower;
mod named;
mod pack;
mod problem;
#[cfg(test)]
mod tests;

pub(crate) use direct::{Arguments, Returned};
pub(crate) use problem::{BadArgument, BadResult};

/// Whether an option with this inner type is written as `[]` or `[value]`, because `nil` could be the inner value.
///
/// Only an option can be nil itself, and not when it is written as an array; so it alternates.
fn option_is_wrapped<T>(inner: T, option_of: impl Fn(&T) -> Option<T>) -> bool {
    let mut wrapped = false;
    let mut next = option_of(&inner);
    while let Some(inner) = next {
        wrapped = !wrapped;
        next = option_of(&inner);
    }
    wrapped
}
