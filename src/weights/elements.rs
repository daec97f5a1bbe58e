//! Reads floating-point elements as files store them, as f32.

use std::io;

use super::bytes::Bytes;

/// The number of bytes read at a time: whole elements of every format.
const PIECE: usize = 64 << 10;

/// How an element is stored.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    F16,
    #[cfg(feature = "safetensors")]
    Bf16,
    F32,
    F64,
}

impl Format {
    /// Bytes of an element.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::F16 => 2,
            #[cfg(feature = "safetensors")]
            Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Appends the elements in `raw`, `big` endian or little.
    pub(crate) fn decode(self, raw: &[u8], big: bool, to: &mut Vec<f32>) {
        match self {
            Self::F16 => decode(raw, big, |b| half(u16::from_le_bytes(b)), to),
            #[cfg(feature = "safetensors")]
            Self::Bf16 => {
                let wide = |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16);
                decode(raw, big, wide, to);
            }
            Self::F32 => decode(raw, big, f32::from_le_bytes, to),
            Self::F64 => decode(raw, big, |b| f64::from_le_bytes(b) as f32, to),
        }
    }

    /// All elements of `values`.
    ///
    /// Reads piece by piece. A second copy of a whole tensor would be freed at once, and such frees
    /// fragment the allocator's memory.
    #[cfg_attr(not(any(feature = "keras", feature = "safetensors")), expect(dead_code))]
    pub(crate) fn read(self, values: &Bytes, big: bool) -> io::Result<Vec<f32>> {
        let length = usize::try_from(values.len()).map_err(io::Error::other)?;
        let mut data = Vec::new();
        data.reserve_exact(length / self.width());
        let mut piece = vec![0; PIECE.min(length)];
        for at in (0..length).step_by(PIECE) {
            let piece = &mut piece[..PIECE.min(length - at)];
            values.read_at(at as u64, piece)?;
            self.decode(piece, big, &mut data);
        }
        Ok(data)
    }
}

/// Checks that all elements are finite. The error names the first that is not.
pub(crate) fn check_finite(data: &[f32]) -> Result<(), String> {
    match data.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(format!("weights must be finite, got {} at element {i}", data[i])),
        None => Ok(()),
    }
}

/// Appends elements of N bytes, `big` endian or little.
fn decode<const N: usize>(
    raw: &[u8],
    big: bool,
    element: impl Fn([u8; N]) -> f32,
    to: &mut Vec<f32>,
) {
    let (chunks, _) = raw.as_chunks::<N>();
    let swap = |mut bytes: [u8; N]| {
        bytes.reverse();
        bytes
    };
    if big {
        to.extend(chunks.iter().map(|&b| element(swap(b))));
    } else {
        to.extend(chunks.iter().map(|&b| element(b)));
    }
}

/// An IEEE binary16 value.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10 & 0x1F);
    let fraction = u32::from(bits & 0x3FF);
    let magnitude = match exponent {
        // Zero and subnormals: fraction · 2⁻²⁴, exact in f32.
        0 => (fraction as f32 / (1_u32 << 24) as f32).to_bits(),
        0x1F => 0x7F80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn halves() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x0001, 5.960_464_5e-8),
            (0x03FF, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x7BFF, 65504.0),
            (0x7C00, f32::INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:#06x}");
        }
        assert!(half(0x7E00).is_nan());
        assert!(half(0x8000).is_sign_negative());
    }
}
