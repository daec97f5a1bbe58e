//! JPEG and PNG: errors or pictures; these are resized.
#![no_main]

use std::path::Path;

use libfuzzer_sys::{Corpus, fuzz_target};
use sepconv::image::{Channels, Picture, Preprocess, Resize, Scaling};

/// More pixels are only slow.
const MOST_PIXELS: usize = 1 << 18;

fuzz_target!(|data: &[u8]| -> Corpus {
    if claims(data) > MOST_PIXELS {
        return Corpus::Reject;
    }
    match Picture::decode(Path::new("picture"), data) {
        Ok(decoded) => {
            let stored = decoded.picture.size();
            let picture = decoded.picture.upright(decoded.orientation);
            let [h, w] = picture.size();
            assert_eq!(picture.rgb().len(), h * w * 3);
            assert!(stored == [h, w] || stored == [w, h]);
            // Sizes that the file decides.
            let side = |at: usize| usize::from(data[data.len() - 1 - at] % 40);
            let size = [1 + side(0), 1 + side(1)];
            for how in [
                Resize::Nearest,
                Resize::Bilinear,
                Resize::Bicubic,
                Resize::TfNearest,
                Resize::TfBilinear,
                Resize::TfBicubic,
            ] {
                for channels in [Channels::Gray, Channels::Rgb] {
                    let pixels = picture.resize(size, how, channels).unwrap();
                    assert_eq!(pixels.size(), size);
                    let tensor = Preprocess::new(Scaling::Tf).apply(pixels).unwrap();
                    assert_eq!(tensor.len(), size[0] * size[1] * channels.count());
                    // Cubic interpolation goes beyond −1 to 1, not far.
                    assert!(tensor.iter().all(|x| x.abs() < 2.0));
                }
            }
        }
        Err(error) => assert!(error.to_string().starts_with("picture: "), "{error}"),
    }
    Corpus::Keep
});

/// The most pixels that a header in these bytes claims.
fn claims(data: &[u8]) -> usize {
    if data.starts_with(b"\x89PNG") {
        let side = |at: usize| {
            let bytes = data.get(at..at + 4).and_then(|b| b.try_into().ok());
            bytes.map_or(0, |b| u32::from_be_bytes(b) as usize)
        };
        return side(16).saturating_mul(side(20));
    }
    let frame = |w: &[u8]| {
        let side = |at: usize| usize::from(u16::from_be_bytes([w[at], w[at + 1]]));
        let frame =
            w[0] == 0xff && matches!(w[1], 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf);
        if frame { side(5) * side(7) } else { 0 }
    };
    data.windows(9).map(frame).max().unwrap_or(0)
}
