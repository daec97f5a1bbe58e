//! Single layers against candle's own operations, and what is refused.

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Module, Tensor, Var};
use sepconv_candle::SepConv;
use sepconv_kernels::{Activation, Options, Padding, Window};
use sepconv_measure::{difference, uniform};

fn random(seed: u64, shape: &[usize]) -> Result<Tensor> {
    let values = uniform(seed, shape.iter().product());
    Ok(Tensor::from_vec(values, shape.to_vec(), &Device::Cpu)?)
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

fn window(kernel: usize, stride: usize, pad: usize) -> Window {
    let padding = Padding::Explicit { top: pad, bottom: pad, left: pad, right: pad };
    Window::new([kernel; 2]).stride([stride; 2]).padding(padding)
}

fn close(got: &Tensor, expected: &Tensor) -> Result<()> {
    ensure!(got.dims() == expected.dims(), "{:?}, not {:?}", got.dims(), expected.dims());
    let difference = difference(&values(got)?, &values(expected)?)?;
    ensure!(difference <= 1e-5, "{difference:.1e}");
    Ok(())
}

fn refusal<T>(result: candle_core::Result<T>) -> String {
    // Where the environment asks for it, candle appends a backtrace.
    let text = result.err().expect("an error").to_string();
    text.lines().next().unwrap_or_default().into()
}

/// candle's own, with a bias.
fn own(
    x: &Tensor,
    weights: &Tensor,
    bias: &Tensor,
    window: Window,
    groups: usize,
) -> Result<Tensor> {
    let Padding::Explicit { top: pad, .. } = window.padding else { unreachable!("explicit") };
    let y = x.conv2d(weights, pad, window.stride[0], window.dilation[0], groups)?;
    Ok(y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?)
}

#[test]
fn depthwise_of_each_stride_and_padding() -> Result<()> {
    let (x, bias) = (random(1, &[2, 20, 13, 11])?, random(2, &[20])?);
    for (kernel, stride, pad) in [(3, 1, 1), (3, 2, 1), (3, 1, 0), (5, 1, 2), (5, 2, 0), (7, 3, 3)]
    {
        let weights = random(3, &[20, 1, kernel, kernel])?;
        let window = window(kernel, stride, pad);
        let layer = SepConv::depthwise((&weights, &bias), window, &Options::default())?;
        close(&layer.forward(&x)?, &own(&x, &weights, &bias, window, 20)?)?;
    }
    Ok(())
}

#[test]
fn depthwise_with_dilation_and_multiplier() -> Result<()> {
    let (x, weights, bias) =
        (random(1, &[2, 6, 13, 11])?, random(2, &[12, 1, 3, 3])?, random(3, &[12])?);
    let window = window(3, 1, 2).dilation([2, 2]);
    let layer = SepConv::conv2d((&weights, &bias), window, 6, &Options::default())?;
    close(&layer.forward(&x)?, &own(&x, &weights, &bias, window, 6)?)
}

#[test]
fn pointwise_with_relu6() -> Result<()> {
    let (x, weights, bias) =
        (random(1, &[2, 24, 9, 10])?, random(2, &[40, 24, 1, 1])?, random(3, &[40])?);
    let options = Options::new().activation(Activation::Relu6);
    for stride in [1, 2] {
        let layer = SepConv::pointwise((&weights, &bias), [stride; 2], &options)?;
        let expected = own(&x, &weights, &bias, window(1, stride, 0), 1)?.clamp(0f32, 6f32)?;
        close(&layer.forward(&x)?, &expected)?;
    }
    Ok(())
}

#[test]
fn separable_with_all_that_can_be_fused() -> Result<()> {
    let x = random(1, &[2, 20, 13, 11])?;
    let (dw, dw_bias) = (random(2, &[20, 1, 3, 3])?, random(3, &[20])?);
    let (pw, pw_bias) = (random(4, &[33, 20, 1, 1])?, random(5, &[33])?);
    let (window, relu) = (window(3, 2, 1), Activation::Relu);
    let options = Options::new().input_activation(relu).activation(relu);
    let layer = SepConv::separable((&dw, &dw_bias), window, relu, (&pw, &pw_bias), &options)?;
    let mid = own(&x.relu()?, &dw, &dw_bias, window, 20)?.relu()?;
    let last = own(&mid, &pw, &pw_bias, self::window(1, 1, 0), 1)?;
    let residual = random(6, last.dims())?;
    close(&layer.forward(&x)?, &last.relu()?)?;
    close(&layer.forward_add(&x, &residual)?, &(last + residual)?.relu()?)
}

#[test]
fn standard_and_grouped_convolution() -> Result<()> {
    let x = random(1, &[2, 12, 13, 11])?;
    for groups in [1, 3] {
        let (weights, bias) = (random(2, &[9, 12 / groups, 3, 3])?, random(3, &[9])?);
        let window = window(3, 2, 1);
        let layer = SepConv::conv2d((&weights, &bias), window, groups, &Options::default())?;
        close(&layer.forward(&x)?, &own(&x, &weights, &bias, window, groups)?)?;
    }
    Ok(())
}

/// Whatever layout the input has, and without a copy between layers.
#[test]
fn layouts() -> Result<()> {
    let weights = random(2, &[16, 16, 1, 1])?;
    let layer = SepConv::pointwise(&weights, [1, 1], &Options::default())?;
    let wide = random(1, &[3, 20, 7, 9])?;
    let x = wide.narrow(0, 1, 2)?.narrow(1, 2, 16)?;
    let expected = values(&layer.forward(&x.contiguous()?)?)?;
    let channels_last = x.permute((0, 2, 3, 1))?.contiguous()?.permute((0, 3, 1, 2))?;
    let widths_first = x.transpose(2, 3)?.contiguous()?.transpose(2, 3)?;
    for x in [&x, &channels_last, &widths_first] {
        let y = layer.forward(x)?;
        ensure!(y.permute((0, 2, 3, 1))?.is_contiguous(), "{:?}", y.layout());
        ensure!(values(&y)? == expected);
    }
    Ok(())
}

/// 16-bit layers give what f32 gives on the same numbers, rounded once.
#[test]
fn sixteen_bits() -> Result<()> {
    let f32_of = |tensor: &Tensor| tensor.to_dtype(DType::F32);
    for dtype in [DType::F16, DType::BF16] {
        let [x, dw, pw, bias] = [
            random(1, &[1, 16, 9, 9])?.to_dtype(dtype)?,
            random(2, &[16, 1, 3, 3])?.to_dtype(dtype)?,
            random(3, &[24, 16, 1, 1])?.to_dtype(dtype)?,
            random(4, &[24])?.to_dtype(dtype)?,
        ];
        let (window, none, options) = (window(3, 1, 1), Activation::None, Options::default());
        let y = SepConv::separable(&dw, window, none, (&pw, &bias), &options)?.forward(&x)?;
        ensure!(y.dtype() == dtype);
        let (dw, pw, bias) = (f32_of(&dw)?, f32_of(&pw)?, f32_of(&bias)?);
        let layer = SepConv::separable(&dw, window, none, (&pw, &bias), &options)?;
        ensure!(values(&y)? == values(&layer.forward(&f32_of(&x)?)?.to_dtype(dtype)?)?);
    }
    Ok(())
}

/// More shapes than plans are kept for, from several threads at a time.
#[test]
fn shapes_and_threads() -> Result<()> {
    let weights = random(1, &[8, 8, 1, 1])?;
    let layer = SepConv::pointwise(&weights, [1, 1], &Options::default())?;
    let work = |seed: u64| -> Result<()> {
        for size in (1..=20).chain((1..=20).rev()) {
            let x = random(seed, &[1 + size % 2, 8, size, size])?;
            close(&layer.forward(&x)?, &x.conv2d(&weights, 0, 1, 1, 1)?)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || work(seed))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })
}

#[test]
fn refusals() -> Result<()> {
    let (weights, options) = (random(1, &[8, 8, 1, 1])?, Options::default());
    let layer = SepConv::pointwise(&weights, [1, 1], &options)?;
    let of = |shape: &[usize]| Ok::<_, anyhow::Error>(refusal(layer.forward(&random(1, shape)?)));
    assert_eq!(of(&[1, 7, 4, 4])?, "input of 7 channels, the weights are for 8");
    assert!(of(&[8, 4, 4])?.contains("[8, 4, 4]"), "{}", of(&[8, 4, 4])?);
    assert_eq!(of(&[0, 8, 4, 4])?, "batch is 0; it must be at least 1");

    let x = random(1, &[1, 8, 4, 4])?.to_dtype(DType::F64)?;
    assert!(refusal(layer.forward(&x)).contains("expected: F32, got: F64"));
    let (x, residual) = (random(1, &[1, 8, 4, 4])?, random(1, &[1, 8, 4, 3])?);
    assert_eq!(
        refusal(layer.forward_add(&x, &residual)),
        "residual: expected shape [1, 4, 4, 8] (N, H, W, C), got [1, 4, 3, 8]"
    );

    assert_eq!(
        refusal(SepConv::depthwise(&weights, window(3, 1, 1), &options)),
        "weights [8, 8, 1, 1] (O, C / groups, kh, kw) for a window of 3×3"
    );
    assert_eq!(
        refusal(SepConv::pointwise((&weights, &random(1, &[7])?), [1, 1], &options)),
        "bias [7] for weights [8, 8, 1, 1] (O, C / groups, kh, kw)"
    );
    assert_eq!(
        refusal(SepConv::conv2d(&weights, Window::new([1, 1]), 3, &options)),
        "can't divide 24 input and 8 output channels into 3 groups"
    );
    let whole = random(1, &[8, 8, 3, 3])?;
    let separable =
        SepConv::separable(&whole, window(3, 1, 1), Activation::None, &weights, &options);
    assert!(refusal(separable).contains("[C, 1, kh, kw] and [O, C, 1, 1] of one type are needed"));
    let integers = weights.to_dtype(DType::U32)?;
    let layer = SepConv::pointwise(&integers, [1, 1], &options);
    assert_eq!(refusal(layer), "weights of U32: F32, F16 or BF16 are needed");
    Ok(())
}

/// No gradient is better than a wrong one.
#[test]
fn backward() -> Result<()> {
    let layer = SepConv::pointwise(&random(1, &[8, 8, 1, 1])?, [1, 1], &Options::default())?;
    let x = Var::from_tensor(&random(2, &[1, 8, 4, 4])?)?;
    let error = refusal(layer.forward(&x)?.sum_all()?.backward());
    assert!(error.contains("backward is not supported for sepconv"), "{error}");
    Ok(())
}

#[test]
fn layers_can_be_shared() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<SepConv>();
}
