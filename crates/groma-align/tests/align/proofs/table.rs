//! What is proved of each method and kind, and by what.

use super::by_token;
use super::theory::{self, Theory};
use super::world::{ASKED, BEST, GRADED, NAMED, THREE, TWO, World};
use groma_align::Group;
use serde_json::{Map, Value};

/// What is proved of a method, or of one of the kinds that a setting of it chooses among.
#[derive(Clone, Copy)]
pub(super) struct Proof {
    pub(super) method: &'static str,
    /// The setting, and what it chooses.
    pub(super) kind: Option<(&'static str, &'static str)>,
    pub(super) golden: Golden,
    pub(super) optimum: Optimum,
    /// Further settings with which the optimum is looked for.
    pub(super) given: &'static str,
    pub(super) swap: Swap,
}

/// Where values from an independent source are.
#[derive(Clone, Copy)]
pub(super) enum Golden {
    /// Cases of a fixture in `fixtures/`.
    Cases(&'static str),
    /// A test in a file of `src/`.
    Beside(&'static str),
}

/// What training comes to.
#[derive(Clone, Copy)]
pub(super) enum Optimum {
    /// A distribution over completions.
    Policy(Claim),
    /// No distribution, as the loss has no minimum, or none in closed form: what is better ends up above what is worse.
    Order(Order),
    /// Scores whose differences are those of the rewards, of rows of pairs.
    Scores(fn(World) -> Vec<Group>),
    /// The teacher.
    Teacher,
    /// Of each step of rows, how often it is right behind what was said before; all steps of an answer together, how often they are.
    Steps(fn(World) -> Vec<Group>),
    /// That of a test in another file of `tests/align`, which names the method.
    Elsewhere(&'static str),
}

/// A distribution that theory predicts.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    pub(super) world: World,
    pub(super) rows: fn(World) -> Vec<Group>,
    pub(super) theory: Theory,
    /// How far from it training may end, in nats.
    pub(super) near: f64,
}

/// What is put in order: the rows, and what of a completion is compared, from its log-probability, the reference's, and its length.
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) world: World,
    pub(super) rows: fn(World) -> Vec<Group>,
    pub(super) said: fn(f64, f64, f64) -> f64,
}

/// What becomes of metrics where chosen and rejected are exchanged.
#[derive(Clone, Copy)]
pub(super) enum Swap {
    /// They flip, for such rows.
    Flips(fn(World) -> Vec<Group>),
    /// There is nothing to exchange, for this reason.
    None(&'static str),
}

/// Settings that choose among rules rather than losses, and where those are tested.
pub(super) const RULES: &[(&str, &str)] = &[
    ("reward_funcs", "what a text is worth: rewards/*.rs"),
    ("cost_funcs", "what a text costs: rewards/*.rs"),
    ("reward_ensemble", "what several rewards are worth together: rewards/ensemble.rs"),
    ("watch", "what is looked at in the log, and no loss hears: watches.rs, and tests/align/watching.rs"),
    ("kl_controller", "how a coefficient moves: methods/ppo/kl_controller.rs"),
];

impl Proof {
    pub(super) fn name(&self) -> String {
        self.kind.map_or(self.method.to_owned(), |(setting, id)| format!("{} {setting}={id}", self.method))
    }

    /// The settings that choose the kind, and the further ones.
    pub(super) fn settings(&self) -> Map<String, Value> {
        let mut settings: Map<String, Value> = serde_json::from_str(self.given).unwrap();
        if let Some((setting, id)) = self.kind {
            settings.insert(setting.into(), id.into());
        }
        settings
    }

    /// Whether a case of a fixture is one of this method and kind.
    pub(super) fn is_of(&self, case: &Value) -> bool {
        let method = case["method"].as_str().unwrap_or(self.method) == self.method;
        let kind = |(setting, id)| {
            let default =
                || groma_align::Method::find(self.method).unwrap().all_parameters().find(|p| p.name == setting);
            let said = case["settings"].get(setting).or(case.get("kind")).cloned();
            let said = said.unwrap_or_else(|| default().unwrap().default_value());
            said == id || said == serde_json::json!([id])
        };
        method && self.kind.is_none_or(kind)
    }
}

const fn policy(world: World, rows: fn(World) -> Vec<Group>, theory: Theory) -> Optimum {
    Optimum::Policy(Claim { world, rows, theory, near: 2e-4 })
}

/// How far from what theory predicts a policy may end that learns from what it samples.
pub(super) const NEAR_BY_SAMPLING: f64 = 1e-3;

const fn sampled(world: World, theory: Theory) -> Optimum {
    Optimum::Policy(Claim { world, rows: World::prompts, theory, near: NEAR_BY_SAMPLING })
}

/// By log-ratios to the reference, where better completions are always preferred.
const BY_RATIO: Optimum =
    Optimum::Order(Order { world: TWO, rows: World::ordered_pairs, said: |logp, reference, _| logp - reference });

const fn dpo(kind: &'static str, golden: Golden, optimum: Optimum, given: &'static str) -> Proof {
    let kind = Some(("loss_type", kind));
    Proof { method: "dpo", kind, golden, optimum, given, swap: Swap::Flips(World::ordered_pairs) }
}

const fn divergence(id: &'static str, theory: Theory) -> Proof {
    let given = r#"{"beta": 1.0}"#;
    Proof { kind: Some(("f_divergence_type", id)), ..dpo(id, TRL, policy(THREE, World::pairs, theory), given) }
}

/// By log-ratios to the reference, of completions that are wanted or not.
const BY_LABEL: Optimum = Optimum::Order(Order {
    world: TWO,
    rows: |world| world.mismatched(World::judged),
    said: |logp, reference, _| logp - reference,
});

const fn kto(kind: &'static str, optimum: Optimum) -> Proof {
    let swap = Swap::Flips(|world| world.mismatched(World::labelled));
    Proof { method: "kto", swap, ..dpo(kind, ROWS, optimum, r#"{"beta": 0.5}"#) }
}

const fn slic(kind: &'static str, optimum: Optimum, given: &'static str) -> Proof {
    ranked("slic", Some(("loss_type", kind)), optimum, given)
}

/// A method of rankings.
const fn ranked(
    method: &'static str,
    kind: Option<(&'static str, &'static str)>,
    optimum: Optimum,
    given: &'static str,
) -> Proof {
    Proof { method, kind, golden: ROWS, optimum, given, swap: Swap::Flips(World::ranking) }
}

/// By mean log-probabilities of a token.
const BY_TOKEN: Optimum =
    Optimum::Order(Order { world: THREE, rows: World::ranking, said: |logp, _, length| logp / length });

/// The same of pairs: of completions that are rated alike, all but one would be less likely.
const BY_RATING: Optimum = Optimum::Order(Order {
    world: TWO,
    rows: |world| World::scored(world.ordered_pairs(), 1.0),
    said: |logp, _, length| logp / length,
});

/// By rankings of two: what is told apart, without what is learned beside it.
const fn tpo(kind: &'static str, theory: Theory, given: &'static str) -> Proof {
    let optimum = policy(if matches!(kind.as_bytes(), b"sigmoid") { THREE } else { TWO }, scored_pairs, theory);
    Proof { method: "tpo", swap: Swap::Flips(scored_ordered_pairs), ..dpo(kind, TRL, optimum, given) }
}

fn scored_pairs(world: World) -> Vec<Group> {
    World::scored(world.pairs(), 1.0)
}

fn scored_ordered_pairs(world: World) -> Vec<Group> {
    World::scored(world.ordered_pairs(), 1.0)
}

const fn tdpo(kind: &'static str, optimum: Optimum) -> Proof {
    Proof { method: "tdpo", ..dpo(kind, ROWS, optimum, r#"{"beta": 0.5}"#) }
}

const fn cpo(kind: &'static str, optimum: Optimum, given: &'static str) -> Proof {
    Proof { method: "cpo", ..dpo(kind, TRL, optimum, given) }
}

const fn sft(kind: &'static str, golden: Golden, theory: Theory, given: &'static str) -> Proof {
    let (kind, optimum) = (Some(("loss_type", kind)), policy(THREE, World::texts, theory));
    Proof { method: "sft", kind, golden, optimum, given, swap: Swap::None("rows prefer nothing") }
}

const REWARDS: Swap = Swap::None("completions are sampled: nothing is chosen before");

const POLICIES: Golden = Golden::Cases("policy_losses.json");
const TILT: Optimum = Optimum::Elsewhere("tilt.rs");

/// A method that samples, and is rewarded.
const fn rewarded(method: &'static str, golden: Golden) -> Proof {
    Proof { method, kind: None, golden, optimum: TILT, given: "{}", swap: REWARDS }
}

const GROUPS: &str = r#"{"beta": 0.5, "scale_rewards": "none", "num_generations": 32, "num_iterations": 2}"#;
const CAPPED: &str =
    r#"{"beta": 0.5, "scale_rewards": "none", "num_generations": 32, "num_iterations": 2, "epsilon_high": 5.0}"#;
/// GSPO, with the distance that has no ratio in it.
const WHOLE: &str = r#"{"beta": 0.5, "scale_rewards": "none", "num_generations": 32, "num_iterations": 2, "loss_type": "grpo",
    "use_bias_correction_kl": false}"#;
/// Two of a prompt say less than many.
const PAIRS: &str = r#"{"beta": 0.5, "num_generations": 2, "num_iterations": 2, "max_steps": 800}"#;

/// A policy gradient whose tokens hear of their own distance alone; its ratios are at work, as each collection is learned from twice.
const fn grpo(kind: &'static str, theory: Theory, given: &'static str) -> Proof {
    Proof { kind: Some(("loss_type", kind)), optimum: sampled(ASKED, theory), given, ..rewarded("grpo", POLICIES) }
}

/// Reward models of rankings.
const fn reward(kind: &'static str) -> Proof {
    Proof {
        method: "reward",
        kind: Some(("ranking_loss", kind)),
        golden: Golden::Beside("methods/reward.rs"),
        optimum: Optimum::Scores(World::rankings),
        given: "{}",
        swap: Swap::Flips(World::ranking),
    }
}

const fn f_dpg(kind: &'static str, optimum: Optimum) -> Proof {
    let golden = Golden::Beside("methods/f_dpg.rs");
    Proof { kind: Some(("f_divergence", kind)), optimum, ..rewarded("f_dpg", golden) }
}

const fn online(method: &'static str, kind: &'static str, optimum: Optimum, given: &'static str) -> Proof {
    let golden = Golden::Beside("methods/policy.rs");
    Proof { kind: Some(("loss_type", kind)), optimum, given, ..rewarded(method, golden) }
}

/// The loss of a pair is least at the same difference for all pairs, so that it does not count how often they are sampled.
const fn online_gap(method: &'static str, kind: &'static str, theory: Theory, given: &'static str) -> Proof {
    online(method, kind, sampled(NAMED, theory), given)
}

const fn a_lol(kind: Option<(&'static str, &'static str)>, theory: Theory, given: &'static str) -> Proof {
    Proof {
        swap: Swap::None("each answer has a reward of its own"),
        kind,
        given,
        optimum: policy(GRADED, World::ranking, theory),
        ..rewarded("a_lol", Golden::Beside("methods/a_lol.rs"))
    }
}

const LOSSES: Golden = Golden::Cases("losses.json");
const ROWS: Golden = Golden::Cases("row_losses.json");
const TRL: Golden = Golden::Cases("preference_losses.json");

/// All of them.
pub(super) const PROOFS: &[Proof] = &[
    sft("nll", Golden::Beside("token_losses/nll.rs"), theory::rows, "{}"),
    sft("chunked_nll", Golden::Beside("token_losses/nll.rs"), theory::rows, "{}"),
    sft("dft", Golden::Beside("token_losses/dft.rs"), theory::likeliest_of_rows, "{}"),
    Proof {
        method: "distillation",
        kind: None,
        golden: Golden::Cases("distillation/cases.json"),
        optimum: Optimum::Teacher,
        given: r#"{"lmbda": 0.0}"#,
        swap: Swap::None("rows prefer nothing"),
    },
    Proof {
        method: "gold",
        kind: None,
        golden: Golden::Cases("gold/cases.json"),
        optimum: Optimum::Elsewhere("gold.rs"),
        given: "{}",
        swap: Swap::None("rows prefer nothing"),
    },
    Proof { optimum: Optimum::Teacher, given: r#"{"max_completion_length": 2}"#, ..rewarded("iw_opd", POLICIES) },
    Proof {
        method: "self_distillation",
        kind: None,
        golden: Golden::Cases("self_distillation.json"),
        optimum: Optimum::Elsewhere("self_distillation.rs"),
        given: "{}",
        swap: Swap::None("rows prefer nothing"),
    },
    Proof {
        method: "reward",
        kind: None,
        golden: Golden::Beside("methods/reward.rs"),
        optimum: Optimum::Scores(World::pairs),
        given: "{}",
        swap: Swap::Flips(World::ordered_pairs),
    },
    reward("pairs"),
    reward("plackett_luce"),
    Proof {
        method: "process_reward",
        kind: None,
        golden: Golden::Cases("process_reward/cases.json"),
        optimum: Optimum::Steps(World::steps),
        given: "{}",
        swap: Swap::None("steps are right or wrong, and none is chosen"),
    },
    Proof {
        method: "attribute_reward",
        kind: None,
        golden: Golden::Cases("attributes.json"),
        optimum: Optimum::Elsewhere("attributes.rs"),
        given: r#"{"attributes": ["helpful", "long"]}"#,
        swap: Swap::None("each attribute is a number, and no answer is chosen"),
    },
    dpo("sigmoid", LOSSES, policy(THREE, World::pairs, theory::tilt), r#"{"beta": 0.5}"#),
    dpo("hinge", LOSSES, policy(TWO, World::pairs, theory::hinge), r#"{"beta": 0.7}"#),
    dpo("ipo", LOSSES, policy(TWO, World::pairs, theory::ipo), r#"{"beta": 0.2}"#),
    dpo("exo_pair", LOSSES, policy(TWO, World::pairs, theory::exo), r#"{"beta": 0.7, "label_smoothing": 0.05}"#),
    dpo("nca_pair", LOSSES, policy(THREE, World::pairs, theory::nca), r#"{"beta": 0.5}"#),
    dpo(
        "robust",
        LOSSES,
        policy(THREE, |world| world.flipped_pairs(4), theory::tilt),
        r#"{"beta": 0.5, "label_smoothing": 0.25}"#,
    ),
    dpo("bco_pair", LOSSES, policy(THREE, World::pairs, theory::bco), r#"{"beta": 0.5}"#),
    dpo("sppo_hard", LOSSES, policy(THREE, World::pairs, theory::sppo), r#"{"beta": 0.5}"#),
    dpo("aot", TRL, BY_RATIO, r#"{"beta": 0.5}"#),
    dpo(
        "aot_unpaired",
        TRL,
        // Where it is near, what is chosen changes places with its like from step to step.
        Optimum::Policy(Claim { world: TWO, rows: World::ordered_pairs, theory: theory::smoothed, near: 1e-3 }),
        r#"{"beta": 0.5, "label_smoothing": 0.1}"#,
    ),
    dpo("apo_zero", LOSSES, BY_RATIO, r#"{"beta": 0.5}"#),
    dpo("apo_down", LOSSES, BY_RATIO, r#"{"beta": 0.5}"#),
    dpo("discopop", LOSSES, policy(TWO, World::pairs, theory::discopop), r#"{"beta": 0.5, "discopop_tau": 1.0}"#),
    dpo("sft", TRL, policy(THREE, World::pairs, theory::chosen), "{}"),
    dpo("sigmoid_norm", TRL, policy(THREE, World::pairs, theory::tilt_by_token), r#"{"beta": 0.7}"#),
    divergence("forward_kl", theory::held_by_forward_kl),
    divergence("js_divergence", theory::held_by_jensen_shannon),
    divergence("alpha_divergence", theory::held_by_alpha),
    dpo("dpop", TRL, policy(THREE, World::pairs, theory::dpop), r#"{"beta": 0.5, "dpop_lambda": 0.5}"#),
    dpo(
        "sigmoid_length",
        TRL,
        policy(THREE, World::pairs, theory::tilt_less_length),
        r#"{"beta": 0.5, "length_alpha": 0.4}"#,
    ),
    Proof {
        kind: None,
        method: "beta_dpo",
        // Once nothing changes, the running mean is the batch's, and β is β_0.
        ..dpo("", ROWS, policy(THREE, World::pairs, theory::tilt), r#"{"beta": 0.5, "filter_ratio": 0.0}"#)
    },
    tdpo("tdpo1", policy(THREE, World::pairs, theory::tilt_of_distributions)),
    tdpo("tdpo2", BY_RATIO),
    kto("kto", BY_LABEL),
    kto("apo_zero_unpaired", BY_LABEL),
    kto("bco", policy(THREE, |world| world.mismatched(World::labelled), theory::classifier)),
    cpo("sigmoid", policy(THREE, World::pairs, theory::tilt_of_nothing), r#"{"beta": 0.5, "cpo_alpha": 0.0}"#),
    cpo("hinge", policy(TWO, World::pairs, theory::hinge_of_nothing), r#"{"beta": 0.7, "cpo_alpha": 0.0}"#),
    cpo("ipo", policy(TWO, World::pairs, theory::ipo_of_nothing), r#"{"beta": 0.2, "cpo_alpha": 0.0}"#),
    cpo("simpo", policy(TWO, World::pairs, theory::simpo), r#"{"beta": 1.0, "cpo_alpha": 0.0, "simpo_gamma": 0.5}"#),
    Proof { method: "simpo", kind: None, ..cpo("simpo", policy(TWO, World::pairs, theory::simpo), r#"{"beta": 1.0}"#) },
    Proof {
        method: "orpo",
        kind: None,
        ..cpo(
            "orpo",
            Optimum::Order(Order { world: THREE, rows: World::ordered_pairs, said: |logp, _, length| logp / length }),
            r#"{"beta": 1.0}"#,
        )
    },
    tpo("sigmoid", theory::tilt_of_nothing, r#"{"beta": 0.5, "tpo_alpha": 0.0}"#),
    tpo("hinge", theory::hinge_of_nothing, r#"{"beta": 0.7, "tpo_alpha": 0.0}"#),
    tpo("ipo", theory::ipo_of_nothing, r#"{"beta": 0.2, "tpo_alpha": 0.0}"#),
    tpo("tpo-l", theory::tpo_l, r#"{"beta": 1.0, "tpo_alpha": 0.0, "tpo_l_gamma": 0.5}"#),
    ranked("rrhf", None, BY_TOKEN, "{}"),
    ranked(
        "pro",
        Some(("loss_type", "pro")),
        policy(THREE, |world| World::scored(world.pairs(), 0.5), theory::pro),
        r#"{"sft_weight": 0.0}"#,
    ),
    ranked(
        "pro",
        Some(("loss_type", "plackett_luce")),
        policy(TWO, World::rankings, theory::plackett_luce),
        r#"{"sft_weight": 0.0}"#,
    ),
    ranked("stable_alignment", None, BY_RATING, r#"{"rating_margin": 0.2}"#),
    ranked("listwise_dpo", None, policy(TWO, World::rankings, theory::tilt), r#"{"beta": 0.7}"#),
    slic(
        "rank",
        policy(TWO, |world| World::scored(world.pairs(), 1.0), theory::slic),
        r#"{"sft_weight": 0.0, "slic_delta": 1.5, "length_penalty": 0.0}"#,
    ),
    slic(
        "margin",
        policy(TWO, |world| World::scored(world.pairs(), 1.0), theory::slic),
        r#"{"sft_weight": 0.0, "slic_delta": 1.5, "length_penalty": 0.0}"#,
    ),
    slic(
        "list",
        policy(TWO, |world| World::scored(world.pairs(), 1.0), theory::slic),
        r#"{"sft_weight": 0.0, "slic_delta": 1.5, "length_penalty": 0.0}"#,
    ),
    ranked(
        "slic",
        Some(("slic_regularizer", "kl")),
        Optimum::Order(Order { world: TWO, rows: scored_ordered_pairs, said: |logp, _, length| logp / length }),
        r#"{"sft_weight": 0.1, "slic_delta": 3.0}"#,
    ),
    slic("reward", policy(BEST, World::ranking, theory::best), r#"{"sft_weight": 0.0, "length_penalty": 0.0}"#),
    Proof {
        method: "unlikelihood",
        kind: None,
        golden: ROWS,
        optimum: policy(THREE, World::labelled, theory::unlikelihood),
        given: "{}",
        swap: Swap::Flips(World::labelled),
    },
    Proof {
        method: "cringe",
        kind: None,
        golden: ROWS,
        optimum: Optimum::Order(Order { world: TWO, rows: World::judged, said: |logp, reference, _| logp - reference }),
        given: "{}",
        swap: Swap::Flips(World::labelled),
    },
    grpo("dapo", by_token::equally, GROUPS),
    grpo("grpo", by_token::by_length, GROUPS),
    grpo("bnpo", by_token::equally, GROUPS),
    grpo("dr_grpo", by_token::equally, GROUPS),
    grpo("cispo", by_token::equally, CAPPED),
    grpo("sapo", by_token::by_length, GROUPS),
    grpo("luspo", by_token::equally, GROUPS),
    grpo("vespo", by_token::equally, GROUPS),
    Proof { kind: Some(("importance_sampling_level", "sequence")), ..grpo("", by_token::from_reference, WHOLE) },
    Proof {
        kind: Some(("scale_rewards", "group")),
        golden: Golden::Beside("methods/policy.rs"),
        ..grpo("", by_token::by_wins, PAIRS)
    },
    Proof { optimum: Optimum::Elsewhere("sdpo.rs"), ..rewarded("sdpo", Golden::Cases("sdpo.json")) },
    rewarded("reinforce", Golden::Beside("methods/advantages.rs")),
    rewarded("reinforce_plus_plus", Golden::Beside("methods/reinforce_plus_plus.rs")),
    rewarded("remax", Golden::Beside("methods/advantages.rs")),
    rewarded("rloo", POLICIES),
    Proof { optimum: sampled(ASKED, by_token::from_reference), given: GROUPS, ..rewarded("gmpo", POLICIES) },
    rewarded("ppo", Golden::Cases("ppo.json")),
    rewarded("nlpo", Golden::Beside("masked.rs")),
    online("online_dpo", "sigmoid", TILT, "{}"),
    online_gap(
        "online_dpo",
        "hinge",
        theory::hinge,
        r#"{"beta": 0.7, "preference": "bradley_terry", "max_steps": 200}"#,
    ),
    online_gap(
        "online_dpo",
        "ipo",
        theory::ipo_of_whole,
        r#"{"beta": 0.2, "preference": "bradley_terry", "max_steps": 200}"#,
    ),
    online("xpo", "sigmoid", TILT, "{}"),
    online_gap(
        "xpo",
        "hinge",
        theory::hinge,
        r#"{"beta": 0.7, "preference": "bradley_terry", "alpha": 0.0, "max_steps": 200}"#,
    ),
    online_gap(
        "xpo",
        "ipo",
        theory::ipo_of_whole,
        r#"{"beta": 0.2, "preference": "bradley_terry", "alpha": 0.0, "max_steps": 200}"#,
    ),
    rewarded("nash_md", Golden::Cases("online_losses.json")),
    rewarded("a2po", POLICIES),
    rewarded("raft", Golden::Beside("methods/raft.rs")),
    Proof { optimum: Optimum::Elsewhere("quark.rs"), ..rewarded("quark", Golden::Beside("methods/quark.rs")) },
    f_dpg("reverse_kl", TILT),
    f_dpg("forward_kl", TILT),
    f_dpg("jensen_shannon", TILT),
    Proof {
        given: r#"{"beta": 0.5, "num_generations": 32}"#,
        ..f_dpg("total_variation", sampled(ASKED, theory::tilt))
    },
    Proof {
        swap: Swap::None("each answer has a reward of its own"),
        optimum: Optimum::Elsewhere("ilql.rs"),
        ..rewarded("ilql", Golden::Cases("ilql.json"))
    },
    a_lol(None, theory::clipped_by_whole, r#"{"epsilon": 0.5}"#),
    a_lol(Some(("a_lol_variant", "sequence")), theory::clipped_by_token, r#"{"epsilon": 0.5}"#),
    a_lol(Some(("a_lol_variant", "ref_free")), theory::leftover, "{}"),
    a_lol(Some(("a_lol_variant", "kl")), theory::leftover_less_distance, r#"{"beta": 0.05}"#),
];
