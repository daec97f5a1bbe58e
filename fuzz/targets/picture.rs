//! JPEG and PNG: errors or pictures; these are resized.
#![no_main]

use std::path::Path;

use libfuzzer_sys::{Corpus, fuzz_target};
use sepconv::image::{Picture, Resize};

/// More pixels are only slow.
const MOST_PIXELS: usize = 1 << 18;

fuzz_target!(|data: &[u8]| -> Corpus {
    if claims(data) > MOST_PIXELS {
        return Corpus::Reject;
    }
    match Picture::decode(Path::new("picture"), data) {
        Ok(picture) => {
            let [h, w] = picture.size();
            assert_eq!(picture.rgb().len(), h * w * 3);
            // Sizes that the file decides.
            let side = |at: usize| usize::from(data[data.len() - 1 - at] % 40);
            for how in [Resize::Nearest, Resize::Bilinear, Resize::Bicubic] {
                let size = [side(0), side(1)];
                let resized = picture.resize(size, how);
                assert_eq!(resized.size(), size.map(|side| side.max(1)));
                assert_eq!(resized.to_tensor().len(), resized.rgb().len());
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
