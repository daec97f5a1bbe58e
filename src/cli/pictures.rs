//! How pictures become a network's input: `--resize`, `--apply-orientation`, `--preprocess`,
//! `--mean` and `--std`.

use std::path::Path;

use clap::ValueEnum;
use sepconv::image::{Channels, Picture, Preprocess, Resize, Scaling};

/// How pictures become a network's input.
#[derive(clap::Args)]
pub(super) struct Pictures {
    /// By which library's rule pictures are resized: the one that the model was trained with
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ResizeArg::Nearest)]
    resize: ResizeArg,
    /// Turn pictures upright as their EXIF data says; Keras, TensorFlow and torchvision don't
    #[arg(long)]
    apply_orientation: bool,
    /// Which numbers the model was trained on, of pixels x of 0 to 255
    #[arg(long, value_enum, value_name = "MODE")]
    preprocess: Option<ModeArg>,
    /// Subtract these from red, green and blue: of x / 255, as torchvision's Normalize does, or
    /// of x with `--preprocess none`; one number goes for all channels
    #[arg(long, value_name = "R,G,B", value_parser = parse_numbers, allow_hyphen_values = true)]
    mean: Option<Numbers>,
    /// Divide by these what `--mean` left
    #[arg(long, value_name = "R,G,B", value_parser = parse_numbers, allow_hyphen_values = true)]
    std: Option<Numbers>,
}

impl Pictures {
    /// What the options ask for; nothing where they don't say.
    pub(super) fn preprocess(&self) -> sepconv::Result<Option<Preprocess>> {
        let numbers = |numbers: &Option<Numbers>| numbers.clone().unwrap_or_default().0;
        let (mean, std) = (numbers(&self.mean), numbers(&self.std));
        match self.preprocess {
            None if mean.is_empty() && std.is_empty() => Ok(None),
            mode => {
                let mode = mode.map_or(Scaling::Unit, Scaling::from);
                Preprocess::normalized(mode, &mean, &std).map(Some)
            }
        }
    }

    /// A network's input of `size` \[height, width\], and a warning that names the file.
    pub(super) fn read(
        &self,
        path: &Path,
        size: [usize; 2],
        channels: Channels,
        preprocess: &Preprocess,
    ) -> sepconv::Result<(Vec<f32>, Option<String>)> {
        let decoded = Picture::read(path)?;
        let picture = match self.apply_orientation {
            true => decoded.picture.upright(decoded.orientation),
            false => decoded.picture,
        };
        let pixels = picture.resize(size, self.resize.into(), channels)?;
        let warning = decoded.warning.map(|warning| format!("{}: {warning}", path.display()));
        Ok((preprocess.apply(pixels)?, warning))
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum ResizeArg {
    /// Pillow's: Keras's load_img unless told otherwise
    Nearest,
    /// Pillow's: torchvision, timm, Keras's load_img with interpolation="bilinear"
    Bilinear,
    /// Pillow's: timm, Keras's load_img with interpolation="bicubic"
    Bicubic,
    /// TensorFlow's: tf.image.resize with method="nearest"
    TfNearest,
    /// TensorFlow's: Keras's image_dataset_from_directory and tf.image.resize unless told otherwise
    TfBilinear,
    /// TensorFlow's: the two with "bicubic"
    TfBicubic,
}

impl From<ResizeArg> for Resize {
    fn from(arg: ResizeArg) -> Self {
        match arg {
            ResizeArg::Nearest => Self::Nearest,
            ResizeArg::Bilinear => Self::Bilinear,
            ResizeArg::Bicubic => Self::Bicubic,
            ResizeArg::TfNearest => Self::TfNearest,
            ResizeArg::TfBilinear => Self::TfBilinear,
            ResizeArg::TfBicubic => Self::TfBicubic,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeArg {
    /// x / 127.5 − 1: Keras's Xception, Inception, MobileNet
    Tf,
    /// x / 255, less ImageNet's mean, divided by its deviation: PyTorch, Keras's DenseNet
    Torch,
    /// Blue, green, red, each less ImageNet's mean: Keras's VGG and ResNet
    Caffe,
    /// x / 255: Keras's Rescaling(1/255) before the model
    Unit,
    /// x: a model that scales by itself
    None,
}

impl From<ModeArg> for Scaling {
    fn from(arg: ModeArg) -> Self {
        match arg {
            ModeArg::Tf => Self::Tf,
            ModeArg::Torch => Self::Torch,
            ModeArg::Caffe => Self::Caffe,
            ModeArg::Unit => Self::Unit,
            ModeArg::None => Self::None,
        }
    }
}

/// A list with commas: one word, unlike clap's lists.
#[derive(Clone, Default)]
struct Numbers(Vec<f32>);

fn parse_numbers(text: &str) -> Result<Numbers, String> {
    let numbers: Result<Vec<f32>, _> = text.split(',').map(|word| word.trim().parse()).collect();
    match numbers {
        Ok(numbers) if matches!(numbers.len(), 1 | 3) => Ok(Numbers(numbers)),
        _ => Err("one number is needed, or three with commas, e.g. 0.485,0.456,0.406".into()),
    }
}
