//! Functions of vectors: exponentials, sigmoids and their kin. Knows no activation and no kernel.
//!
//! Every step is an IEEE operation that all levels have, in one order, so that all levels give the
//! same bits. Exponentials are computed in two factors, so that a result below the normal range is
//! rounded once, where the product is taken: [`Exp`].

use crate::simd::Simd;

/// A function of one number.
pub(crate) trait Function: Copy {
    /// The function, lane by lane.
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector;
}

/// Adding 1.5·2²³ rounds to an integer and leaves it in the low bits of the sum.
const MAGIC: f32 = 12_582_912.0;

/// x = n·ln 2 + r, |r| ≤ ln 2 / 2.
struct Reduced<S: Simd> {
    /// n + 1.5·2²³.
    rounded: S::Vector,
    n: S::Vector,
    r: S::Vector,
}

/// Splits ln 2 in a part of few bits and a rest (Cody and Waite), so that r is accurate.
#[inline(always)]
fn reduce<S: Simd>(simd: S, x: S::Vector) -> Reduced<S> {
    let c = |v| simd.splat(v);
    let magic = c(MAGIC);
    let rounded = simd.short_mul_add(x, c(core::f32::consts::LOG2_E), magic);
    let n = simd.sub(rounded, magic);
    let r = simd.short_mul_add(n, c(-0.693_359_4), x);
    Reduced { rounded, n, r: simd.short_mul_add(n, c(2.121_944_4e-4), r) }
}

/// eʳ − 1 for |r| ≤ ln 2 / 2: its Taylor series to r⁷, whose remainder |r|⁸/8! is below a tenth of
/// an ULP.
#[inline(always)]
fn exp_m1_series<S: Simd>(simd: S, r: S::Vector) -> S::Vector {
    const SERIES: [f32; 6] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
    simd.short_mul_add(simd.mul(r, r), polynomial(simd, r, SERIES), r)
}

/// For −87 ≤ x ≤ 88.3 or NaN: (eʳ − 1, 2ⁿ) with x = n·ln 2 + r, |r| ≤ ln 2 / 2.
#[inline(always)]
fn exp_m1_parts<S: Simd>(simd: S, x: S::Vector) -> (S::Vector, S::Vector) {
    let Reduced { rounded, r, .. } = reduce(simd, x);
    (exp_m1_series(simd, r), simd.power_of_two(rounded))
}

/// eˣ in two factors.
struct Exp<S: Simd> {
    /// 2ⁿ′·eʳ: a normal number, of whatever x.
    factor: S::Vector,
    /// 2ⁿ⁻ⁿ′, where n′ is about n / 2.
    scale: S::Vector,
}

impl<S: Simd> Exp<S> {
    /// For −125 ≤ x ≤ 90 or NaN.
    #[inline(always)]
    fn new(simd: S, x: S::Vector) -> Self {
        let reduced = reduce(simd, x);
        Self::of_parts(simd, &reduced, reduced.r)
    }

    /// The same of x + `low`, a sum that needs more bits than an f32 has.
    #[inline(always)]
    fn of_sum(simd: S, x: S::Vector, low: S::Vector) -> Self {
        let reduced = reduce(simd, x);
        Self::of_parts(simd, &reduced, simd.add(reduced.r, low))
    }

    #[inline(always)]
    fn of_parts(simd: S, &Reduced { n, .. }: &Reduced<S>, r: S::Vector) -> Self {
        let magic = simd.splat(MAGIC);
        let half = simd.short_mul_add(n, simd.splat(0.5), magic);
        let rest = simd.sub(n, simd.sub(half, magic));
        let power = simd.power_of_two(half);
        let factor = simd.short_mul_add(power, exp_m1_series(simd, r), power);
        Self { factor, scale: simd.power_of_two(simd.add(rest, magic)) }
    }

    /// The product.
    #[inline(always)]
    fn value(&self, simd: S) -> S::Vector {
        simd.mul(self.factor, self.scale)
    }

    /// The factors where `negative`, elsewhere ones.
    #[inline(always)]
    fn where_negative(self, simd: S, negative: S::Mask) -> Self {
        let one = simd.splat(1.0);
        Self {
            factor: simd.select(negative, self.factor, one),
            scale: simd.select(negative, self.scale, one),
        }
    }
}

/// e^−|x|, with |x| bounded by `most`: a larger |x| gives the caller's result the same bits.
#[inline(always)]
fn exp_neg_abs<S: Simd>(simd: S, x: S::Vector, most: f32) -> Exp<S> {
    Exp::new(simd, simd.clamp_min(simd.splat(-most), simd.neg_abs(x)))
}

#[inline(always)]
fn is_negative<S: Simd>(simd: S, x: S::Vector) -> S::Mask {
    simd.less_than(x, simd.splat(0.0))
}

/// 0 − x.
#[inline(always)]
fn neg<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    simd.sub(simd.splat(0.0), x)
}

/// c₀·xᵏ + c₁·xᵏ⁻¹ + … by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::Vector, c: [f32; N]) -> S::Vector {
    let mut sum = simd.splat(c[0]);
    for &c in &c[1..] {
        sum = simd.short_mul_add(sum, x, simd.splat(c));
    }
    sum
}

/// x < lo ? lo : x > hi ? hi : x
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clamp {
    pub(crate) lo: f32,
    pub(crate) hi: f32,
}

impl Function for Clamp {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        simd.clamp_max(simd.splat(self.hi), simd.clamp_min(simd.splat(self.lo), x))
    }
}

/// x > 0 ? x : α·(eˣ − 1)
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elu {
    pub(crate) alpha: f32,
}

impl Function for Elu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        let c = |v| simd.splat(v);
        // Below −25, eˣ − 1 rounds to −1.
        let (e, scale) = exp_m1_parts(simd, Clamp { lo: -25.0, hi: 0.0 }.of(simd, x));
        let negative = simd.short_mul_add(scale, e, simd.sub(scale, c(1.0)));
        simd.select(simd.less_than(c(0.0), x), x, simd.mul(c(self.alpha), negative))
    }
}

/// x / (1 + e⁻ˣ)
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silu;

impl Function for Silu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        let c = |v| simd.splat(v);
        // Between these bounds e⁻ˣ is a normal number. Above them the result is x, below −0 (exact:
        // above −4e-37).
        const LO: f32 = -88.3;
        let z = Clamp { lo: LO, hi: 87.0 }.of(simd, x);
        let (e, scale) = exp_m1_parts(simd, neg(simd, z));
        let e = simd.short_mul_add(scale, e, scale);
        let y = simd.div(x, simd.add(c(1.0), e));
        simd.select(simd.less_than(x, c(LO)), c(-0.0), y)
    }
}

/// x · (clamp(x + 3, 0, 6) · (1/6))
#[derive(Debug, Clone, Copy)]
pub(crate) struct HardSwish;

impl Function for HardSwish {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        let c = |v| simd.splat(v);
        // 6 times the rounded sixth is 1 when rounded.
        let gate = Clamp { lo: 0.0, hi: 6.0 }.of(simd, simd.add(x, c(3.0)));
        simd.mul(x, simd.mul(gate, c(1.0 / 6.0)))
    }
}

/// 1 / (1 + e⁻ˣ)
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        // With e = e^−|x|: 1 / (1 + e) above 0, e / (1 + e) below.
        let (e, one) = (exp_neg_abs(simd, x, 105.0).value(simd), simd.splat(1.0));
        simd.div(simd.select(is_negative(simd, x), e, one), simd.add(one, e))
    }
}

/// clamp(slope·x + offset, 0, 1)
#[derive(Debug, Clone, Copy)]
pub(crate) struct HardSigmoid {
    pub(crate) slope: f32,
    pub(crate) offset: f32,
}

impl Function for HardSigmoid {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        let c = |v| simd.splat(v);
        let line = simd.short_mul_add(c(self.slope), x, c(self.offset));
        Clamp { lo: 0.0, hi: 1.0 }.of(simd, line)
    }
}

/// (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tanh;

impl Function for Tanh {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        let c = |v| simd.splat(v);
        // With m = e^−2|x| − 1: tanh |x| = −m / (m + 2). Below −25, m rounds to −1.
        let z = simd.neg_abs(x);
        let (e, scale) = exp_m1_parts(simd, simd.clamp_min(c(-25.0), simd.add(z, z)));
        let m = simd.short_mul_add(scale, e, simd.sub(scale, c(1.0)));
        let negative = simd.div(m, simd.add(m, c(2.0)));
        let y = simd.select(is_negative(simd, x), negative, neg(simd, negative));
        // tanh x = x − x³/3 + …, which up to 2⁻¹³ is x, and −0 stays.
        simd.select(simd.less_than(c(-1.0 / 8192.0), z), x, y)
    }
}

/// x · Φ(x), Φ being the normal distribution: x · (1 + erf(x / √2)) / 2
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gelu;

impl Function for Gelu {
    /// With a = |x|, Φ(−a) = e^(−a²/2)·G(a), where G decreases slowly: G(a) = t·P(2t − 1) with
    /// t = 1 / (1 + 5a/16) and a polynomial P that hardly varies. It interpolates at the zeros of
    /// Chebyshev's of t(14.5)..1, within 2⁻²⁵ of G. Beyond 14.5, x·Φ(x) is −0 or x.
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        const P: [f32; 10] = [
            -3.574_749_6e-5,
            2.082_162e-5,
            3.382_227_7e-4,
            -2.208_566e-4,
            -2.583_321_7e-3,
            -5.081_794e-4,
            2.313_492_9e-2,
            8.307_533e-2,
            0.166_813_84,
            0.229_964_96,
        ];
        let c = |v| simd.splat(v);
        let x = simd.clamp_min(c(-14.5), x);
        let z = simd.clamp_min(c(-14.5), simd.neg_abs(x));
        let t = simd.div(c(1.0), simd.short_mul_add(z, c(-0.3125), c(1.0)));
        let g = simd.mul(t, polynomial(simd, simd.sub(simd.add(t, t), c(1.0)), P));
        // The exponent needs more bits than an f32 has: −a²/2 in two parts.
        let square = simd.mul(z, z);
        let rest = simd.short_mul_add(z, z, neg(simd, square));
        let (high, low) = (simd.mul(square, c(-0.5)), simd.mul(rest, c(-0.5)));
        let e = Exp::of_sum(simd, high, low);
        let upper = simd.mul(x, simd.sub(c(1.0), simd.mul(g, e.value(simd))));
        let lower = simd.mul(simd.mul(simd.mul(x, g), e.factor), e.scale);
        simd.select(is_negative(simd, x), lower, upper)
    }
}

/// x · (1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2
#[derive(Debug, Clone, Copy)]
pub(crate) struct GeluTanh;

impl Function for GeluTanh {
    /// (1 + tanh u) / 2 = 1 / (1 + e^−2u), and 2u = x·p(x²), where p = c₁ + c₂·x². Beyond 11 it is
    /// −0 or x.
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        // 2·√(2/π), and that times 0.044715: what an f32 holds of it, and the rest.
        const C1: (f32, f32) = (1.595_769_2, -4.534_068e-8);
        const C2: (f32, f32) = (0.071_354_814, 2.398_832_4e-9);
        let c = |v| simd.splat(v);
        let x = simd.clamp_min(c(-11.0), x);
        let z = simd.clamp_min(c(-11.0), simd.neg_abs(x));
        // −2|u| needs more bits than an f32 has: square, p and product in two parts each.
        let square = simd.mul(z, z);
        let square_rest = simd.short_mul_add(z, z, neg(simd, square));
        let term = simd.mul(c(C2.0), square);
        let term_rest = simd.short_mul_add(c(C2.0), square, neg(simd, term));
        let term_rest = simd.short_mul_add(c(C2.0), square_rest, term_rest);
        let term_rest = simd.short_mul_add(c(C2.1), square, term_rest);
        // The rest of a sum whatever the order of the two (Knuth).
        let p = simd.add(c(C1.0), term);
        let second = simd.sub(p, c(C1.0));
        let p_rest = simd.add(simd.sub(c(C1.0), simd.sub(p, second)), simd.sub(term, second));
        let p_rest = simd.add(simd.add(p_rest, term_rest), c(C1.1));
        let high = simd.mul(z, p);
        let low = simd.short_mul_add(z, p_rest, simd.short_mul_add(z, p, neg(simd, high)));
        let e = Exp::of_sum(simd, high, low);
        let sum = simd.add(c(1.0), e.value(simd));
        let e = e.where_negative(simd, is_negative(simd, x));
        simd.mul(simd.div(simd.mul(x, e.factor), sum), e.scale)
    }
}

/// ln(1 + eˣ)
#[derive(Debug, Clone, Copy)]
pub(crate) struct Softplus;

impl Function for Softplus {
    /// max(x, 0) + ln(1 + e) with e = e^−|x| ≤ 1; and ln(1 + e) = 2·artanh s with
    /// s = e / (2 + e) ≤ 1/3: its series to s¹⁵, whose remainder is below 2⁻²⁹ of it.
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        const SERIES: [f32; 7] =
            [1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0];
        let c = |v| simd.splat(v);
        let e = exp_neg_abs(simd, x, 105.0).value(simd);
        // 2s, not s, which would lose a bit below the normal range.
        let s2 = simd.div(simd.add(e, e), simd.add(c(2.0), e));
        let s = simd.mul(s2, c(0.5));
        let square = simd.mul(s, s);
        let log = simd.short_mul_add(simd.mul(s2, square), polynomial(simd, square, SERIES), s2);
        simd.add(simd.clamp_min(c(0.0), x), log)
    }
}

/// x · tanh(ln(1 + eˣ))
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mish;

impl Function for Mish {
    /// tanh(ln(1 + w)) = w·(w + 2) / (w·(w + 2) + 2). With e = e^−|x| ≤ 1, which is w below 0 and
    /// 1/w above: e·(e + 2) / (e·(e + 2) + 2) or (1 + 2e) / (1 + 2e + 2e²). Below −110 it is −0.
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        let c = |v| simd.splat(v);
        let x = simd.clamp_min(c(-110.0), x);
        let negative = is_negative(simd, x);
        let exp = exp_neg_abs(simd, x, 110.0);
        let e = exp.value(simd);
        let (below, above) = (simd.add(e, c(2.0)), simd.short_mul_add(e, c(2.0), c(1.0)));
        let sum_below = simd.short_mul_add(e, below, c(2.0));
        let sum_above = simd.short_mul_add(simd.add(e, e), e, above);
        let exp = exp.where_negative(simd, negative);
        let product = simd.mul(x, exp.factor);
        // The quotient first: it is at most 1, so that nothing overflows.
        let quotient = simd
            .div(simd.select(negative, below, above), simd.select(negative, sum_below, sum_above));
        simd.mul(simd.mul(product, quotient), exp.scale)
    }
}

/// x < threshold ? slope·(x − threshold) : min(x, max)
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThresholdedRelu {
    pub(crate) slope: f32,
    pub(crate) threshold: f32,
    pub(crate) max: f32,
}

impl Function for ThresholdedRelu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        let c = |v| simd.splat(v);
        // 0 · −∞ would be a NaN.
        let line = match self.slope {
            0.0 => c(0.0),
            slope => simd.mul(c(slope), simd.sub(x, c(self.threshold))),
        };
        let below = simd.less_than(x, c(self.threshold));
        simd.select(below, line, simd.clamp_max(c(self.max), x))
    }
}

/// x / (1 + |x|)
#[derive(Debug, Clone, Copy)]
pub(crate) struct Softsign;

impl Function for Softsign {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        let c = |v| simd.splat(v);
        // ∞ / ∞ would be a NaN.
        let x = Clamp { lo: f32::MIN, hi: f32::MAX }.of(simd, x);
        simd.div(x, simd.sub(c(1.0), simd.neg_abs(x)))
    }
}

/// eˣ
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exponential;

impl Function for Exponential {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        // Beyond, it is 0 or ∞.
        Exp::new(simd, Clamp { lo: -105.0, hi: 90.0 }.of(simd, x)).value(simd)
    }
}
