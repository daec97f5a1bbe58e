//! One layer by a short text, `sep 1x19x19x728 o728 k3 s1`, with data to run it on.
//!
//! Also compiled into the package of the benchmarks, whose tables are made of these texts.
#![allow(unreachable_pub, reason = "public in the package of the benchmarks")]

use sepconv::kernels::{
    self, Aligned, Arithmetic, Conv, ConvParams, Depthwise, DepthwiseParams, ElementType, Elements,
    ElementsMut, Level, NhwcView, NhwcViewMut, Options, Packed, Padding, Plan, Pointwise,
    PointwiseParams, Separable, SeparableParams, Window, convert,
};
use sepconv::weights::synthetic;

type Result<T, E = String> = std::result::Result<T, E>;

/// A layer with SAME padding and random weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    text: String,
    kind: Kind,
    /// \[N, H, W, C\].
    input: [usize; 4],
    channels_out: usize,
    window: Window,
    multiplier: usize,
    unfused: bool,
    activations: ElementType,
    weights: ElementType,
    arithmetic: Arithmetic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Depthwise,
    Pointwise,
    Separable,
    Conv,
}

const EXAMPLE: &str = "e.g. \"sep 1x19x19x728 o728 k3 s1\"";
/// Of one tensor: 1 GiB.
const MOST_ELEMENTS: usize = 1 << 28;

impl Layer {
    /// Reads `KIND NxHxWxC WORD…`: kinds `dw`, `pw`, `sep`, `conv`; words `o728` (output channels),
    /// `k3` or `k3x5` (kernel), `s2` (stride), `d2` (dilation), `m2` (depth multiplier), `unfused`,
    /// `abf16` (the type of input and output), `wf16` (that of weights), `fast` (dot products of
    /// bf16).
    ///
    /// # Errors
    /// The word that is wrong or missing.
    pub fn parse(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace();
        let kind = match words.next() {
            Some("dw") => Kind::Depthwise,
            Some("pw") => Kind::Pointwise,
            Some("sep") => Kind::Separable,
            Some("conv") => Kind::Conv,
            Some(word) => return Err(format!("{word:?} is none of dw, pw, sep, conv; {EXAMPLE}")),
            None => return Err(format!("no layer; {EXAMPLE}")),
        };
        let shape = words.next().ok_or_else(|| format!("no shape NxHxWxC; {EXAMPLE}"))?;
        let numbers: Option<Vec<usize>> = shape.split('x').map(number).collect();
        let input: [usize; 4] = numbers
            .and_then(|numbers| numbers.try_into().ok())
            .ok_or_else(|| format!("{shape:?} is not a shape NxHxWxC; {EXAMPLE}"))?;

        let (mut out, mut stride, mut dilation, mut multiplier) = (None, None, None, None);
        let (mut kernel, mut unfused) = (None::<[usize; 2]>, None::<()>);
        let (mut activations, mut weights, mut fast) = (None, None, None::<()>);
        let has_kernel = kind != Kind::Pointwise;
        for word in words {
            let wrong = |why: &str| format!("{word:?} {why}; {EXAMPLE}");
            let (letter, value) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
            let set = |slot: &mut Option<usize>| match number(value) {
                Some(n) => Ok(slot.replace(n).is_some()),
                None => Err(wrong("needs a number from 1 to 65536 behind its letter")),
            };
            let again = match letter {
                "u" if word == "unfused" && kind == Kind::Separable => {
                    unfused.replace(()).is_some()
                }
                "f" if word == "fast" && matches!(kind, Kind::Pointwise | Kind::Separable) => {
                    fast.replace(()).is_some()
                }
                "a" | "w" => {
                    let element = ElementType::ALL.into_iter().find(|e| e.name() == value);
                    let element = element.ok_or_else(|| wrong("is not a type, abf16 or wf16"))?;
                    let slot = if letter == "a" { &mut activations } else { &mut weights };
                    slot.replace(element).is_some()
                }
                "o" if kind != Kind::Depthwise => set(&mut out)?,
                "s" => set(&mut stride)?,
                "d" if has_kernel => set(&mut dilation)?,
                "m" if matches!(kind, Kind::Depthwise | Kind::Separable) => set(&mut multiplier)?,
                "k" if has_kernel => {
                    let (h, w) = value.split_once('x').unwrap_or((value, value));
                    let (Some(h), Some(w)) = (number(h), number(w)) else {
                        return Err(wrong("is not a kernel, k3 or k3x5"));
                    };
                    kernel.replace([h, w]).is_some()
                }
                _ => return Err(wrong("is not a word for this kind of layer")),
            };
            if again {
                return Err(wrong("comes after another of its kind"));
            }
        }
        let needs = |what: &str| format!("{text:?} lacks {what}; {EXAMPLE}");
        let kernel = if has_kernel { kernel } else { Some([1, 1]) };
        let multiplier = multiplier.unwrap_or(1);
        let out = if kind == Kind::Depthwise { Some(input[3] * multiplier) } else { out };
        Ok(Self {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            kind,
            input,
            channels_out: out.ok_or_else(|| needs("its output channels, o728"))?,
            window: Window::new(kernel.ok_or_else(|| needs("its kernel, k3"))?)
                .stride([stride.unwrap_or(1); 2])
                .dilation([dilation.unwrap_or(1); 2])
                .padding(Padding::Same),
            multiplier,
            unfused: unfused.is_some(),
            activations: activations.unwrap_or_default(),
            weights: weights.unwrap_or_default(),
            arithmetic: fast.map_or(Arithmetic::Exact, |()| Arithmetic::Fast),
        })
    }

    /// The text that it was read from, with single spaces.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Packs its weights, which are made by formula, the same in every process.
    ///
    /// # Errors
    /// A layer that can't be packed, tensors of more than 2²⁸ elements, an unavailable level.
    pub fn pack(&self, level: Level) -> Result<Planner> {
        let ([kh, kw], [n, h, w, c]) = (self.window.kernel, self.input);
        let (wide, size) = (c * self.multiplier, [n, h, w]);
        let options = Options::default()
            .level(level)
            .input_type(self.activations)
            .output_type(self.activations)
            .arithmetic(self.arithmetic);
        let depthwise_weights = match self.kind {
            Kind::Depthwise | Kind::Separable => random("depthwise", &[kh, kw, wide])?,
            _ => Vec::new(),
        };
        let weights = match self.kind {
            Kind::Depthwise => Vec::new(),
            Kind::Conv => random("conv", &[kh, kw, c, self.channels_out])?,
            _ => random("pointwise", &[wide, self.channels_out])?,
        };
        let depthwise_weights = tensor(&depthwise_weights, self.weights)?;
        let weights = tensor(&weights, self.weights)?;
        let depthwise = DepthwiseParams::new(self.window, depthwise_weights.elements())
            .multiplier(self.multiplier);
        let (channels_out, weights) = (self.channels_out, weights.elements());
        let pointwise = PointwiseParams::new(channels_out, weights);
        let planner = || -> Result<Planner, kernels::Error> {
            Ok(match self.kind {
                Kind::Depthwise => planner(Depthwise::pack(c, &depthwise, &options)?, size),
                Kind::Pointwise => {
                    let params = pointwise.stride(self.window.stride);
                    planner(Pointwise::pack(c, &params, &options)?, size)
                }
                Kind::Separable if self.unfused => {
                    let first = Depthwise::pack(c, &depthwise, &options)?;
                    let second = Pointwise::pack(wide, &pointwise, &options)?;
                    Box::new(move || {
                        let first = first.plan(size)?;
                        let [n, h, w, _] = first.output_shape();
                        Ok(vec![Box::new(first), Box::new(second.plan([n, h, w])?)])
                    })
                }
                Kind::Separable => {
                    let params = SeparableParams::new(depthwise, channels_out, weights);
                    planner(Separable::pack(c, &params, &options)?, size)
                }
                Kind::Conv => {
                    let params = ConvParams::new(self.window, channels_out, weights);
                    planner(Conv::pack(c, &params, &options)?, size)
                }
            })
        };
        planner().map_err(|e| format!("{:?}: {e}", self.text))
    }

    /// Plans it and makes its tensors, the input by formula.
    ///
    /// # Errors
    /// Those of [`Layer::pack`]; a layer that can't be planned.
    pub fn prepare(&self, level: Level, threads: usize) -> Result<Runner> {
        let plans = self.pack(level)?().map_err(|e| format!("{:?}: {e}", self.text))?;
        let mut tensors = vec![tensor(&random("input", &self.input)?, self.activations)?];
        for plan in &plans {
            let poison = vec![f32::NAN; elements(&plan.output_shape())?];
            tensors.push(tensor(&poison, self.activations)?);
        }
        let scratch = plans.iter().map(|plan| plan.scratch_len(threads)).max().unwrap_or(0);
        let scratch = Aligned::new(scratch, f32::NAN).map_err(|e| e.to_string())?;
        Ok(Runner { plans, tensors, scratch })
    }
}

/// Makes the plans of a layer whose weights are packed: one, or an unfused layer's two.
pub type Planner = Box<dyn Fn() -> Result<Vec<Box<dyn Plan>>, kernels::Error>>;

fn planner<P: Plan + 'static>(packed: Packed<P>, size: [usize; 3]) -> Planner {
    Box::new(move || Ok(vec![Box::new(packed.plan(size)?)]))
}

/// A planned layer and its tensors.
#[derive(Debug)]
pub struct Runner {
    /// One, or an unfused layer's two.
    plans: Vec<Box<dyn Plan>>,
    /// The input, then what each plan makes.
    tensors: Vec<Tensor>,
    scratch: Aligned,
}

impl Runner {
    /// Computes the layer and gives its output.
    ///
    /// # Errors
    /// Those of [`Plan::run`].
    pub fn run(&mut self) -> Result<Elements<'_>, kernels::Error> {
        for (i, plan) in self.plans.iter().enumerate() {
            let (done, rest) = self.tensors.split_at_mut(i + 1);
            let x = NhwcView::new(done[i].elements(), plan.input_shape())?;
            let y = NhwcViewMut::new(rest[0].elements_mut(), plan.output_shape())?;
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

/// Elements of some type, of which 16-bit ones lie two to an f32.
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
        let bits: &[u16] = bytemuck::cast_slice(&self.data);
        match self.element {
            ElementType::F32 => Elements::F32(&self.data),
            ElementType::F16 => Elements::F16(&bits[..self.len]),
            ElementType::Bf16 => Elements::Bf16(&bits[..self.len]),
            other => unreachable!("no word gives {other}"),
        }
    }

    fn elements_mut(&mut self) -> ElementsMut<'_> {
        if self.element == ElementType::F32 {
            return ElementsMut::F32(&mut self.data);
        }
        let bits: &mut [u16] = &mut bytemuck::cast_slice_mut(&mut self.data)[..self.len];
        match self.element {
            ElementType::F16 => ElementsMut::F16(bits),
            _ => ElementsMut::Bf16(bits),
        }
    }
}

fn tensor(data: &[f32], element: ElementType) -> Result<Tensor> {
    Tensor::new(data, element).map_err(|e| e.to_string())
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
        .ok_or_else(|| format!("a tensor of {shape:?} has more than {MOST_ELEMENTS} elements"))
}

fn random(name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let mut data = vec![0.0; elements(shape)?];
    fill(&mut data, name);
    Ok(data)
}

/// Reals in [−1, 1).
fn fill(data: &mut [f32], name: &str) {
    for (x, u) in data.iter_mut().zip(synthetic::uniform(name)) {
        *x = u as f32;
    }
}
