//! Elements as the kernel bodies load and store them: always as vectors of f32.

use crate::ElementType;
use crate::element;
use crate::isa::Isa;

/// A type of elements, for bodies that are compiled for each.
pub(crate) trait Element {
    /// An element in memory.
    type Bits: Copy;

    const TYPE: ElementType;

    /// Whether an element is a pair of bf16 along k, to be multiplied by [`Isa::dot`].
    const PAIR: bool = false;

    /// Elements of a cache line.
    const LINE: usize = 64 / size_of::<Self::Bits>();

    /// # Safety
    /// `p` must be valid for reading a vector's elements; no alignment is needed.
    unsafe fn load<I: Isa>(p: *const Self::Bits) -> I::V;

    /// Lanes outside the head are arbitrary and their memory is not touched.
    ///
    /// # Safety
    /// `p` must be valid for reading the head's elements.
    unsafe fn load_head<I: Isa>(head: I::Head, p: *const Self::Bits) -> I::V;

    /// Rounds and stores.
    ///
    /// # Safety
    /// `p` must be valid for writing a vector's elements; no alignment is needed.
    unsafe fn store<I: Isa>(p: *mut Self::Bits, v: I::V);

    /// Memory outside the head is not touched.
    ///
    /// # Safety
    /// `p` must be valid for writing the head's elements.
    unsafe fn store_head<I: Isa>(head: I::Head, p: *mut Self::Bits, v: I::V);

    /// As `store`, of sums of products of elements of this type and of weights that are no NaNs but
    /// [`f32::NAN`], for which there is a shorter way.
    ///
    /// # Safety
    /// As `store`.
    #[inline(always)]
    unsafe fn store_sum<I: Isa>(p: *mut Self::Bits, v: I::V) {
        // SAFETY: the caller's contract.
        unsafe { Self::store::<I>(p, v) }
    }

    /// As `store_head`, of such sums.
    ///
    /// # Safety
    /// As `store_head`.
    #[inline(always)]
    unsafe fn store_sum_head<I: Isa>(head: I::Head, p: *mut Self::Bits, v: I::V) {
        // SAFETY: the caller's contract.
        unsafe { Self::store_head::<I>(head, p, v) }
    }

    /// One element.
    fn widen(bits: Self::Bits) -> f32;
}

#[derive(Debug)]
pub(crate) struct F32;
#[derive(Debug)]
pub(crate) struct F16;
#[derive(Debug)]
pub(crate) struct Bf16;
/// Two bf16 along k, where an f32 would be.
#[allow(dead_code, reason = "of levels with dot products")]
#[derive(Debug)]
pub(crate) struct Pair;

/// An element of 32 bits, loaded and stored as it is.
macro_rules! word {
    ($name:ident, $type:ident, pair: $pair:literal) => {
        impl Element for $name {
            type Bits = f32;
            const TYPE: ElementType = ElementType::$type;
            const PAIR: bool = $pair;

            #[inline(always)]
            unsafe fn load<I: Isa>(p: *const f32) -> I::V {
                // SAFETY: the caller's contract.
                unsafe { I::load(p) }
            }

            #[inline(always)]
            unsafe fn load_head<I: Isa>(head: I::Head, p: *const f32) -> I::V {
                // SAFETY: the caller's contract.
                unsafe { I::load_head(head, p) }
            }

            #[inline(always)]
            unsafe fn store<I: Isa>(p: *mut f32, v: I::V) {
                // SAFETY: the caller's contract.
                unsafe { I::store(p, v) }
            }

            #[inline(always)]
            unsafe fn store_head<I: Isa>(head: I::Head, p: *mut f32, v: I::V) {
                // SAFETY: the caller's contract.
                unsafe { I::store_head(head, p, v) }
            }

            #[inline(always)]
            fn widen(bits: f32) -> f32 {
                bits
            }
        }
    };
}

word!(F32, F32, pair: false);
word!(Pair, Bf16, pair: true);

/// Stores of 16 bits, of a vector and of a head, by a conversion.
macro_rules! stores {
    ($store:ident, $store_head:ident, $from:ident) => {
        #[inline(always)]
        unsafe fn $store<I: Isa>(p: *mut u16, v: I::V) {
            // SAFETY: the caller's contract; H is plain data of a vector's u16.
            unsafe { p.cast::<I::H>().write_unaligned(I::$from(v)) }
        }

        #[inline(always)]
        unsafe fn $store_head<I: Isa>(head: I::Head, p: *mut u16, v: I::V) {
            // SAFETY: the caller's contract.
            unsafe { I::store_head_16(head, p, I::$from(v)) }
        }
    };
}

/// An element of 16 bits, by the conversions of that name.
macro_rules! half {
    ($name:ident, $to_f32:ident, $from_f32:ident, $from_sum:ident) => {
        impl Element for $name {
            type Bits = u16;
            const TYPE: ElementType = ElementType::$name;

            #[inline(always)]
            unsafe fn load<I: Isa>(p: *const u16) -> I::V {
                // SAFETY: the caller's contract; H is plain data of a vector's u16.
                unsafe { I::$to_f32(p.cast::<I::H>().read_unaligned()) }
            }

            #[inline(always)]
            unsafe fn load_head<I: Isa>(head: I::Head, p: *const u16) -> I::V {
                // SAFETY: the caller's contract.
                I::$to_f32(unsafe { I::load_head_16(head, p) })
            }

            stores!(store, store_head, $from_f32);
            stores!(store_sum, store_sum_head, $from_sum);

            #[inline(always)]
            fn widen(bits: u16) -> f32 {
                element::$to_f32(bits)
            }
        }
    };
}

half!(F16, f16_to_f32, f32_to_f16, f32_to_f16);
half!(Bf16, bf16_to_f32, f32_to_bf16, sum_to_bf16);

/// `$body` with the type `$T` for the elements of `$element`, which is looked at once.
macro_rules! with_element {
    ($element:expr, $T:ident => $body:expr) => {
        match $element {
            $crate::ElementType::F32 => {
                type $T = $crate::isa::element::F32;
                $body
            }
            $crate::ElementType::F16 => {
                type $T = $crate::isa::element::F16;
                $body
            }
            $crate::ElementType::Bf16 => {
                type $T = $crate::isa::element::Bf16;
                $body
            }
        }
    };
}
pub(crate) use with_element;

/// `$f::<$I, Y, …>(…)` with the type Y of the elements of `$element`: of what a kernel makes whose input is of
/// elements `$X`, namely f32 or the same, unless `$any`. Of f32, then, nothing else: nothing is looked at.
macro_rules! with_output {
    ($X:ident, $any:expr, $element:expr, $f:ident::<$I:ident $(, $rest:ident)*>($($args:tt)*)) => {
        if $any {
            $crate::isa::element::with_element!($element, Y => $f::<$I, Y $(, $rest)*>($($args)*))
        } else if matches!($X::TYPE, $crate::ElementType::F32)
            || matches!($element, $crate::ElementType::F32)
        {
            $f::<$I, $crate::isa::element::F32 $(, $rest)*>($($args)*)
        } else {
            $f::<$I, $X $(, $rest)*>($($args)*)
        }
    };
}
pub(crate) use with_output;
