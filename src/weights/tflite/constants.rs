//! The elements of constants: real numbers, also of stored integers with a scale, and indices.

use sepconv_kernels::Quantization;

use super::schema::{Tensor, dtype};
use crate::weights::elements::{Format, check_finite};

/// Errors are sentences; the caller adds the tensor's name in front.
type Result<T> = std::result::Result<T, String>;

impl Tensor<'_> {
    /// The number of elements.
    pub(super) fn elements(&self) -> Result<usize> {
        let product = self.shape.iter().try_fold(1_usize, |p, &d| p.checked_mul(d));
        product.ok_or_else(|| format!("shape {:?} overflows", self.shape))
    }

    /// Checks that the data has all elements, `width` bytes each.
    fn raw(&self, width: usize) -> Result<&[u8]> {
        if let Some(what) = self.refusal {
            return Err(format!("{what} is not supported"));
        }
        let bytes = self.elements()?.checked_mul(width);
        match bytes == Some(self.data.len()) {
            true => Ok(self.data),
            false => {
                let (shape, dtype, len) = (&self.shape, dtype::name(self.dtype), self.data.len());
                Err(format!("shape {shape:?} of {dtype} does not match {len} bytes"))
            }
        }
    }

    /// The elements as finite real numbers. Integers must have scales.
    pub(super) fn floats(&self) -> Result<Vec<f32>> {
        let format = match self.dtype {
            dtype::F16 => Format::F16,
            dtype::F32 => Format::F32,
            dtype::F64 => Format::F64,
            _ => {
                let data = self.scaled()?;
                check_finite(&data)?;
                return Ok(data);
            }
        };
        let raw = self.raw(format.width())?;
        let mut data = Vec::with_capacity(raw.len() / format.width());
        format.decode(raw, false, &mut data);
        check_finite(&data)?;
        Ok(data)
    }

    /// scale · (integer − zero point).
    fn scaled(&self) -> Result<Vec<f32>> {
        let integers = self.integers()?;
        let channels = self.scales.len();
        let zero_points = self.zero_points.len();
        if channels == 0 {
            return Err(format!("{} without a scale is no weight", dtype::name(self.dtype)));
        }
        if zero_points != 0 && zero_points != channels {
            return Err(format!("expected {channels} zero points, as scales, got {zero_points}"));
        }
        let channel = self.channel_of()?;
        let zero = |c: usize| self.zero_points.get(c).copied().unwrap_or(0);
        let number = |(i, q): (usize, &i64)| {
            let c = channel(i);
            self.scales[c] * q.saturating_sub(zero(c)) as f32
        };
        Ok(integers.iter().enumerate().map(number).collect())
    }

    /// The index of the scale of each element.
    fn channel_of(&self) -> Result<impl Fn(usize) -> usize + use<>> {
        let channels = self.scales.len();
        let inner = match (channels, self.shape.get(self.axis)) {
            (1, _) => usize::MAX,
            (_, Some(&d)) if d == channels => self.shape[self.axis + 1..].iter().product(),
            _ => {
                let (shape, axis) = (&self.shape, self.axis);
                return Err(format!("{channels} scales don't fit dimension {axis} of {shape:?}"));
            }
        };
        // An empty tensor has no elements to ask for.
        Ok(move |i: usize| i / inner.max(1) % channels)
    }

    /// The elements as 8-bit integers around 0; none if they are of another type, or around another
    /// integer.
    pub(super) fn int8(&self) -> Result<Option<Vec<i8>>> {
        let middle = match self.dtype {
            dtype::I8 => 0,
            // The middle of the unsigned ones.
            dtype::U8 => 128,
            _ => return Ok(None),
        };
        if self.zero_points.iter().any(|&zero| zero != middle)
            || (self.zero_points.is_empty() && middle != 0)
            || self.scales.iter().any(|scale| !(scale.is_finite() && *scale >= 0.0))
        {
            return Ok(None);
        }
        self.channel_of().map(drop)?;
        Ok(Some(self.integers()?.iter().map(|&q| (q - middle) as i8).collect()))
    }

    /// What the integers of a computed tensor stand for, as those of u8; none if it has real
    /// numbers.
    pub(super) fn quantization(&self) -> Result<Option<Quantization>> {
        let shift = match self.dtype {
            dtype::F32 => return Ok(None),
            dtype::I8 => 128,
            dtype::U8 => 0,
            other => {
                let found = dtype::name(other);
                return Err(format!("its values are {found}; expected float32, int8 or uint8"));
            }
        };
        let (&[scale], &[zero_point]) = (&self.scales[..], &self.zero_points[..]) else {
            let counts = (self.scales.len(), self.zero_points.len());
            return Err(format!(
                "expected a scale and a zero point, got {} and {}",
                counts.0, counts.1
            ));
        };
        let zero_point = i32::try_from(zero_point).ok().and_then(|zero| zero.checked_add(shift));
        let zero_point = zero_point.ok_or_else(|| format!("zero point {}", self.zero_points[0]))?;
        Ok(Some(Quantization::new(scale, zero_point)))
    }

    /// The elements as integers.
    pub(super) fn integers(&self) -> Result<Vec<i64>> {
        fn decode<const N: usize>(raw: &[u8], of: impl Fn([u8; N]) -> i64) -> Vec<i64> {
            raw.as_chunks::<N>().0.iter().map(|&bytes| of(bytes)).collect()
        }
        Ok(match self.dtype {
            dtype::I8 => decode(self.raw(1)?, |b| i8::from_le_bytes(b).into()),
            dtype::U8 => decode(self.raw(1)?, |b| u8::from_le_bytes(b).into()),
            dtype::I32 => decode(self.raw(4)?, |b| i32::from_le_bytes(b).into()),
            dtype::I64 => decode(self.raw(8)?, i64::from_le_bytes),
            other => return Err(format!("expected integers, got {}", dtype::name(other))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A constant of 2×2 bytes.
    fn constant<'a>(dtype: u8, data: &'a [u8], scales: &[f32], zero_points: &[i64]) -> Tensor<'a> {
        Tensor {
            name: "constant",
            shape: vec![2, 2],
            open: vec![false; 2],
            dtype,
            data,
            scales: scales.to_vec(),
            zero_points: zero_points.to_vec(),
            axis: 1,
            refusal: None,
        }
    }

    #[test]
    fn integers_stand_for_numbers() {
        let bytes = [0, 1, 128, 255];
        for (tensor, expected) in [
            (constant(dtype::I8, &bytes, &[0.5], &[0]), [0.0, 0.5, -64.0, -0.5]),
            (constant(dtype::I8, &bytes, &[0.5], &[]), [0.0, 0.5, -64.0, -0.5]),
            (constant(dtype::I8, &bytes, &[0.5, 2.0], &[1, 0]), [-0.5, 2.0, -64.5, -2.0]),
            (constant(dtype::U8, &bytes, &[2.0], &[128]), [-256.0, -254.0, 0.0, 254.0]),
            (constant(dtype::U8, &bytes, &[2.0], &[3]), [-6.0, -4.0, 250.0, 504.0]),
        ] {
            assert_eq!(tensor.floats().as_deref(), Ok(&expected[..]));
        }
        let signed = constant(dtype::I8, &bytes, &[0.5, 2.0], &[0, 0]);
        assert_eq!(signed.int8(), Ok(Some(vec![0, 1, -128, -1])));
        let middle = constant(dtype::U8, &bytes, &[2.0], &[128]);
        assert_eq!(middle.int8(), Ok(Some(vec![-128, -127, 0, 127])));
        let other = constant(dtype::U8, &bytes, &[2.0], &[3]);
        assert_eq!(other.int8(), Ok(None));
    }

    #[test]
    fn values_are_those_of_u8() {
        let of = |dtype, scales: &[f32], zeros: &[i64]| {
            constant(dtype, &[], scales, zeros).quantization()
        };
        assert_eq!(of(dtype::F32, &[], &[]), Ok(None));
        assert_eq!(of(dtype::I8, &[0.5], &[-128]), Ok(Some(Quantization::new(0.5, 0))));
        assert_eq!(of(dtype::U8, &[0.5], &[7]), Ok(Some(Quantization::new(0.5, 7))));
        assert!(of(dtype::I8, &[0.5, 0.5], &[0, 0]).unwrap_err().contains("got 2 and 2"));
        assert!(of(dtype::I32, &[0.5], &[0]).unwrap_err().contains("int32"));
        assert!(of(dtype::I8, &[0.5], &[i64::MAX]).is_err());
    }

    #[test]
    fn wrong_constants_are_refused() {
        for (tensor, part) in [
            (constant(dtype::I8, &[1, 2, 3], &[1.0], &[0]), "does not match 3 bytes"),
            (constant(dtype::I8, &[1, 2, 3, 4], &[], &[]), "without a scale"),
            (constant(dtype::I8, &[1, 2, 3, 4], &[1.0; 3], &[0; 3]), "3 scales don't fit"),
            (constant(dtype::I8, &[1, 2, 3, 4], &[1.0; 2], &[0; 3]), "got 3"),
            (constant(dtype::I8, &[1, 2, 3, 4], &[f32::NAN], &[0]), "must be finite"),
            (constant(5, &[1, 2, 3, 4], &[1.0], &[0]), "expected integers, got string"),
        ] {
            let error = tensor.floats().unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
