//! Criterion: every layer of the tables on every level that this CPU has, on one thread; pointwise
//! layers also with the gemm crate; and `plan/…`, a plan made of packed weights. See README.md.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use sepconv::kernels::Level;
use sepconv_benches::layer::Layer;
use sepconv_benches::{Gemm, Product, TABLES, Table};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let mut criterion = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for table in TABLES {
        for &product in table.pointwise {
            let layer = Layer::parse(&product.text())?;
            measure(&mut criterion, table.name, &layer, Some(product))?;
        }
        for text in table.others {
            measure(&mut criterion, table.name, &Layer::parse(text)?, None)?;
        }
        plan(&mut criterion, &table)?;
    }
    criterion.final_summary();
    Ok(())
}

/// One group: a plan for each layer, from its packed weights.
fn plan(criterion: &mut Criterion, table: &Table) -> Result {
    let mut group = criterion.benchmark_group(format!("plan/{}", table.name));
    let pointwise = table.pointwise.iter().map(Product::text);
    for text in pointwise.chain(table.others.iter().map(|&text| text.to_owned())) {
        let (layer, mut planner) = (Layer::parse(&text)?, None);
        group.bench_function(text, |b| {
            let planner = planner.get_or_insert_with(|| layer.pack(Level::best()).expect("packed"));
            b.iter(|| planner().expect("a plan"));
        });
    }
    group.finish();
    Ok(())
}

/// One group: the layer on each level and its yardstick, each prepared when it is first measured.
fn measure(
    criterion: &mut Criterion,
    network: &str,
    layer: &Layer,
    product: Option<Product>,
) -> Result {
    let mut group = criterion.benchmark_group(format!("{network}/{}", layer.text()));
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(layer.prepare(Level::Scalar, 1)?.multiply_adds()));
    for level in Level::available() {
        let mut runner = None;
        group.bench_function(BenchmarkId::from_parameter(level), |b| {
            let runner = runner.get_or_insert_with(|| layer.prepare(level, 1).expect("prepared"));
            b.iter(|| runner.run().expect("a run").len());
        });
    }
    if let Some(product) = product {
        let mut gemm = None;
        group.bench_function("gemm crate", |b| {
            let gemm = gemm.get_or_insert_with(|| Gemm::new(product).expect("memory"));
            b.iter(|| gemm.run()[0]);
        });
    }
    group.finish();
    Ok(())
}
