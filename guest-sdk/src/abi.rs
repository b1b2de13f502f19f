//! Values to and from the canonical ABI of components, directly on the author's types. Called by generated code only.
//!
//! A value crosses in one of two forms: *stored* in memory at its [`Layout`], or *flat* as core values. Memory that an
//! export receives was allocated by `cabi_realloc` and belongs to the guest; what it returns is given back by the
//! export's post-return function.

use crate::layout::{Layout, Variant, align_up, max};
use std::alloc;

/// Core values of a flattened argument list, each widened to 64 bits so that the joined slots of a variant need no
/// casts.
#[derive(Debug)]
pub struct Slots<'a> {
    rest: &'a [u64],
}

impl<'a> Slots<'a> {
    /// All slots of a call.
    #[inline(always)]
    pub fn new(slots: &'a [u64]) -> Self {
        Self { rest: slots }
    }

    /// The next slot. Generated code asks for as many as there are.
    #[inline(always)]
    pub fn one(&mut self) -> u64 {
        let (first, rest) = self.rest.split_at(1);
        self.rest = rest;
        first[0]
    }

    /// The next `count` slots: the payload of a variant, passed over as a whole.
    #[inline(always)]
    pub fn take(&mut self, count: usize) -> Self {
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Self { rest: taken }
    }
}

/// A core value as 64 bits.
pub trait Slot {
    /// The bits, the upper ones zero.
    fn to_slot(self) -> u64;
    /// The value of the lower bits.
    fn from_slot(slot: u64) -> Self;
}

macro_rules! slots {
    ($($ty:ty: $to:expr, $from:expr;)*) => { $(
        impl Slot for $ty {
            #[inline(always)]
            fn to_slot(self) -> u64 { ($to)(self) }
            #[inline(always)]
            fn from_slot(slot: u64) -> Self { ($from)(slot) }
        }
    )* };
}

slots! {
    i32: |value: i32| u64::from(value as u32), |slot: u64| slot as i32;
    i64: |value: i64| value as u64, |slot: u64| slot as i64;
    f32: |value: f32| u64::from(value.to_bits()), |slot: u64| f32::from_bits(slot as u32);
    f64: f64::to_bits, f64::from_bits;
}

/// A type that can cross the boundary of a component.
///
/// # Safety
/// Layout and forms must be those of the canonical ABI for the WIT type that the macro writes for it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot cross the component boundary",
    note = "types that can: bool, char, integers, floats, String, Vec, Option, Result, tuples, and pub structs and enums of a `#[scaler_guest::module]`"
)]
pub unsafe trait Abi: Sized {
    /// Of the stored form.
    const LAYOUT: Layout;
    /// How many slots the flat form takes.
    const FLAT: usize;
    /// The stored form is the Rust value itself, and every bit pattern is valid: lists of it move without a loop.
    const PLAIN: bool = false;

    /// Takes a stored value, with the memory it owns.
    ///
    /// # Safety
    /// `pointer` must point to a stored value, which is not used again.
    unsafe fn load(pointer: *const u8) -> Self;

    /// Stores the value; the memory it owns goes with it.
    ///
    /// # Safety
    /// `pointer` must point to writable memory of this layout.
    unsafe fn store(self, pointer: *mut u8);

    /// Takes a flat value, with the memory it owns.
    ///
    /// # Safety
    /// The slots must hold a flat value of this type, which is not used again.
    unsafe fn lift(slots: &mut Slots<'_>) -> Self;
}

/// Runs first in each export: constructors run once, and panics tell the host why before they trap.
pub fn enter() {
    #[cfg(target_family = "wasm")]
    {
        unsafe extern "C" {
            // The linker makes it. Unless somebody calls it, the linker wraps every export, `cabi_realloc` too, so that
            // each call runs the constructors, and those of WASI ask the host while it must not be asked.
            fn __wasm_call_ctors();
        }
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // SAFETY: once, and before anything of the guest that may need them.
            unsafe { __wasm_call_ctors() };
            std::panic::set_hook(Box::new(|info| {
                let message = info.payload_as_str().unwrap_or("panic with a value that is no text");
                match info.location() {
                    Some(location) => crate::host::panicked(&format!("{message} ({location})")),
                    None => crate::host::panicked(message),
                }
            }));
        });
    }
}

/// Runs last in each export: what was printed without a line's end goes out.
pub fn leave() {
    #[cfg(target_os = "wasi")]
    {
        // Nobody is left to tell that a line was lost.
        let _ = std::io::Write::flush(&mut std::io::stdout());
    }
}

/// Memory of a layout; a well-aligned dangling pointer when the size is zero.
fn allocate(size: usize, align: usize) -> *mut u8 {
    if size == 0 {
        return std::ptr::without_provenance_mut(align);
    }
    let Ok(layout) = alloc::Layout::from_size_align(size, align) else { std::process::abort() };
    // SAFETY: the size is not zero.
    let pointer = unsafe { alloc::alloc(layout) };
    if pointer.is_null() {
        alloc::handle_alloc_error(layout);
    }
    pointer
}

/// Gives memory back.
///
/// # Safety
/// The memory must come from [`allocate`] or `cabi_realloc` with this size and alignment.
unsafe fn deallocate(pointer: *mut u8, size: usize, align: usize) {
    if size != 0 {
        // SAFETY: the caller's promise; the layout was valid when the memory was allocated.
        unsafe { alloc::dealloc(pointer, alloc::Layout::from_size_align_unchecked(size, align)) }
    }
}

/// What the host calls to place arguments in the guest's memory.
///
/// # Safety
/// As the canonical ABI says: `old` is null with `old_size` zero, or memory from this function.
#[cfg(target_family = "wasm")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, new_size: usize) -> *mut u8 {
    if old_size == 0 {
        return allocate(new_size, align);
    }
    // SAFETY: the caller's promise.
    let pointer = unsafe { alloc::realloc(old, alloc::Layout::from_size_align_unchecked(old_size, align), new_size) };
    if pointer.is_null() {
        std::process::abort();
    }
    pointer
}

/// Takes the fields of a stored record, or stored parameters, one after the other.
#[derive(Debug)]
pub struct Loader {
    pointer: *const u8,
    offset: usize,
}

impl Loader {
    /// At the first field.
    #[inline(always)]
    pub fn new(pointer: *const u8) -> Self {
        Self { pointer, offset: 0 }
    }

    /// Takes the next field.
    ///
    /// # Safety
    /// The next field must be a stored value of type `T`, which is not used again.
    #[inline(always)]
    pub unsafe fn take<T: Abi>(&mut self) -> T {
        let offset = align_up(self.offset, T::LAYOUT.align);
        self.offset = offset + T::LAYOUT.size;
        // SAFETY: the caller's promise.
        unsafe { T::load(self.pointer.add(offset)) }
    }
}

/// Stores the fields of a record one after the other.
#[derive(Debug)]
pub struct Storer {
    pointer: *mut u8,
    offset: usize,
}

impl Storer {
    /// At the first field.
    #[inline(always)]
    pub fn new(pointer: *mut u8) -> Self {
        Self { pointer, offset: 0 }
    }

    /// Stores the next field.
    ///
    /// # Safety
    /// There must be room for it.
    #[inline(always)]
    pub unsafe fn put<T: Abi>(&mut self, value: T) {
        let offset = align_up(self.offset, T::LAYOUT.align);
        self.offset = offset + T::LAYOUT.size;
        // SAFETY: the caller's promise.
        unsafe { value.store(self.pointer.add(offset)) }
    }
}

/// Gives back the block in which the host passed more than 16 flat parameters.
///
/// # Safety
/// `pointer` must be that block and its values taken.
pub unsafe fn free_parameters(pointer: *mut u8, layout: Layout) {
    // SAFETY: the caller's promise; the host allocated it with `cabi_realloc`.
    unsafe { deallocate(pointer, layout.size, layout.align) }
}

/// A result of exactly one slot, which lies at the start of its stored form.
pub fn lower_one<T: Abi>(value: T) -> u64 {
    let mut slot = [0_u64; 1];
    // SAFETY: a type of one slot takes at most 8 bytes, aligned at most to 8.
    unsafe { value.store(slot.as_mut_ptr().cast()) };
    slot[0]
}

/// Stores a result in a fresh block, which [`free_result`] gives back.
pub fn lower_stored<T: Abi>(value: T) -> *mut u8 {
    let pointer = allocate(T::LAYOUT.size, T::LAYOUT.align);
    // SAFETY: the block has the layout.
    unsafe { value.store(pointer) };
    pointer
}

/// The post-return of a stored result: frees all that it owns.
///
/// # Safety
/// `pointer` must come from [`lower_stored`] of the same type.
pub unsafe fn free_result<T: Abi>(pointer: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        drop(T::load(pointer));
        deallocate(pointer, T::LAYOUT.size, T::LAYOUT.align);
    }
}

macro_rules! numbers {
    ($($ty:ty: $from:expr;)*) => { $(
        // SAFETY: the canonical ABI stores numbers as wasm and Rust do, little endian and aligned to their size.
        unsafe impl Abi for $ty {
            const LAYOUT: Layout = Layout::new(size_of::<$ty>(), size_of::<$ty>());
            const FLAT: usize = 1;
            const PLAIN: bool = true;
            #[inline(always)]
            unsafe fn load(pointer: *const u8) -> Self {
                // SAFETY: the trait's contract.
                unsafe { *pointer.cast::<$ty>() }
            }
            #[inline(always)]
            unsafe fn store(self, pointer: *mut u8) {
                // SAFETY: the trait's contract.
                unsafe { *pointer.cast::<$ty>() = self }
            }
            #[inline(always)]
            unsafe fn lift(slots: &mut Slots<'_>) -> Self {
                ($from)(slots.one())
            }
        }
    )* };
}

numbers! {
    u8: |slot| slot as u8;
    u16: |slot| slot as u16;
    u32: |slot| slot as u32;
    u64: |slot| slot;
    i8: |slot| slot as i8;
    i16: |slot| slot as i16;
    i32: |slot| slot as i32;
    i64: |slot| slot as i64;
    f32: |slot| f32::from_bits(slot as u32);
    f64: f64::from_bits;
}

// SAFETY: a byte, 0 or 1.
unsafe impl Abi for bool {
    const LAYOUT: Layout = Layout::new(1, 1);
    const FLAT: usize = 1;
    unsafe fn load(pointer: *const u8) -> Self {
        // SAFETY: the trait's contract.
        unsafe { *pointer != 0 }
    }
    unsafe fn store(self, pointer: *mut u8) {
        // SAFETY: the trait's contract.
        unsafe { *pointer = u8::from(self) }
    }
    unsafe fn lift(slots: &mut Slots<'_>) -> Self {
        slots.one() as u32 != 0
    }
}

// SAFETY: a Unicode scalar value of 32 bits.
unsafe impl Abi for char {
    const LAYOUT: Layout = Layout::new(4, 4);
    const FLAT: usize = 1;
    unsafe fn load(pointer: *const u8) -> Self {
        // SAFETY: the trait's contract; the host checks that it is a scalar value.
        unsafe { char::from_u32_unchecked(*pointer.cast::<u32>()) }
    }
    unsafe fn store(self, pointer: *mut u8) {
        // SAFETY: the trait's contract.
        unsafe { *pointer.cast::<u32>() = u32::from(self) }
    }
    unsafe fn lift(slots: &mut Slots<'_>) -> Self {
        // SAFETY: the host checks that it is a scalar value.
        unsafe { char::from_u32_unchecked(slots.one() as u32) }
    }
}

// SAFETY: nothing is stored: the payload of a case without one.
unsafe impl Abi for () {
    const LAYOUT: Layout = Layout::EMPTY;
    const FLAT: usize = 0;
    unsafe fn load(_: *const u8) -> Self {}
    unsafe fn store(self, _: *mut u8) {}
    unsafe fn lift(_: &mut Slots<'_>) -> Self {}
}

/// Pointers and lengths: 4 bytes in a guest, the machine's size in native tests of this file.
const POINTER_SIZE: usize = size_of::<usize>();

/// Takes a list by its address and length.
unsafe fn take_list<T: Abi>(address: *mut u8, length: usize) -> Vec<T> {
    if length == 0 {
        return Vec::new();
    }
    if T::PLAIN {
        // SAFETY: the block was allocated for exactly `length` elements, whose stored form is the Rust value.
        return unsafe { Vec::from_raw_parts(address.cast(), length, length) };
    }
    // SAFETY: the block holds `length` stored elements one after the other, and nobody uses them again.
    unsafe {
        let list = (0..length).map(|index| T::load(address.add(index * T::LAYOUT.size))).collect();
        deallocate(address, length * T::LAYOUT.size, T::LAYOUT.align);
        list
    }
}

/// The address of a list's elements in stored form.
fn give_list<T: Abi>(list: Vec<T>) -> *mut u8 {
    if T::PLAIN && !list.is_empty() {
        return Box::into_raw(list.into_boxed_slice()).cast();
    }
    let address = allocate(list.len() * T::LAYOUT.size, T::LAYOUT.align);
    for (index, element) in list.into_iter().enumerate() {
        // SAFETY: the block has room for all elements.
        unsafe { element.store(address.add(index * T::LAYOUT.size)) };
    }
    address
}

// SAFETY: address and length of the elements.
unsafe impl<T: Abi> Abi for Vec<T> {
    const LAYOUT: Layout = Layout::new(2 * POINTER_SIZE, POINTER_SIZE);
    const FLAT: usize = 2;
    unsafe fn load(pointer: *const u8) -> Self {
        // SAFETY: the trait's contract.
        unsafe { take_list(*pointer.cast::<*mut u8>(), *pointer.add(POINTER_SIZE).cast::<usize>()) }
    }
    unsafe fn store(self, pointer: *mut u8) {
        let length = self.len();
        // SAFETY: the trait's contract.
        unsafe {
            *pointer.cast::<*mut u8>() = give_list(self);
            *pointer.add(POINTER_SIZE).cast::<usize>() = length;
        }
    }
    unsafe fn lift(slots: &mut Slots<'_>) -> Self {
        let address = slots.one() as usize as *mut u8;
        // SAFETY: the trait's contract.
        unsafe { take_list(address, slots.one() as usize) }
    }
}

// SAFETY: as a list of its bytes, which the host checks to be UTF-8.
unsafe impl Abi for String {
    const LAYOUT: Layout = <Vec<u8>>::LAYOUT;
    const FLAT: usize = 2;
    unsafe fn load(pointer: *const u8) -> Self {
        // SAFETY: the trait's contract.
        unsafe { String::from_utf8_unchecked(<Vec<u8>>::load(pointer)) }
    }
    unsafe fn store(self, pointer: *mut u8) {
        // SAFETY: the trait's contract.
        unsafe { self.into_bytes().store(pointer) }
    }
    unsafe fn lift(slots: &mut Slots<'_>) -> Self {
        // SAFETY: the trait's contract.
        unsafe { String::from_utf8_unchecked(<Vec<u8>>::lift(slots)) }
    }
}

// SAFETY: as its message.
unsafe impl Abi for crate::Error {
    const LAYOUT: Layout = String::LAYOUT;
    const FLAT: usize = 2;
    unsafe fn load(pointer: *const u8) -> Self {
        // SAFETY: the trait's contract.
        Self { message: unsafe { String::load(pointer) } }
    }
    unsafe fn store(self, pointer: *mut u8) {
        // SAFETY: the trait's contract.
        unsafe { self.message.store(pointer) }
    }
    unsafe fn lift(slots: &mut Slots<'_>) -> Self {
        // SAFETY: the trait's contract.
        Self { message: unsafe { String::lift(slots) } }
    }
}

/// Reads stored flags.
///
/// # Safety
/// `pointer` must point to stored flags of this layout.
pub unsafe fn load_bits(pointer: *const u8, layout: Layout) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        match layout.size {
            1 => u32::from(*pointer),
            2 => u32::from(*pointer.cast::<u16>()),
            _ => *pointer.cast::<u32>(),
        }
    }
}

/// Stores flags.
///
/// # Safety
/// `pointer` must point to writable memory of this layout.
pub unsafe fn store_bits(pointer: *mut u8, layout: Layout, bits: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        match layout.size {
            1 => *pointer = bits as u8,
            2 => *pointer.cast::<u16>() = bits as u16,
            _ => *pointer.cast::<u32>() = bits,
        }
    }
}

/// The layout of `option<T>`.
const fn option_shape<T: Abi>() -> Variant {
    Variant::new(&[Layout::EMPTY, T::LAYOUT])
}

// SAFETY: a variant of `none` and `some(T)`.
unsafe impl<T: Abi> Abi for Option<T> {
    const LAYOUT: Layout = option_shape::<T>().layout;
    const FLAT: usize = 1 + T::FLAT;
    unsafe fn load(pointer: *const u8) -> Self {
        let shape = const { option_shape::<T>() };
        // SAFETY: the trait's contract.
        unsafe { (shape.load(pointer) != 0).then(|| T::load(pointer.add(shape.payload_offset))) }
    }
    unsafe fn store(self, pointer: *mut u8) {
        let shape = const { option_shape::<T>() };
        // SAFETY: the trait's contract.
        unsafe {
            shape.store(pointer, u32::from(self.is_some()));
            if let Some(value) = self {
                value.store(pointer.add(shape.payload_offset));
            }
        }
    }
    unsafe fn lift(slots: &mut Slots<'_>) -> Self {
        let case = slots.one() as u32;
        let mut payload = slots.take(T::FLAT);
        // SAFETY: the trait's contract.
        (case != 0).then(|| unsafe { T::lift(&mut payload) })
    }
}

/// The layout of `result<T, E>`.
const fn result_shape<T: Abi, E: Abi>() -> Variant {
    Variant::new(&[T::LAYOUT, E::LAYOUT])
}

// SAFETY: a variant of `ok(T)` and `err(E)`.
unsafe impl<T: Abi, E: Abi> Abi for Result<T, E> {
    const LAYOUT: Layout = result_shape::<T, E>().layout;
    const FLAT: usize = 1 + max(T::FLAT, E::FLAT);
    unsafe fn load(pointer: *const u8) -> Self {
        let shape = const { result_shape::<T, E>() };
        // SAFETY: the trait's contract.
        unsafe {
            let payload = pointer.add(shape.payload_offset);
            if shape.load(pointer) == 0 { Ok(T::load(payload)) } else { Err(E::load(payload)) }
        }
    }
    unsafe fn store(self, pointer: *mut u8) {
        let shape = const { result_shape::<T, E>() };
        // SAFETY: the trait's contract.
        unsafe {
            shape.store(pointer, u32::from(self.is_err()));
            let payload = pointer.add(shape.payload_offset);
            match self {
                Ok(value) => value.store(payload),
                Err(error) => error.store(payload),
            }
        }
    }
    unsafe fn lift(slots: &mut Slots<'_>) -> Self {
        let case = slots.one() as u32;
        let mut payload = slots.take(const { Self::FLAT - 1 });
        // SAFETY: the trait's contract.
        unsafe { if case == 0 { Ok(T::lift(&mut payload)) } else { Err(E::lift(&mut payload)) } }
    }
}

macro_rules! tuples {
    ($($($name:ident)*;)*) => { $(
        // SAFETY: a record of the elements.
        unsafe impl<$($name: Abi),*> Abi for ($($name,)*) {
            const LAYOUT: Layout = Layout::record(&[$($name::LAYOUT),*]);
            const FLAT: usize = 0 $(+ $name::FLAT)*;
            unsafe fn load(pointer: *const u8) -> Self {
                let mut fields = Loader::new(pointer);
                // SAFETY: the trait's contract; elements are evaluated in order.
                unsafe { ($(fields.take::<$name>(),)*) }
            }
            unsafe fn store(self, pointer: *mut u8) {
                #[expect(non_snake_case, reason = "elements are named as their types are")]
                let ($($name,)*) = self;
                let mut fields = Storer::new(pointer);
                // SAFETY: the trait's contract.
                unsafe { $(fields.put($name);)* }
            }
            unsafe fn lift(slots: &mut Slots<'_>) -> Self {
                // SAFETY: the trait's contract; elements are evaluated in order.
                unsafe { ($($name::lift(slots),)*) }
            }
        }
    )* };
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
    A B C D E F G H I;
    A B C D E F G H I J;
    A B C D E F G H I J K;
    A B C D E F G H I J K L;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn round_trip<T: Abi + Clone + PartialEq + Debug>(value: T) {
        let pointer = lower_stored(value.clone());
        // SAFETY: the block holds a stored `T`, and is freed after it was taken.
        let back = unsafe {
            let back = T::load(pointer);
            deallocate(pointer, T::LAYOUT.size, T::LAYOUT.align);
            back
        };
        assert_eq!(back, value);
    }

    #[test]
    fn what_is_stored_is_taken_back() {
        round_trip((true, 'ü', -7_i8, u64::MAX, 1.5_f32));
        round_trip(vec![(1_u8, "a".to_owned()), (2, String::new())]);
        round_trip(vec![0.5_f64; 1000]);
        round_trip(Vec::<u16>::new());
        round_trip((Some(vec![Some(3_i64), None]), None::<String>));
        round_trip::<Vec<Result<u8, Vec<String>>>>(vec![Ok(3), Err(vec!["no".into()])]);
        round_trip::<Result<(), crate::Error>>(Err("no".into()));
    }

    #[test]
    fn flat_values_are_lifted_and_joined_slots_skipped() {
        let slots = [1, 7, 0, 0, u64::from(2.5_f32.to_bits()), 3];
        let mut slots = Slots::new(&slots);
        // SAFETY: the slots hold these three values; no pointer among them is followed.
        unsafe {
            assert_eq!(<Result<(u64, u64, u8), i16>>::lift(&mut slots), Err(7));
            assert_eq!((f32::lift(&mut slots), u8::lift(&mut slots)), (2.5, 3));
        }
    }
}
