//! sepconv.

use std::path::Path;

use anyhow::Result;
use rayon::ThreadPool;
use sepconv::network::{NetworkPlan, PlanOptions, Session};

use super::{Engine, Picture};

pub struct Sepconv {
    session: Session,
    x: Vec<f32>,
    pool: ThreadPool,
}

impl Sepconv {
    pub fn new(keras: &Path, x: &Picture, threads: usize) -> Result<Self> {
        let model = sepconv::weights::keras::load(keras)?;
        let shape = [1, x.height, x.width, 3];
        let options = PlanOptions::default();
        let plan = NetworkPlan::new(&model.network, &model.weights, shape, &options)?;
        let session = Session::with_threads(plan, threads)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(Self { session, x: x.nhwc.clone(), pool })
    }

    pub fn multiply_adds(&self) -> u64 {
        self.session.plan().multiply_adds()
    }
}

impl Engine for Sepconv {
    fn name(&self) -> &'static str {
        "sepconv"
    }

    fn version(&self) -> &'static str {
        "this commit"
    }

    fn run(&mut self) -> Result<()> {
        let Self { session, x, pool } = self;
        Ok(pool.install(|| session.run(x))?)
    }

    fn logits(&self) -> Result<Vec<f32>> {
        Ok(self.session.output().to_vec())
    }
}
