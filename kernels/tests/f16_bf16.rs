//! The element types that this build has kernels for: those of 16 bits with the feature `f16-bf16`,
//! integers with `int8`, f32 always. Compiled with these features and without.

use sepconv_kernels::*;

const HALF: bool = cfg!(feature = "f16-bf16");

/// Zeros of a type.
fn zeros<'a>(element: ElementType, f32s: &'a [f32], bits: &'a [u16]) -> Elements<'a> {
    match element {
        ElementType::F16 => Elements::F16(bits),
        ElementType::Bf16 => Elements::Bf16(bits),
        _ => Elements::F32(f32s),
    }
}

fn check<T>(result: Result<T, Error>, what: &'static str, element: ElementType) {
    let refused = Error::ElementTypeUnavailable { what, element };
    match result {
        Ok(_) => assert!(element.is_available(), "{what} of {element} is taken"),
        Err(error) => {
            assert_eq!(error, refused);
            assert!(!element.is_available());
            let text = error.to_string();
            assert!(
                text.contains("f16-bf16") && text.starts_with(&format!("{what} is of {element}"))
            );
        }
    }
}

#[test]
fn types_without_kernels_are_refused() {
    let (f32s, bits) = ([0.0; 36], [0; 36]);
    for element in ElementType::FLOATS {
        assert_eq!(element.is_available(), HALF || element == ElementType::F32);
        check(NhwcView::new(zeros(element, &f32s, &bits), [1, 3, 3, 4]), "view", element);
        let (mut f32_output, mut bits_output) = ([0.0; 4], [0; 4]);
        let output = match element {
            ElementType::F16 => ElementsMut::F16(&mut bits_output),
            ElementType::Bf16 => ElementsMut::Bf16(&mut bits_output),
            _ => ElementsMut::F32(&mut f32_output),
        };
        check(NhwcViewMut::new(output, [1, 1, 1, 4]), "view", element);

        let input_type = Options::default().input_type(element);
        let output_type = Options::default().output_type(element);
        for (what, options) in [("input", input_type), ("output", output_type)] {
            check(Elementwise::new([1, 3, 3, 4], &options), what, element);
            check(GlobalAveragePool::new([1, 3, 3, 4], &options), what, element);
            check(depthwise(Elements::F32(&f32s), &options), what, element);
            check(pointwise(Elements::F32(&f32s[..16]), &options), what, element);
        }
        let weights = zeros(element, &f32s, &bits);
        check(depthwise(weights, &Options::default()), "depthwise weights", element);
        let weights = zeros(element, &f32s[..16], &bits[..16]);
        check(pointwise(weights, &Options::default()), "weights", element);
    }
}

/// The same of the feature `int8`.
#[test]
fn integers_without_kernels_are_refused() {
    for element in [ElementType::U8, ElementType::I8] {
        assert_eq!(element.is_available(), cfg!(feature = "int8"));
        let input = Elementwise::new([1, 3, 3, 4], &Options::new().input_type(element));
        let output = Elementwise::new([1, 3, 3, 4], &Options::new().output_type(element));
        for (what, result) in [("input", input), ("output", output)] {
            match result {
                Ok(_) => assert!(element.is_available()),
                Err(error) => assert_eq!(
                    error.to_string(),
                    format!(
                        "{what} is of {element}, for which sepconv-kernels was built without the \
                         feature int8"
                    )
                ),
            }
        }
    }
    let has = kernels().iter().any(|kernel| kernel.name.contains("int8"));
    assert_eq!(has, cfg!(feature = "int8"));
}

fn depthwise(weights: Elements<'_>, options: &Options) -> Result<Depthwise, Error> {
    let window = Window::new([3, 3]).padding(Padding::Same);
    Depthwise::new([1, 3, 3, 4], &DepthwiseParams::new(window, weights), options)
}

fn pointwise(weights: Elements<'_>, options: &Options) -> Result<Pointwise, Error> {
    Pointwise::new([1, 3, 3, 4], &PointwiseParams::new(4, weights), options)
}

/// The feature that an arithmetic needs, if any, and whether this build has it.
fn feature_of(arithmetic: Arithmetic) -> Option<(&'static str, bool)> {
    match arithmetic {
        Arithmetic::Bf16 => Some(("bf16", cfg!(feature = "bf16"))),
        Arithmetic::Unfused => Some(("unfused", cfg!(feature = "unfused"))),
        _ => None,
    }
}

/// Arithmetics are there with the features of their names alone.
#[test]
fn arithmetic_without_kernels_is_refused() {
    for arithmetic in Arithmetic::ALL {
        let feature = feature_of(arithmetic);
        assert_eq!(arithmetic.is_available(), feature.is_none_or(|(_, has)| has));
        let options = Options::default().arithmetic(arithmetic);
        match pointwise(Elements::F32(&[0.0; 16]), &options) {
            Ok(_) => assert!(arithmetic.is_available()),
            Err(error) => {
                assert_eq!(error, Error::ArithmeticUnavailable { arithmetic });
                let start = format!("arithmetic {}: ", feature.unwrap().0);
                assert!(error.to_string().starts_with(&start), "{error}");
                assert!(!arithmetic.is_available());
            }
        }
    }
    let blocks = kernels().iter().any(|kernel| kernel.name.starts_with("gemm_blocks_"));
    assert_eq!(blocks, cfg!(feature = "bf16"));
    let unfused = kernels().iter().any(|kernel| kernel.name.contains("_unfused_"));
    assert_eq!(unfused, cfg!(feature = "unfused"));
}

#[test]
fn kernels_are_those_of_the_types() {
    let names: Vec<_> = kernels().iter().map(|kernel| kernel.name).collect();
    assert_eq!(names.iter().any(|name| name.contains("f16")), HALF);
    for operation in ["gemm", "dw", "max", "average", "from_planes", "to_planes"] {
        assert!(names.iter().any(|name| name.starts_with(&format!("{operation}_f32_"))));
    }
}

#[test]
fn f32_is_computed() -> Result<(), Error> {
    // Each tap adds 0.5·2: a corner has four, an edge six, the middle nine.
    for level in Level::available() {
        let options = Options::default().level(level);
        let plan = depthwise(Elements::F32(&[0.5; 36]), &options)?;
        let (x, mut y) = ([2.0; 36], [0.0; 36]);
        let mut scratch = vec![0.0; plan.scratch_len(1)];
        let to = NhwcViewMut::new(&mut y, plan.output_shape())?;
        plan.run(NhwcView::new(&x, plan.input_shape())?, None, to, &mut scratch)?;
        assert_eq!((y[0], y[4], y[4 * 4]), (4.0, 6.0, 9.0), "{level}");

        let plan = pointwise(Elements::F32(&[0.25; 16]), &options)?;
        let mut scratch = vec![0.0; plan.scratch_len(1)];
        let to = NhwcViewMut::new(&mut y, plan.output_shape())?;
        plan.run(NhwcView::new(&x, plan.input_shape())?, None, to, &mut scratch)?;
        assert_eq!(y, [2.0; 36], "{level}");
    }
    Ok(())
}
