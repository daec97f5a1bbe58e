//! The order of a tensor's elements.

use core::fmt;

/// The order of a tensor's elements in memory. Shapes are \[N, H, W, C\] in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// The channels of a pixel lie side by side.
    #[default]
    Nhwc,
    /// Each channel is a plane of H·W elements, without gaps.
    Nchw,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nhwc => "NHWC",
            Self::Nchw => "NCHW",
        })
    }
}
