//! The middle of a resized picture, as timm's `transforms_imagenet_eval` and torchvision's
//! `CenterCrop` take it.

use super::{Crop, Pixels};
use crate::{Error, Result};

/// The size to which a picture is resized before the middle of `size` is cut out.
pub(super) fn whole(picture: [usize; 2], size: [usize; 2], crop: Crop) -> Result<[usize; 2]> {
    let Crop { share, squash } = crop;
    if !(share > 0.0 && share <= 1.0) {
        let message = format!("expected a crop's share above 0 and at most 1, got {share}");
        return Err(Error::Argument { message });
    }
    // Casts saturate; what is too large is refused as a size.
    let scaled = size.map(|side| (side as f64 / share).floor() as usize);
    let [height, width] = picture.map(|side| side as f64);
    let whole = if squash {
        scaled
    } else if scaled[0] == scaled[1] {
        // torchvision's `Resize` of one number.
        let shorter = scaled[0];
        let longer = shorter as f64 * height.max(width) / height.min(width);
        if width <= height { [longer as usize, shorter] } else { [shorter, longer as usize] }
    } else {
        // timm's `ResizeKeepRatio`.
        let ratio = (height / scaled[0] as f64).min(width / scaled[1] as f64);
        [height, width].map(|side| (side / ratio).round_ties_even() as usize)
    };
    Ok([whole[0].max(size[0]), whole[1].max(size[1])])
}

/// The middle of `size`, which is at most the picture's.
pub(super) fn middle(pixels: Pixels, size: [usize; 2]) -> Pixels {
    let (whole, channels) = (pixels.size(), pixels.channels());
    let first = |axis: usize| ((whole[axis] - size[axis]) as f64 / 2.0).round_ties_even() as usize;
    let (top, left, count) = (first(0), first(1), channels.count());
    let rows = pixels.values().chunks_exact(whole[1] * count).skip(top).take(size[0]);
    let values = rows.flat_map(|row| &row[left * count..][..size[1] * count]).copied().collect();
    Pixels::from_values(size, channels, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Channels;

    /// What timm 1.0.31 and torchvision make of these.
    #[test]
    fn sizes_are_timms() {
        let keep = |share| Crop { share, squash: false };
        for (picture, size, crop, expected) in [
            ([300, 401], [224, 224], keep(0.875), [256, 342]),
            ([401, 300], [224, 224], keep(0.875), [342, 256]),
            ([77, 77], [224, 224], keep(0.95), [235, 235]),
            ([300, 401], [240, 240], Crop { share: 0.9, squash: true }, [266, 266]),
            ([300, 401], [224, 224], keep(0.8), [280, 374]),
            ([300, 401], [192, 256], keep(1.0), [192, 257]),
            ([300, 401], [96, 256], keep(0.9), [212, 284]),
        ] {
            assert_eq!(whole(picture, size, crop).unwrap(), expected, "{picture:?} {size:?}");
        }
        for share in [0.0, -1.0, 1.5, f64::NAN] {
            assert!(whole([9, 9], [3, 3], keep(share)).unwrap_err().to_string().contains("share"));
        }
    }

    #[test]
    fn the_middle_is_rounded_to_even() {
        let row = |width: usize| {
            let values = (0..3 * width).map(|i| i as f32).collect();
            Pixels::from_values([1, width], Channels::Rgb, values)
        };
        for (width, size, first) in [(5, 3, 1), (4, 3, 0), (6, 3, 2), (3, 3, 0)] {
            let middle = middle(row(width), [1, size]);
            assert_eq!(middle.size(), [1, size]);
            assert_eq!(middle.values()[0], 3.0 * first as f32, "{size} of {width}");
            assert_eq!(middle.values().len(), 3 * size);
        }
    }
}
