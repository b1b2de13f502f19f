//! The only place that implements wasmtime's hidden traits: all arguments, and the result, of any function.
//!
//! With 16 slots for arguments and at most one for results wasmtime never takes the ways that need static sizes: it
//! hands over the slots, and [`super::lower`] and [`super::lift`] do what the canonical ABI asks for.

use std::mem::MaybeUninit;

use wasmtime::component::__internal::{
    CanonicalAbiInfo, ComponentTypes, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw, bail};

use super::{lift, lower, problem::BadResult};

/// What the canonical ABI passes in slots at most; wasmtime's own (private) `MAX_FLAT_PARAMS`.
pub(super) const MAX_FLAT_ARGUMENTS: usize = 16;

/// All arguments of a call: one MessagePack array, with nil where an argument is a value of its own.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a> {
    pub(crate) encoded: &'a [u8],
    /// By parameter, ascending.
    pub(crate) objects: &'a [(u16, &'a [u8])],
}

/// The result of a call whose core function returns `SLOTS` values: 1, or 0 when there is no result.
pub(crate) struct Returned<const SLOTS: usize> {
    /// The bare value, positional MessagePack.
    pub(crate) bytes: Vec<u8>,
    /// It is the value of `err` of a top-level `result`.
    pub(crate) is_error: bool,
}

// SAFETY: `Lower` is an array of 16 `ValRaw`, which is `Copy` and valid for every bit pattern; `ABI` is only used by
// ways
// that wasmtime takes for more than 16 slots, which this type never has; `typecheck` refuses what `lower` cannot do.
unsafe impl ComponentType for Arguments<'_> {
    type Lower = [ValRaw; MAX_FLAT_ARGUMENTS];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, instance: &InstanceType<'_>) -> Result<()> {
        Ok(supported(instance.types, ty)?)
    }
}

// SAFETY: it stands for the list of all parameters and was type-checked as the tuple that wasmtime makes of them.
unsafe impl ComponentNamedList for Arguments<'_> {}

// SAFETY: as above, with 0 or 1 slots; `typecheck` makes sure that the core function returns exactly so many.
unsafe impl<const SLOTS: usize> ComponentType for Returned<SLOTS> {
    type Lower = [ValRaw; SLOTS];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, instance: &InstanceType<'_>) -> Result<()> {
        supported(instance.types, ty)?;
        let InterfaceType::Tuple(index) = ty else { bail!("results are no tuple") };
        // One slot, or a pointer to what takes more.
        let slots = instance.types[*index].abi.flat_count(1).unwrap_or(1);
        if slots != SLOTS {
            bail!("the function returns {slots} slots, not {SLOTS}")
        }
        Ok(())
    }
}

// SAFETY: as for `Arguments`.
unsafe impl<const SLOTS: usize> ComponentNamedList for Returned<SLOTS> {}

// SAFETY: all slots are written before anything else happens, with zeroes.
unsafe impl Lower for Arguments<'_> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        slots: &mut MaybeUninit<[ValRaw; MAX_FLAT_ARGUMENTS]>,
    ) -> Result<()> {
        lower::arguments(cx, ty, *self, slots.write([ValRaw::u64(0); MAX_FLAT_ARGUMENTS]))
    }

    fn linear_lower_to_memory<T>(&self, _: &mut LowerContext<'_, T>, _: InterfaceType, _: usize) -> Result<()> {
        bail!("arguments are never part of another value")
    }
}

// SAFETY: nothing is read but the slots given and, through checked slices, the memory of the guest.
unsafe impl<const SLOTS: usize> Lift for Returned<SLOTS> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, slots: &[ValRaw; SLOTS]) -> Result<Self> {
        let (bytes, is_error) = lift::result(cx, ty, slots)?;
        Ok(Self { bytes, is_error })
    }

    fn linear_lift_from_memory(_: &mut LiftContext<'_>, _: InterfaceType, _: &[u8]) -> Result<Self> {
        bail!("results are never part of another value")
    }
}

fn supported(types: &ComponentTypes, ty: &InterfaceType) -> Result<(), BadResult> {
    use InterfaceType::*;
    let unsupported = match ty {
        Bool | S8 | U8 | S16 | U16 | S32 | U32 | S64 | U64 | Float32 | Float64 | Char | String | Enum(_) => {
            return Ok(());
        }
        // The component model allows no more, and neither does the compiler.
        Flags(index) if types[*index].names.len() <= 32 => return Ok(()),
        Flags(_) => "flags with more than 32 names",
        Record(index) => return types[*index].fields.iter().try_for_each(|field| supported(types, &field.ty)),
        Tuple(index) => return types[*index].types.iter().try_for_each(|ty| supported(types, ty)),
        List(index) => return supported(types, &types[*index].element),
        Option(index) => return supported(types, &types[*index].ty),
        Result(index) => {
            let result = &types[*index];
            return [&result.ok, &result.err].into_iter().flatten().try_for_each(|ty| supported(types, ty));
        }
        Variant(index) => return types[*index].cases.values().flatten().try_for_each(|ty| supported(types, ty)),
        Own(_) | Borrow(_) => "resource",
        Future(_) => "future",
        Stream(_) => "stream",
        ErrorContext(_) => "error-context",
        Map(_) => "map",
        FixedLengthList(_) => "list of fixed length",
    };
    Err(BadResult::Unsupported(unsupported))
}
