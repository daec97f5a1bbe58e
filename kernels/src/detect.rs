//! Which levels this CPU runs, which one is used, and which element types this build has kernels
//! for.

use alloc::vec::Vec;

use crate::arithmetic::Arithmetic;
use crate::element::ElementType;
use crate::error::{Error, Result};
use crate::level::Level;
use crate::simd::Simd;
use crate::simd::scalar::Scalar;

impl Level {
    /// The level of that name.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// assert_eq!(Level::parse("avx2"), Ok(Level::Avx2));
    /// assert_eq!(Level::parse("AVX2"), Err(Error::UnknownLevel { value: "AVX2".into() }));
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownLevel`].
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|l| l.name() == name)
            .ok_or_else(|| Error::UnknownLevel { value: name.into() })
    }

    /// Whether this CPU and its operating system run the level, and this build contains it.
    ///
    /// With the feature `std` the standard library is asked, which also asks the operating system.
    /// Without it only what the compilation target guarantees counts.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => <Scalar>::detect().is_some(),
            #[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), target_feature = "sse2"))]
            Self::Sse => <crate::simd::sse::Sse>::detect().is_some(),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Simd128 => <crate::simd::wasm::Simd128>::detect().is_some(),
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Self::RelaxedSimd => <crate::simd::wasm::RelaxedSimd>::detect().is_some(),
            #[cfg(all(
                any(target_arch = "x86", target_arch = "x86_64"),
                target_feature = "sse2",
                any(feature = "std", target_feature = "avx2")
            ))]
            Self::Avx2 => <crate::simd::avx2::Avx2>::detect().is_some(),
            #[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx512f")))]
            Self::Avx512 => <crate::simd::avx512::Avx512>::detect().is_some(),
            #[cfg(all(target_arch = "aarch64", any(feature = "std", target_feature = "neon")))]
            Self::Neon => <crate::simd::neon::Neon>::detect().is_some(),
            #[allow(unreachable_patterns, reason = "levels of other architectures")]
            _ => false,
        }
    }

    /// The levels that are available, slowest first. [`Level::Scalar`] always is.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|l| l.is_available()).collect()
    }

    /// The fastest available level.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.into_iter().rev().find(|l| l.is_available()).unwrap_or(Self::Scalar)
    }

    /// The level that a plan uses when its options name none: the variable `SEPCONV_LEVEL` if it is
    /// set and not empty (feature `std`), else [`Level::best`].
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// let level = Level::from_env()?; // Level::Avx2 after `export SEPCONV_LEVEL=avx2`
    /// let plan = Elementwise::new([1, 1, 1, 8], &Options::default())?;
    /// assert_eq!(plan.level(), level);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownLevel`] or [`Error::LevelUnavailable`], from the variable.
    pub fn from_env() -> Result<Self> {
        #[cfg(feature = "std")]
        if let Some(value) = std::env::var_os("SEPCONV_LEVEL").filter(|v| !v.is_empty()) {
            return Self::parse(&value.to_string_lossy())?.checked();
        }
        Ok(Self::best())
    }

    /// The level itself if it is available.
    ///
    /// # Errors
    /// [`Error::LevelUnavailable`].
    pub fn checked(self) -> Result<Self> {
        if self.is_available() { Ok(self) } else { Err(Error::LevelUnavailable { level: self }) }
    }
}

impl Arithmetic {
    /// Whether this build has it: `Unfused` needs the feature `unfused`, `Bf16` the feature `bf16`.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// assert!(Arithmetic::Exact.is_available() && Arithmetic::Fast.is_available());
    /// ```
    #[must_use]
    pub const fn is_available(self) -> bool {
        match self {
            Self::Exact | Self::Fast => true,
            Self::Unfused => cfg!(feature = "unfused"),
            Self::Bf16 => cfg!(feature = "bf16"),
        }
    }

    /// It itself if this build has it.
    pub(crate) fn checked(self) -> Result<Self> {
        let unavailable = Error::ArithmeticUnavailable { arithmetic: self };
        if self.is_available() { Ok(self) } else { Err(unavailable) }
    }
}

impl ElementType {
    /// Whether this build has kernels for elements of the type: for f16 and bf16 with the feature
    /// `f16-bf16`, for u8 and i8 with the feature `int8`.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// assert!(ElementType::F32.is_available());
    /// assert_eq!(ElementType::F16.is_available(), ElementType::Bf16.is_available());
    /// ```
    pub const fn is_available(self) -> bool {
        match self {
            Self::F32 => true,
            Self::F16 | Self::Bf16 => cfg!(feature = "f16-bf16"),
            Self::U8 | Self::I8 => cfg!(feature = "int8"),
        }
    }

    /// The type itself if this build has kernels for it; `what` is of it.
    pub(crate) fn checked(self, what: &'static str) -> Result<Self> {
        let unavailable = Error::ElementTypeUnavailable { what, element: self };
        if self.is_available() { Ok(self) } else { Err(unavailable) }
    }
}
