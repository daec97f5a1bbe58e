//! Pointwise layers against the gemm crate in pairs, one run of each in turn, on one thread:
//! criterion measures one after the other, between which a machine's clock moves.

use std::time::Instant;

use sepconv::kernels::{Elements, Level};
use sepconv_benches::layer::Layer;
use sepconv_benches::{Gemm, Product, TABLES};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Pairs of each layer, after one that doesn't count.
const PAIRS: usize = 31;

fn main() -> Result {
    let level = Level::from_env()?;
    println!("Medians of {PAIRS} pairs, level {level}, 1 thread; below 1 sepconv is faster.\n");
    println!("{:24} {:>9} {:>9} {:>7}  kernel", "layer", "ms", "gemm ms", "ratio");
    for &product in TABLES.iter().flat_map(|table| table.pointwise) {
        compare(product, level)?;
    }
    Ok(())
}

fn compare(product: Product, level: Level) -> Result {
    let layer = Layer::parse(&product.text())?;
    let mut runner = layer.prepare(level, 1)?;
    let mut gemm = Gemm::new(product)?;
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..=PAIRS {
        let start = Instant::now();
        let y = runner.run()?;
        let middle = Instant::now();
        let z = gemm.run();
        let (our, their) = (middle - start, middle.elapsed());
        if pair == 0 {
            let Elements::F32(y) = y else { return Err("not f32".into()) };
            check(y, z, product.inner)?;
            continue;
        }
        let [our, their] = [our, their].map(|time| time.as_secs_f64() * 1e3);
        ours.push(our);
        theirs.push(their);
        ratios.push(our / their);
    }
    let [our, their, ratio] = [ours, theirs, ratios].map(median);
    let (text, kernel) = (layer.text(), runner.kernel_name());
    println!("{text:24} {our:>9.3} {their:>9.3} {ratio:>7.3}  {kernel}");
    Ok(())
}

/// Both computed the same product: sums of `terms` products of numbers below 1.
fn check(ours: &[f32], theirs: &[f32], terms: usize) -> Result {
    let error = ours.iter().zip(theirs).fold(0.0_f32, |e, (a, b)| e.max((a - b).abs()));
    let bound = (terms * terms) as f32 * f32::EPSILON;
    if ours.len() == theirs.len() && error <= bound {
        return Ok(());
    }
    Err(format!("the results are {error:e} apart, more than {bound:e}").into())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
