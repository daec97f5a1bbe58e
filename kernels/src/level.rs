//! The instruction-set levels: which exist, which this CPU runs, which one is used.

use alloc::vec::Vec;
use core::fmt;

use crate::error::{Error, Result};

/// An instruction-set level that kernels are written for. All give the same bits.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
/// let options = Options { level: Some(Level::Scalar), ..Options::default() };
/// let plan = GlobalAveragePool::new([1, 7, 7, 8], &options)?;
/// assert_eq!(plan.level(), Level::Scalar);
/// assert!(Level::Scalar < Level::Avx512); // slower
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Plain Rust with fused multiply-add by `f32::mul_add` (a library call where the target has none).
    Scalar,
    /// AArch64 Advanced SIMD, 4 lanes.
    Neon,
    /// x86-64-v3: AVX2 and FMA, 8 lanes.
    Avx2,
    /// x86-64-v4: AVX-512 F, BW, CD, DQ, VL, 16 lanes.
    Avx512,
}

impl Level {
    /// Every level, also those that this build or this CPU can't run.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// assert!(Level::ALL.is_sorted());
    /// assert!(Level::available().iter().all(|level| Level::ALL.contains(level)));
    /// ```
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Neon, Self::Avx2, Self::Avx512];

    /// The name that [`fmt::Display`] prints and `SEPCONV_LEVEL` takes.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// assert_eq!(Level::ALL.map(Level::name), ["scalar", "neon", "avx2", "avx512"]);
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

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
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// assert!(Level::Scalar.is_available());
    /// assert!(!(Level::Neon.is_available() && Level::Avx2.is_available()));
    /// ```
    pub fn is_available(self) -> bool {
        crate::isa::is_available(self)
    }

    /// The levels that are available, slowest first. [`Level::Scalar`] always is.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// let levels = Level::available();
    /// assert_eq!(levels[0], Level::Scalar);
    /// assert_eq!(levels.last(), Some(&Level::best()));
    /// ```
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|l| l.is_available()).collect()
    }

    /// The fastest available level.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// let faster = Level::ALL.into_iter().filter(|&level| level > Level::best());
    /// assert_eq!(faster.filter(|level| level.is_available()).count(), 0);
    /// ```
    pub fn best() -> Self {
        Self::ALL.into_iter().rev().find(|l| l.is_available()).unwrap_or(Self::Scalar)
    }

    /// The level that a plan uses when its options name none: the variable `SEPCONV_LEVEL` if it is
    /// set and not empty (feature `std`), else [`Level::best`].
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
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
    /// ```
    /// # use sepconv_kernels::*;
    /// assert_eq!(Level::Scalar.checked(), Ok(Level::Scalar));
    /// if let Err(error) = Level::Neon.checked() {
    ///     assert_eq!(error.to_string(), "level neon is not available on this CPU or in this build");
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Error::LevelUnavailable`].
    pub fn checked(self) -> Result<Self> {
        if self.is_available() { Ok(self) } else { Err(Error::LevelUnavailable { level: self }) }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
