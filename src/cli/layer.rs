//! A layer described by a short text, such as `sep 1x19x19x728 o728 k3 s1`, and data to run it on.
//!
//! The package of the benchmarks compiles this file too; its tables consist of such texts.
#![allow(unreachable_pub, reason = "public in the package of the benchmarks")]

use sepconv::kernels::{
    self, Activation, Aligned, Arithmetic, Conv, ConvParams, Depthwise, DepthwiseParams,
    ElementType, Elements, ElementsMut, Level, NhwcView, NhwcViewMut, Options, Packed, Padding,
    Plan, Pointwise, PointwiseParams, Quantization, QuantizedWeights, Separable, SeparableParams,
    TensorLayout, Window, convert,
};
use sepconv::weights::{KERAS_ACTIVATIONS, synthetic};

type Result<T, E = String> = std::result::Result<T, E>;

/// A layer with random weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    text: String,
    kind: Kind,
    /// \[N, H, W, C\], also of tensors that lie in memory as NCHW.
    input: [usize; 4],
    channels_out: usize,
    window: Window,
    multiplier: usize,
    groups: usize,
    apart: bool,
    /// Of input and output, and of the weights, if there are words for them.
    named_types: [Option<ElementType>; 2],
    weights: ElementType,
    options: Options,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Depthwise,
    Pointwise,
    Separable,
    Conv,
}

/// What the pseudorandom integers of u8 and i8 stand for: reals in \[−1, 1\].
const INTEGER_SCALE: f32 = 1.0 / 127.0;
const ZERO_POINT: i32 = 128;

const EXAMPLE: &str = "e.g. \"sep 1x19x19x728 o728 k3 s1\"";
/// The most elements of a tensor: 1 GiB.
const MOST_ELEMENTS: usize = 1 << 28;

impl Layer {
    /// Reads `KIND NxHxWxC WORD…`: kinds `dw`, `pw`, `sep`, `conv`; words `o728` (output channels),
    /// `k3` or `k3x5` (kernel), `s2` or `s2x1` (stride), `d2` or `d2x1` (dilation), `p1` or
    /// `p0,1,0,1` (padding; SAME without it), `m2` (depth multiplier), `g4` (groups), the name of
    /// an activation, `nchw`, `abf16` (the type of input and output), `wf16` (that of weights),
    /// `apart`, `int8` (input and output of u8, weights of i8).
    ///
    /// # Errors
    /// A message with the word that is wrong or missing.
    pub fn parse(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace();
        let kind = match words.next() {
            Some("dw") => Kind::Depthwise,
            Some("pw") => Kind::Pointwise,
            Some("sep") => Kind::Separable,
            Some("conv") => Kind::Conv,
            Some(word) => {
                return Err(format!("expected dw, pw, sep or conv, got {word:?}; {EXAMPLE}"));
            }
            None => return Err(format!("the layer is empty; {EXAMPLE}")),
        };
        let shape =
            words.next().ok_or_else(|| format!("the shape NxHxWxC is missing; {EXAMPLE}"))?;
        let numbers: Option<Vec<usize>> = shape.split('x').map(number).collect();
        let input: [usize; 4] = numbers
            .and_then(|numbers| numbers.try_into().ok())
            .ok_or_else(|| format!("expected a shape NxHxWxC, got {shape:?}; {EXAMPLE}"))?;
        let mut parsed = Words::default();
        for word in words {
            parsed.add(kind, word).map_err(|why| format!("{word:?} {why}; {EXAMPLE}"))?;
        }

        let needs = |what: &str| format!("{text:?} lacks {what}; {EXAMPLE}");
        let kernel = if kind == Kind::Pointwise { Some([1, 1]) } else { parsed.kernel };
        let multiplier = parsed.multiplier.unwrap_or(1);
        let out = if kind == Kind::Depthwise { Some(input[3] * multiplier) } else { parsed.out };
        let layout = parsed.layout.unwrap_or_default();
        let layer = Self {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            kind,
            input,
            channels_out: out
                .ok_or_else(|| needs("the number of output channels, such as o728"))?,
            window: Window::new(kernel.ok_or_else(|| needs("the kernel size, such as k3"))?)
                .stride(parsed.stride.unwrap_or([1, 1]))
                .dilation(parsed.dilation.unwrap_or([1, 1]))
                .padding(parsed.padding.unwrap_or(Padding::Same)),
            multiplier,
            groups: parsed.groups.unwrap_or(1),
            apart: parsed.apart.is_some(),
            named_types: [parsed.activations, parsed.weights],
            weights: ElementType::F32,
            options: Options::default()
                .activation(parsed.activation.unwrap_or_default())
                .input_layout(layout)
                .output_layout(layout),
        };
        if parsed.int8.is_some() { layer.int8() } else { Ok(layer.arithmetic(Arithmetic::Exact)) }
    }

    /// The layer in 8-bit integers, as with the word `int8`.
    ///
    /// # Errors
    /// A message with a word of the layer that can't be combined with `int8`.
    pub fn int8(self) -> Result<Self> {
        if self.is_int8() {
            return Ok(self);
        }
        let [activations, weights] = self.named_types;
        let given = [
            (activations.is_some(), "a type of input and output"),
            (weights.is_some(), "a type of weights"),
            (self.apart, "apart"),
        ];
        if let Some((_, other)) = given.into_iter().find(|(given, _)| *given) {
            return Err(format!("{:?} combines int8 with {other}; {EXAMPLE}", self.text));
        }
        let named_types = [Some(ElementType::U8), Some(ElementType::I8)];
        Ok(Self { named_types, ..self }.arithmetic(Arithmetic::Exact))
    }

    /// Whether it is one of 8-bit integers.
    pub fn is_int8(&self) -> bool {
        self.named_types[1] == Some(ElementType::I8)
    }

    /// The layer in an arithmetic, with its type for what no word names one for.
    #[must_use]
    pub fn arithmetic(self, arithmetic: Arithmetic) -> Self {
        let unnamed = unnamed_type(arithmetic);
        let [activations, weights] = self.named_types.map(|named| named.unwrap_or(unnamed));
        let options = self.options.arithmetic(arithmetic);
        let options = options.input_type(activations).output_type(activations);
        Self { weights, options, ..self }
    }

    /// The layer by tile registers, if there are any.
    #[must_use]
    pub fn amx(self, amx: bool) -> Self {
        Self { options: self.options.amx(amx), ..self }
    }

    /// The standard convolution of a separable layer's shape: the same input, output and window, of
    /// all channels at once. None for layers of other kinds.
    pub fn standard(&self) -> Option<Self> {
        let (kind, multiplier, apart) = (Kind::Conv, 1, false);
        (self.kind == Kind::Separable).then(|| Self { kind, multiplier, apart, ..self.clone() })
    }

    /// The number of weights.
    pub fn parameters(&self) -> u64 {
        let [taps, c, o] =
            [self.window.kernel.iter().product(), self.input[3], self.channels_out].map(wide);
        let (deep, groups) = (c.saturating_mul(wide(self.multiplier)), wide(self.groups));
        let depthwise = taps.saturating_mul(deep);
        match self.kind {
            Kind::Depthwise => depthwise,
            Kind::Pointwise => c.saturating_mul(o),
            Kind::Separable => depthwise.saturating_add(deep.saturating_mul(o)),
            Kind::Conv => taps.saturating_mul((c / groups).saturating_mul(o)),
        }
    }

    /// The text that describes the layer, with single spaces.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Packs the layer's weights. They are pseudorandom, and the same in every process.
    ///
    /// # Errors
    /// A layer that can't be packed, tensors of more than 2²⁸ elements, an unavailable level.
    pub fn pack(&self, level: Level) -> Result<Planner> {
        let ([kh, kw], [n, h, w, c]) = (self.window.kernel, self.input);
        let (wide, size) = (c * self.multiplier, [n, h, w]);
        let [mid_quantization, output_quantization] = self.quantizations();
        let options = self
            .options
            .level(level)
            .input_quantization(Quantization::new(INTEGER_SCALE, ZERO_POINT))
            .output_quantization(output_quantization);
        let random = |name, shape: &[usize]| random(name, shape, self.weights);
        let depthwise_weights = match self.kind {
            Kind::Depthwise | Kind::Separable => random("depthwise", &[kh, kw, wide])?,
            _ => tensor(&[], self.weights)?,
        };
        let weights = match self.kind {
            Kind::Depthwise => tensor(&[], self.weights)?,
            Kind::Conv => random("conv", &[kh, kw, c / self.groups, self.channels_out])?,
            _ => random("pointwise", &[wide, self.channels_out])?,
        };
        let (channels_out, weights) = (self.channels_out, weights.elements());
        let scales = vec![INTEGER_SCALE; wide.max(channels_out)];
        let int8 = self.weights == ElementType::I8;
        let quantized = |channels| int8.then(|| QuantizedWeights::new(&scales[..channels]));
        let mut depthwise = DepthwiseParams::new(self.window, depthwise_weights.elements())
            .multiplier(self.multiplier);
        depthwise.quantized = quantized(wide);
        let mut pointwise = PointwiseParams::new(channels_out, weights);
        pointwise.quantized = quantized(channels_out);
        let planner = || -> Result<Planner, kernels::Error> {
            Ok(match self.kind {
                Kind::Depthwise => planner(Depthwise::pack(c, &depthwise, &options)?, size),
                Kind::Pointwise => {
                    let params = pointwise.stride(self.window.stride);
                    planner(Pointwise::pack(c, &params, &options)?, size)
                }
                Kind::Separable if self.apart => {
                    let between = options.activation(Activation::None);
                    let first = Depthwise::pack(c, &depthwise, &between)?;
                    let second = Pointwise::pack(wide, &pointwise, &options)?;
                    Box::new(move || {
                        let first = first.plan(size)?;
                        let [n, h, w, _] = first.output_shape();
                        Ok(vec![Box::new(first), Box::new(second.plan([n, h, w])?)])
                    })
                }
                Kind::Separable => {
                    let mut params = SeparableParams::new(depthwise, channels_out, weights)
                        .mid_quantization(mid_quantization);
                    params.quantized = quantized(channels_out);
                    planner(Separable::pack(c, &params, &options)?, size)
                }
                Kind::Conv => {
                    let mut params =
                        ConvParams::new(self.window, channels_out, weights).groups(self.groups);
                    params.quantized = quantized(channels_out);
                    planner(Conv::pack(c, &params, &options)?, size)
                }
            })
        };
        planner().map_err(|e| format!("{:?}: {e}", self.text))
    }

    /// Of the values between the steps of a separable layer, and of the output, if these are of u8.
    ///
    /// An input and a weight are uniform in \[−1, 1), of variance 1/3. A sum of n of their products
    /// has variance n/9; a step covers ±3 standard deviations, so that few outputs are clamped.
    fn quantizations(&self) -> [Quantization; 2] {
        let taps: usize = self.window.kernel.iter().product();
        let c = self.input[3];
        let products = |n: usize| n as f32 / 9.0;
        let mid = products(taps);
        let output = match self.kind {
            Kind::Depthwise => mid,
            Kind::Pointwise => products(c),
            Kind::Separable => mid * (c * self.multiplier) as f32 / 3.0,
            Kind::Conv => products(taps * (c / self.groups).max(1)),
        };
        [mid, output].map(|variance| Quantization::new(3.0 * variance.sqrt() / 127.0, ZERO_POINT))
    }

    /// Plans it and makes its tensors, the input by formula.
    ///
    /// # Errors
    /// Those of [`Layer::pack`]; a layer that can't be planned.
    pub fn prepare(&self, level: Level, threads: usize) -> Result<Runner> {
        let plans = self.pack(level)?().map_err(|e| format!("{:?}: {e}", self.text))?;
        let activations = self.options.input_type;
        let mut tensors = vec![random("input", &self.input, activations)?];
        for plan in &plans {
            let poison = vec![f32::NAN; elements(&plan.output_shape())?];
            tensors.push(tensor(&poison, activations)?);
        }
        let scratch = plans.iter().map(|plan| plan.scratch_len(threads)).max().unwrap_or(0);
        let scratch = Aligned::new(scratch, f32::NAN).map_err(|e| e.to_string())?;
        Ok(Runner { plans, tensors, scratch })
    }
}

/// The type of weights and values for which none is named.
pub fn unnamed_type(arithmetic: Arithmetic) -> ElementType {
    if arithmetic == Arithmetic::Bf16 { ElementType::Bf16 } else { ElementType::F32 }
}

/// Makes the plans of a layer whose weights are packed: one, or two if it runs apart.
pub type Planner = Box<dyn Fn() -> Result<Vec<Box<dyn Plan>>, kernels::Error>>;

fn planner<P: Plan + 'static>(packed: Packed<P>, size: [usize; 3]) -> Planner {
    Box::new(move || Ok(vec![Box::new(packed.plan(size)?)]))
}

/// A planned layer and its tensors.
#[derive(Debug)]
pub struct Runner {
    /// One plan, or two if the layer runs apart.
    plans: Vec<Box<dyn Plan>>,
    /// The input, then the output of each plan.
    tensors: Vec<Tensor>,
    scratch: Aligned,
}

impl Runner {
    /// Computes the layer and returns its output.
    ///
    /// # Errors
    /// Those of [`Plan::run`].
    pub fn run(&mut self) -> Result<Elements<'_>, kernels::Error> {
        for (i, plan) in self.plans.iter().enumerate() {
            let (done, rest) = self.tensors.split_at_mut(i + 1);
            let (x, y) = (done[i].elements(), rest[0].elements_mut());
            let shapes = [plan.input_shape(), plan.output_shape()];
            let (x, y) = match plan.input_layout() {
                TensorLayout::Nchw => {
                    let [x_shape, y_shape] = shapes.map(|[n, h, w, c]| [n, c, h, w]);
                    (NhwcView::nchw(x, x_shape)?, NhwcViewMut::nchw(y, y_shape)?)
                }
                _ => (NhwcView::new(x, shapes[0])?, NhwcViewMut::new(y, shapes[1])?),
            };
            plan.run(x, None, y, &mut self.scratch)?;
        }
        Ok(self.tensors[self.plans.len()].elements())
    }

    /// The kernels that run.
    pub fn kernel_name(&self) -> String {
        let names: Vec<_> = self.plans.iter().map(|plan| plan.kernel_name()).collect();
        names.join(" then ")
    }

    /// Multiply-adds of one run, padding included.
    pub fn multiply_adds(&self) -> u64 {
        (self.plans.iter().map(|plan| plan.multiply_adds())).fold(0, u64::saturating_add)
    }
}

/// Elements of one type. Two 16-bit or four 8-bit elements take the place of an f32.
#[derive(Debug)]
struct Tensor {
    data: Aligned,
    len: usize,
    element: ElementType,
}

impl Tensor {
    fn new(values: &[f32], element: ElementType) -> Result<Self, kernels::Error> {
        let len = values.len();
        let data = Aligned::new((len * element.size()).div_ceil(size_of::<f32>()), 0.0)?;
        let mut tensor = Self { data, len, element };
        convert(values.into(), tensor.elements_mut(), None)?;
        Ok(tensor)
    }

    fn elements(&self) -> Elements<'_> {
        match self.element {
            ElementType::F16 => Elements::F16(&bytemuck::cast_slice(&self.data)[..self.len]),
            ElementType::Bf16 => Elements::Bf16(&bytemuck::cast_slice(&self.data)[..self.len]),
            ElementType::U8 => Elements::U8(&bytemuck::cast_slice(&self.data)[..self.len]),
            ElementType::I8 => Elements::I8(&bytemuck::cast_slice(&self.data)[..self.len]),
            _ => Elements::F32(&self.data),
        }
    }

    fn elements_mut(&mut self) -> ElementsMut<'_> {
        let (data, len) = (&mut self.data[..], self.len);
        match self.element {
            ElementType::F16 => ElementsMut::F16(&mut bytemuck::cast_slice_mut(data)[..len]),
            ElementType::Bf16 => ElementsMut::Bf16(&mut bytemuck::cast_slice_mut(data)[..len]),
            ElementType::U8 => ElementsMut::U8(&mut bytemuck::cast_slice_mut(data)[..len]),
            ElementType::I8 => ElementsMut::I8(&mut bytemuck::cast_slice_mut(data)[..len]),
            _ => ElementsMut::F32(data),
        }
    }
}

fn tensor(data: &[f32], element: ElementType) -> Result<Tensor> {
    Tensor::new(data, element).map_err(|e| e.to_string())
}

/// The words of a layer's text, each given once at most.
#[derive(Default)]
struct Words {
    out: Option<usize>,
    kernel: Option<[usize; 2]>,
    stride: Option<[usize; 2]>,
    dilation: Option<[usize; 2]>,
    padding: Option<Padding>,
    multiplier: Option<usize>,
    groups: Option<usize>,
    activation: Option<Activation>,
    layout: Option<TensorLayout>,
    activations: Option<ElementType>,
    weights: Option<ElementType>,
    apart: Option<()>,
    int8: Option<()>,
}

/// The activation of this name: one of Keras's, or `gelu_tanh`.
fn activation(name: &str) -> Option<Activation> {
    if name == "gelu_tanh" {
        return Some(Activation::GeluTanh);
    }
    KERAS_ACTIVATIONS.iter().find(|(known, _)| *known == name).map(|&(_, activation)| activation)
}

impl Words {
    /// Adds a word, or says what is wrong with it.
    fn add(&mut self, kind: Kind, word: &str) -> Result<(), &'static str> {
        if let Some(activation) = activation(word) {
            return put(&mut self.activation, activation);
        }
        let has_window = kind != Kind::Pointwise;
        let has_multiplier = matches!(kind, Kind::Depthwise | Kind::Separable);
        let (letter, value) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        let count = || number(value).ok_or("must have a number from 1 to 65536 after its letter");
        let element = || {
            let element = ElementType::FLOATS.into_iter().find(|element| element.name() == value);
            element.ok_or("is not a type such as abf16 or wf16; 8-bit integers are the word int8")
        };
        match (letter, word) {
            (_, "nchw") => put(&mut self.layout, TensorLayout::Nchw),
            (_, "apart") if kind == Kind::Separable => put(&mut self.apart, ()),
            (_, "int8") => put(&mut self.int8, ()),
            ("a", _) => put(&mut self.activations, element()?),
            ("w", _) => put(&mut self.weights, element()?),
            ("o", _) if kind != Kind::Depthwise => put(&mut self.out, count()?),
            ("m", _) if has_multiplier => put(&mut self.multiplier, count()?),
            ("g", _) if kind == Kind::Conv => put(&mut self.groups, count()?),
            ("k", _) if has_window => {
                put(&mut self.kernel, pair(value).ok_or("is not a kernel size such as k3 or k3x5")?)
            }
            ("s", _) => {
                let stride = pair(value);
                put(&mut self.stride, stride.ok_or("is not a stride from s1 to s65536 or s2x1")?)
            }
            ("d", _) if has_window => {
                put(&mut self.dilation, pair(value).ok_or("is not a dilation such as d2 or d2x1")?)
            }
            ("p", _) if has_window => {
                let wrong = "is not a padding such as p1 or p0,1,0,1 (top,bottom,left,right)";
                put(&mut self.padding, padding(value).ok_or(wrong)?)
            }
            (_, "apart") | ("o" | "m" | "g" | "k" | "d" | "p", _) => {
                Err("does not apply to this kind of layer")
            }
            _ => Err("is not a word of a layer"),
        }
    }
}

fn put<T>(slot: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("repeats an earlier word"),
    }
}

/// `3` as \[3, 3\], `3x5` as \[3, 5\].
fn pair(text: &str) -> Option<[usize; 2]> {
    let (h, w) = text.split_once('x').unwrap_or((text, text));
    Some([number(h)?, number(w)?])
}

/// `1` on all sides, or `0,1,0,1`: top, bottom, left, right.
fn padding(text: &str) -> Option<Padding> {
    let side = |text: &str| if text == "0" { Some(0) } else { number(text) };
    let sides: Vec<usize> = text.split(',').map(side).collect::<Option<_>>()?;
    match sides[..] {
        [all] => Some(Padding::Explicit { top: all, bottom: all, left: all, right: all }),
        [top, bottom, left, right] => Some(Padding::Explicit { top, bottom, left, right }),
        _ => None,
    }
}

fn wide(n: usize) -> u64 {
    n as u64
}

/// 1 to 65536.
fn number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|n| (1..=1 << 16).contains(n))
}

fn elements(shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1, |product: usize, &d| product.checked_mul(d))
        .filter(|&len| len <= MOST_ELEMENTS)
        .ok_or_else(|| {
            format!("a tensor of shape {shape:?} has more than {MOST_ELEMENTS} elements, the limit")
        })
}

/// Reals in [−1, 1), or the integers that stand for these: see [`INTEGER_SCALE`].
fn random(name: &str, shape: &[usize], element: ElementType) -> Result<Tensor> {
    let mut data = vec![0.0; elements(shape)?];
    let (scale, zero_point) = match element {
        ElementType::U8 => (INTEGER_SCALE, ZERO_POINT),
        ElementType::I8 => (INTEGER_SCALE, 0),
        _ => (1.0, 0),
    };
    for (x, u) in data.iter_mut().zip(synthetic::uniform(name)) {
        *x = u as f32 / scale + zero_point as f32;
    }
    tensor(&data, element)
}
