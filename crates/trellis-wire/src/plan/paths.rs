//! Where in a function's types streams and futures are.
//!
//! A path begins with the number of the parameter (0 for the result) and goes on with the number of
//! each field, tuple member, list element and stream element on the way. Options, results, variants
//! and futures add nothing to it.

use super::{ASYNC_PATHS_MAX, Op, Plan, PlanError, PlanId};

/// The place of one stream or future.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsyncPath {
    /// The steps; `None` where any element of a list or stream can stand.
    pub steps: Vec<Option<u32>>,
    /// The node of the stream or future.
    pub plan: PlanId,
}

impl AsyncPath {
    /// Returns the path as plain numbers, when there is no list or stream on the way.
    pub fn fixed(&self) -> Option<Vec<u32>> {
        self.steps.iter().copied().collect()
    }

    /// Tells whether a stream or future at `path` stands at this place.
    pub fn is_at(&self, path: &[u32]) -> bool {
        let fits = |(step, index): (&Option<u32>, &u32)| step.is_none_or(|step| step == *index);
        self.steps.len() == path.len() && self.steps.iter().zip(path).all(fits)
    }
}

/// Collects the paths below the tuple `root`, outermost first.
pub(super) fn of_tuple(plan: &Plan, root: PlanId) -> Result<Vec<AsyncPath>, PlanError> {
    collect(plan, root, Depth::All)
}

/// Collects the paths below `root` that do not lead through another stream or future, in the same order.
pub(super) fn outermost(plan: &Plan, root: PlanId) -> Result<Vec<AsyncPath>, PlanError> {
    collect(plan, root, Depth::Outermost)
}

fn collect(plan: &Plan, root: PlanId, depth: Depth) -> Result<Vec<AsyncPath>, PlanError> {
    let mut walk = Walk {
        plan,
        depth,
        steps: Vec::new(),
        found: Vec::new(),
    };
    walk.visit(root)?;
    Ok(walk.found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    All,
    Outermost,
}

struct Walk<'a> {
    plan: &'a Plan,
    depth: Depth,
    steps: Vec<Option<u32>>,
    found: Vec<AsyncPath>,
}

impl Walk<'_> {
    /// Only branches with a stream or future in them are entered, and each ends in a path, so the
    /// bound on paths bounds the walk.
    fn visit(&mut self, id: PlanId) -> Result<(), PlanError> {
        let node = self.plan.node(id);
        if !node.has_async {
            return Ok(());
        }
        match node.op {
            Op::Fields(range) => {
                for (index, member) in self.plan.members(range).iter().enumerate() {
                    self.below(Some(index as u32), member.plan)?;
                }
                Ok(())
            }
            Op::Variant { cases, .. } => {
                for payload in self.plan.cases(cases).iter().flatten() {
                    self.visit(*payload)?;
                }
                Ok(())
            }
            Op::List { element } => self.below(None, element),
            Op::Stream { .. } | Op::Future { .. } if self.depth == Depth::Outermost => {
                self.found(id)
            }
            Op::Stream { element } => {
                self.found(id)?;
                element.map_or(Ok(()), |element| self.below(None, element))
            }
            Op::Future { payload } => {
                self.found(id)?;
                payload.map_or(Ok(()), |payload| self.visit(payload))
            }
            _ => Ok(()),
        }
    }

    fn below(&mut self, step: Option<u32>, id: PlanId) -> Result<(), PlanError> {
        self.steps.push(step);
        self.visit(id)?;
        self.steps.pop();
        Ok(())
    }

    fn found(&mut self, id: PlanId) -> Result<(), PlanError> {
        if self.found.len() >= ASYNC_PATHS_MAX {
            return Err(PlanError::TooManyAsyncPaths);
        }
        self.found.push(AsyncPath {
            steps: self.steps.clone(),
            plan: id,
        });
        Ok(())
    }
}
