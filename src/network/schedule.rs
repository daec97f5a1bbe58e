//! How a plan runs on a number of threads: which steps take turns, in how many bands of rows, and
//! where every value lies.

use super::arena::Unit;
use super::depth_first::DepthFirstPlan;
use super::flow::ValueId;
use super::layout::{Places, Target};
use super::step::{Operands, Step};
use super::turns::Group;

/// What a session runs by.
#[derive(Debug)]
pub(super) struct Schedule {
    /// In order of their steps.
    pub(super) groups: Vec<Group>,
    /// By step.
    pub(super) operands: Vec<Operands>,
    /// Where the reported values lie.
    pub(super) reports: Vec<Target>,
    /// In units.
    pub(super) arena_len: usize,
}

impl Schedule {
    /// None if the values take more than a slice can hold.
    pub(super) fn new(
        steps: &[Step],
        places: &Places,
        depth_first: &DepthFirstPlan,
        reports: impl Iterator<Item = ValueId>,
        threads: usize,
    ) -> Option<Self> {
        let groups = depth_first.groups(places, threads);
        let layout = places.layout(&groups)?;
        let operands = steps.iter().map(|step| step.operands(&layout)).collect();
        let reports = reports.map(|v| layout.target(v)).collect();
        let arena_len = layout.arena_len;
        Some(Self { groups, operands, reports, arena_len })
    }

    pub(super) fn arena_bytes(&self) -> usize {
        self.arena_len * size_of::<Unit>()
    }

    /// How often each step runs for a picture if it runs depth first, 0 if it runs as a whole.
    pub(super) fn turns(&self) -> Vec<usize> {
        let mut turns = vec![0; self.operands.len()];
        for turn in self.groups.iter().flat_map(|group| &group.turns) {
            turns[turn.step] += 1;
        }
        turns
    }
}
