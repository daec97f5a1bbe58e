//! sepconv: the Keras file, on rayon's global pool.

use std::path::Path;

use anyhow::Result;
use sepconv::network::{NetworkPlan, PlanOptions, Session};
use sepconv::weights;

use super::{Engine, Picture};

pub struct Sepconv {
    session: Session,
    x: Vec<f32>,
}

impl Sepconv {
    pub fn load(keras: &Path, x: &Picture) -> Result<Self> {
        let model = weights::load(keras)?;
        let shape = [1, x.height, x.width, 3];
        let plan =
            NetworkPlan::new(&model.network, &model.weights, shape, &PlanOptions::default())?;
        Ok(Self { session: Session::new(plan)?, x: x.nhwc.clone() })
    }

    pub fn plan(&self) -> &NetworkPlan {
        self.session.plan()
    }
}

impl Engine for Sepconv {
    fn run(&mut self) -> Result<Vec<f32>> {
        // In the pool, as `sepconv bench` does, not to it and back with every step.
        rayon::scope(|_| self.session.run(&self.x))?;
        Ok(self.session.output().to_vec())
    }
}
