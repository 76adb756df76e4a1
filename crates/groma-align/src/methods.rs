//! The registry of methods: one file and one line each.

mod a2po;
mod a_lol;
mod advantages;
mod attribute_reward;
mod beta_dpo;
mod cpo;
mod cringe;
mod distillation;
mod dpo;
mod f_dpg;
mod gmpo;
mod gold;
#[cfg(test)]
mod golden;
mod grpo;
mod ilql;
mod iw_opd;
mod kto;
mod listwise_dpo;
mod nash_md;
mod nlpo;
mod online_dpo;
mod orpo;
mod own_teacher;
mod policy;
mod ppo;
mod pro;
mod process_reward;
mod quark;
mod raft;
mod ranking;
mod reinforce;
mod reinforce_plus_plus;
mod remax;
mod reward;
mod rloo;
mod rrhf;
mod sdpo;
mod self_distillation;
mod sft;
mod simpo;
mod slic;
mod stable_alignment;
mod tdpo;
mod tpo;
mod unlikelihood;
mod whole;
mod xpo;

pub use reward::pair_loss as reward_pair_loss;

use crate::nearest::nearest;
use crate::{Error, Method};

/// All methods.
pub static METHODS: &[&Method] = &[
    &sft::METHOD,
    &distillation::METHOD,
    &gold::METHOD,
    &iw_opd::METHOD,
    &self_distillation::METHOD,
    &reward::METHOD,
    &process_reward::METHOD,
    &attribute_reward::METHOD,
    &dpo::METHOD,
    &beta_dpo::METHOD,
    &tdpo::METHOD,
    &kto::METHOD,
    &cpo::METHOD,
    &simpo::METHOD,
    &orpo::METHOD,
    &tpo::METHOD,
    &rrhf::METHOD,
    &pro::METHOD,
    &stable_alignment::METHOD,
    &listwise_dpo::METHOD,
    &slic::METHOD,
    &a_lol::METHOD,
    &ilql::METHOD,
    &unlikelihood::METHOD,
    &cringe::METHOD,
    &reinforce::METHOD,
    &reinforce_plus_plus::METHOD,
    &remax::METHOD,
    &rloo::METHOD,
    &grpo::METHOD,
    &gmpo::METHOD,
    &sdpo::METHOD,
    &ppo::METHOD,
    &nlpo::METHOD,
    &online_dpo::METHOD,
    &xpo::METHOD,
    &nash_md::METHOD,
    &a2po::METHOD,
    &raft::METHOD,
    &quark::METHOD,
    &f_dpg::METHOD,
];

impl Method {
    /// The method of that id or other name.
    pub fn find(name: &str) -> Option<&'static Method> {
        METHODS.iter().find(|method| method.id == name || method.names.contains(&name)).copied()
    }

    /// The method of that id or other name.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`] with the nearest name.
    pub fn require(name: &str) -> Result<&'static Method, Error> {
        Method::find(name).ok_or_else(|| {
            let ids = METHODS.iter().map(|method| method.id);
            let known: Vec<&str> = ids.chain(METHODS.iter().flat_map(|method| method.names.iter().copied())).collect();
            Error::UnknownMethod { name: name.into(), suggestion: nearest(name, &known) }
        })
    }
}
