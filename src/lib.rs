//! Xception and its family on the CPU.
//!
//! This crate loads models of Keras, TensorFlow Lite and timm and runs them with the kernels of
//! [`sepconv-kernels`](kernels). It can also run networks that you build yourself.
//!
//! ```
//! # #[cfg(all(feature = "image", feature = "keras"))] {
//! use std::path::Path;
//!
//! use sepconv::image::{Channels, Picture, Preprocess, Resize, Scaling};
//! use sepconv::network::{NetworkPlan, PlanOptions, Session};
//!
//! let model = sepconv::weights::load("assets/digits.keras")?;
//! let input = [1, 32, 32, 3]; // pictures, height, width, channels
//! let plan = NetworkPlan::new(&model.network, model.weights, input, &PlanOptions::default())?;
//! let mut session = Session::new(plan)?;
//!
//! let picture = Picture::read(Path::new("assets/digits.png"))?.picture;
//! let pixels = picture.resize([32, 32], Resize::Nearest, Channels::Rgb)?;
//! session.run(&Preprocess::new(Scaling::Tf).apply(pixels)?)?;
//!
//! let logits = session.output().iter().enumerate();
//! let (class, logit) = logits.max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
//! println!("class {class}, logit {logit}");
//! # }
//! # Ok::<(), sepconv::Error>(())
//! ```
//!
//! # Modules
//!
//! - [`weights`] loads models and weights from files, or makes pseudorandom weights.
//! - [`models`] builds networks by name: Xception, Aligned Xception, Inception V3, MobileNet, and
//!   timm's MobileNets, EfficientNets, ConvNeXts and GhostNets.
//! - [`network`] holds a network as data, plans it for one input shape, and runs the plan.
//! - `image` (feature `image`) decodes, resizes, crops and scales pictures as Keras and timm do.
//! - [`npy`] reads and writes NumPy arrays.
//! - [`kernels`] is the kernel crate.
//!
//! A [`network::NetworkPlan`] is immutable and may be shared between threads. A
//! [`network::Session`] owns the memory of a run; each thread that runs a plan needs its own.
//!
//! # Numerics
//!
//! All arithmetic is f32. Each output is one chain of fused multiply-adds in a fixed order, so
//! results have the same bits on every instruction set and any number of threads. Batch norms are
//! folded into weights in f64 and rounded once. [`network::PlanOptions`] can store weights and
//! values in f16 or bf16 instead. [`network::Calibration`] makes networks of 8-bit integers, whose
//! sums are exact.
//!
//! # Errors
//!
//! Wrong files, shapes and arguments give an [`Error`] that names the file, node or tensor and the
//! offending numbers. Nothing panics.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `keras` | Keras files: `.keras`, `.weights.h5`, `.h5`; TensorFlow.js's `model.json` |
//! | `safetensors` | timm files and those of `sepconv quantize`: `.safetensors` |
//! | `tflite` | TensorFlow Lite files: `.tflite` |
//! | `image` | JPEG and PNG pictures |
//! | `rayon` (default) | threads: kernels run on rayon's current pool |
//! | `cli` (default) | the `sepconv` program, and all features that read files |
#![forbid(unsafe_code)]
// docs.rs shows which items need which feature.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
#[cfg(feature = "image")]
pub mod image;
pub mod models;
pub mod network;
pub mod npy;
mod resample;
pub mod weights;

pub use error::{Error, Result};
pub use sepconv_kernels as kernels;
