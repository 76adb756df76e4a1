//! What the survey's sections on outer alignment without recursive oversight name, and where it is here.

/// A line of the map.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) source: &'static str,
    pub(super) here: Here,
}

/// Where it is.
pub(super) enum Here {
    /// What to type after `groma`, where its code is below `crates/`, and the test that holds it: a file below `crates/`, and a function.
    At { command: &'static str, code: &'static str, test: (&'static str, &'static str) },
    /// Nowhere, for this reason.
    LeftOut(&'static str),
}

const fn at(
    name: &'static str,
    source: &'static str,
    command: &'static str,
    code: &'static str,
    test: (&'static str, &'static str),
) -> Line {
    Line { name, source, here: Here::At { command, code, test } }
}

const fn left_out(name: &'static str, source: &'static str, why: &'static str) -> Line {
    Line { name, source, here: Here::LeftOut(why) }
}

/// A test that goes over all methods, by their proofs.
const OPTIMUM: (&str, &str) =
    ("groma-align/tests/align/proofs.rs", "rows_without_a_reference_reach_the_optimum_of_theory");
const AGAINST_REFERENCE: (&str, &str) =
    ("groma-align/tests/align/proofs.rs", "preferences_against_a_reference_reach_the_optimum_of_theory");
const TILT: (&str, &str) = ("groma-align/tests/align/tilt.rs", "the_tilted_reference_is_reached");
const NUMBERED: (&str, &str) = ("groma-data/tests/layouts.rs", "the_better_of_two_numbered_answers_comes_first");

pub(super) const BY_REINFORCEMENT: &[Line] = &[
    at(
        "Reward model of pairs",
        "Ziegler 2019; Stiennon 2020; Ouyang 2022; Bai 2022",
        "train reward",
        "groma-align/src/methods/reward.rs",
        OPTIMUM,
    ),
    at(
        "Reward model of rankings (Plackett-Luce)",
        "Zhu 2023",
        "train reward",
        "groma-align/src/methods/ranking.rs",
        (
            "groma-align/tests/align/reward_models.rs",
            "rankings_are_learned_by_either_loss_and_turn_round_when_exchanged",
        ),
    ),
    at(
        "PPO",
        "Schulman 2017",
        "train ppo",
        "groma-align/src/methods/ppo.rs",
        ("groma-align/tests/align/ppo.rs", "on_the_policy_that_sampled_nothing_has_moved"),
    ),
    at(
        "PPO with a penalty on the divergence",
        "Ziegler 2019; Stiennon 2020",
        "train ppo",
        "groma-align/src/methods/ppo/kl_controller.rs",
        TILT,
    ),
    at(
        "InstructGPT's three stages, PPO-ptx",
        "Ouyang 2022",
        "run reward",
        "groma-recipe/recipes/reward.toml",
        ("groma-align/tests/align/ppo.rs", "demonstrations_are_kept_where_they_count"),
    ),
    at(
        "Over-optimisation of reward models",
        "Gao 2023",
        "run overoptimisation",
        "groma-recipe/src/stages/frontier.rs",
        ("groma-recipe/tests/frontier.rs", "a_model_that_went_nowhere_is_nowhere_and_the_best_of_more_is_better"),
    ),
    at(
        "Rounds of fresh comparisons (HH-RLHF online)",
        "Bai 2022",
        "run iterative-dpo",
        "groma-recipe/recipes/iterative-dpo.toml",
        ("groma-recipe/tests/pairs.rs", "answers_become_pairs_to_train_on"),
    ),
    at(
        "RL4F",
        "Akyürek 2023",
        "run rl4f",
        "groma-align/src/rewards/refined.rs",
        ("groma-align/tests/align/rollouts.rs", "a_critic_learns_what_makes_a_frozen_editor_repair_an_answer"),
    ),
    left_out(
        "Sparrow",
        "Glaese 2022",
        "its rule models are reward models of labelled rows (`groma train reward`), several of which count with weights; reranking beside evidence from a search engine needs one",
    ),
    at(
        "Secrets of RLHF (PPO-max)",
        "Zheng 2023",
        "train ppo",
        "groma-align/src/scaling.rs",
        ("groma-align/tests/align/resume.rs", "what_ppo_carries_from_step_to_step"),
    ),
    left_out(
        "Open problems and limits of RLHF",
        "Casper 2023",
        "a list of problems, without a procedure; those that can be measured are in [watching](watching.md) and `groma run overoptimisation`",
    ),
    left_out("RLHF, a note", "Radhakrishnan 2022", "a description, without a procedure"),
    at("A-LoL", "Baheti 2023", "train a_lol", "groma-align/src/methods/a_lol.rs", AGAINST_REFERENCE),
    at("f-DPG", "Go 2023", "train f_dpg", "groma-align/src/methods/f_dpg.rs", TILT),
    at(
        "ALMoST",
        "Kim 2023",
        "run almost",
        "groma-recipe/src/stages/contrast.rs",
        ("groma-recipe/src/stages/contrast.rs", "preferences_are_transitive_with_and_without_filter"),
    ),
    at(
        "Second Thoughts",
        "Liu 2022",
        "run edits",
        "groma-align/src/rewrites/edits.rs",
        ("groma-align/tests/align/rewrites.rs", "a_revision_is_a_chain_of_edits_and_the_answer"),
    ),
    at(
        "ReST",
        "Gulcehre 2023",
        "train raft",
        "groma-align/src/methods/raft.rs",
        ("groma-align/src/methods/raft.rs", "the_best_is_learned_or_all_above_a_threshold_that_rises"),
    ),
    at(
        "Best of n, rejection sampling",
        "Stiennon 2020; Beirami 2024",
        "train raft",
        "groma-align/src/methods/raft.rs",
        ("groma-align/tests/align/tilt.rs", "the_best_of_n_is_reached"),
    ),
    at(
        "Safe RLHF",
        "Dai 2023",
        "train ppo",
        "groma-align/src/constraint.rs",
        ("groma-align/tests/align/ppo.rs", "costs_fall_below_their_limit_and_rise_without_one"),
    ),
    at(
        "Fine-grained rewards, distributed over tokens",
        "Wu 2023; Liu 2022 (SENSEI)",
        "train ppo",
        "groma-align/src/rewards/granularity.rs",
        ("groma-align/src/rewards/placed.rs", "what_lies_at_tokens_adds_up_to_the_whole"),
    ),
    at(
        "Quark",
        "Lu 2022",
        "train quark",
        "groma-align/src/methods/quark.rs",
        ("groma-align/tests/align/quark.rs", "reward_rises_with_the_tag"),
    ),
    at(
        "NLPO",
        "Ramamurthy 2022",
        "train nlpo",
        "groma-align/src/methods/nlpo.rs",
        ("groma-align/tests/align/tilt.rs", "the_tilt_of_what_may_be_chosen_is_reached"),
    ),
    at(
        "ILQL",
        "Snell 2022",
        "run ilql",
        "groma-align/src/methods/ilql.rs",
        ("groma-align/tests/align/ilql.rs", "parts_are_put_together_that_nobody_wrote_together"),
    ),
    at(
        "Pessimistic MLE",
        "Zhu 2023",
        "train reward",
        "groma-align/src/doubt.rs",
        ("groma-align/src/doubt.rs", "pessimism_succeeds_where_the_estimate_fails"),
    ),
    at(
        "Directional stimulus prompting",
        "Li 2023",
        "train rloo",
        "groma-align/src/rewards/stimulus.rs",
        ("groma-align/tests/align/rollouts.rs", "a_policy_learns_the_hint_that_makes_a_frozen_model_answer"),
    ),
    at(
        "Rewards of several goals",
        "Coste 2023; Rame 2024",
        "train grpo",
        "groma-align/src/rewards/ensemble.rs",
        ("groma-align/tests/align/reward_models.rs", "ensembles_of_reward_models"),
    ),
];

pub(super) const FROM_TEXT: &[Line] = &[
    at(
        "Supervised fine-tuning",
        "Ouyang 2022",
        "train sft",
        "groma-align/src/methods/sft.rs",
        ("groma-align/tests/align/training.rs", "packing_changes_what_is_computed_together_and_nothing_else"),
    ),
    at(
        "LIMA",
        "Zhou 2023",
        "train sft",
        "groma-align/src/methods/sft.rs",
        ("groma-align/tests/align/rows.rs", "what_the_assistant_says_is_learned_in_every_shape"),
    ),
    at(
        "Chain of hindsight",
        "Liu 2023",
        "run hindsight",
        "groma-align/src/rewrites/hindsight.rs",
        ("groma-align/tests/align/rewrites.rs", "a_chain_of_hindsight_learns_answers_alone"),
    ),
    at(
        "Self-diagnosis",
        "Schick 2021",
        "run self-diagnosis",
        "groma-eval/src/scorers/diagnosis.rs",
        ("groma-eval/src/scorers/diagnosis.rs", "the_probability_is_a_softmax_of_two_tokens"),
    ),
    at(
        "Self-debiasing",
        "Schick 2021",
        "eval",
        "groma-model/src/inference/guidance.rs",
        (
            "groma-model/src/inference/guidance.rs",
            "self_debiasing_has_its_golden_value_and_changes_nothing_where_nothing_is_likelier",
        ),
    ),
    at(
        "Self-detoxification",
        "Xu 2022",
        "run detox",
        "groma-model/src/inference/guidance.rs",
        ("groma-model/tests/identities.rs", "guided_samples_follow_the_rule_token_by_token"),
    ),
    at(
        "Stable alignment",
        "Liu 2023",
        "train stable_alignment",
        "groma-align/src/methods/stable_alignment.rs",
        (
            "groma-align/src/methods/stable_alignment.rs",
            "satisfied_margins_leave_imitation_alone_and_slopes_are_central_differences",
        ),
    ),
    at(
        "Conditional training",
        "Korbak 2023",
        "run conditional",
        "groma-align/src/rewrites/control_tokens.rs",
        ("groma-align/tests/align/rewrites.rs", "tags_say_which_answer_comes"),
    ),
    at(
        "SteerLM",
        "Dong 2023",
        "run steerlm",
        "groma-align/src/methods/attribute_reward.rs",
        ("groma-align/tests/align/attributes.rs", "the_optimum_is_the_mean_of_what_is_said_of_an_answer"),
    ),
    at(
        "Imitation learning from language feedback (ILF)",
        "Scheurer 2023",
        "run ilf",
        "groma-align/src/rewrites/refinement.rs",
        ("groma-align/tests/align/rewrites.rs", "a_refinement_follows_feedback_and_is_taken_apart_again"),
    ),
    at(
        "Masking of past tokens in chain of hindsight",
        "Liu 2022; Liu 2023",
        "train sft",
        "groma-align/src/forgetful.rs",
        ("groma-align/src/forgetful.rs", "attention_is_masked_as_a_dense_mask_does_it"),
    ),
    at(
        "GOLD, universal logit distillation",
        "Patiño 2025; Boizard 2024",
        "train gold",
        "groma-align/src/methods/gold.rs",
        ("groma-align/tests/align/gold.rs", "a_student_of_words_says_what_a_teacher_of_letters_says"),
    ),
    at(
        "Importance-weighted on-policy distillation",
        "arXiv:2606.22600",
        "train iw_opd",
        "groma-align/src/methods/iw_opd.rs",
        ("groma-align/tests/align/proofs.rs", "what_samples_reaches_the_optimum_of_theory"),
    ),
    at(
        "SDPO",
        "Hübotter 2026",
        "train sdpo",
        "groma-align/src/methods/sdpo.rs",
        ("groma-align/tests/align/sdpo.rs", "the_policy_says_without_feedback_what_it_said_with_it"),
    ),
    at(
        "Averaged teachers",
        "Shenfeld 2026; Hübotter 2026",
        "train self_distillation",
        "groma-align/src/moving.rs",
        ("groma-align/tests/align/moving.rs", "a_mean_of_the_model_teaches"),
    ),
    at(
        "Context distillation",
        "Askell 2021; Shenfeld 2026",
        "train self_distillation",
        "groma-align/src/methods/self_distillation.rs",
        (
            "groma-align/tests/align/self_distillation.rs",
            "the_student_says_without_the_context_what_the_teacher_says_with_it",
        ),
    ),
    at(
        "Unlikelihood",
        "Welleck 2019",
        "train unlikelihood",
        "groma-align/src/methods/unlikelihood.rs",
        ("groma-align/src/methods/unlikelihood.rs", "golden_value_and_slopes"),
    ),
    at(
        "Principle-driven self-alignment",
        "Sun 2023",
        "rewrite context",
        "groma-align/src/rewrites/context.rs",
        ("groma-align/tests/align/rewrites.rs", "a_context_that_was_added_can_be_removed"),
    ),
];

pub(super) const FROM_RANKINGS: &[Line] = &[
    at(
        "CRINGE",
        "Adolphs 2022",
        "train cringe",
        "groma-align/src/methods/cringe.rs",
        ("groma-align/src/methods/cringe.rs", "golden_value_and_slopes"),
    ),
    at(
        "SLiC",
        "Zhao 2022",
        "train slic",
        "groma-align/src/methods/slic.rs",
        ("groma-align/src/methods/slic.rs", "golden_values_and_identities"),
    ),
    at(
        "SLiC-HF",
        "Zhao 2023",
        "train slic",
        "groma-align/src/methods/slic.rs",
        ("groma-align/src/methods/slic.rs", "a_pair_is_a_ranking_of_two"),
    ),
    at(
        "RRHF",
        "Yuan 2023",
        "train rrhf",
        "groma-align/src/methods/rrhf.rs",
        ("groma-align/src/methods/rrhf.rs", "golden_value_and_slopes"),
    ),
    at(
        "RAFT",
        "Dong 2023",
        "train raft",
        "groma-align/src/methods/raft.rs",
        ("groma-align/src/methods/raft.rs", "the_best_is_learned_or_all_above_a_threshold_that_rises"),
    ),
    at(
        "PRO",
        "Song 2023",
        "train pro",
        "groma-align/src/methods/pro.rs",
        ("groma-align/src/methods/pro.rs", "golden_values_and_identities"),
    ),
    at("DPO", "Rafailov 2023", "train dpo", "groma-align/src/methods/dpo.rs", AGAINST_REFERENCE),
    at(
        "HH-RLHF (data)",
        "Bai 2022",
        "train dpo",
        "groma-data/src/layout.rs",
        ("groma-data/tests/real_files.rs", "anthropic_transcripts_become_pairs"),
    ),
    at("SHP (data)", "Ethayarajh 2022", "train dpo", "groma-data/src/comparisons.rs", NUMBERED),
    at(
        "UltraFeedback (data)",
        "Cui 2023",
        "train dpo",
        "groma-data/src/layout.rs",
        ("groma-data/tests/layouts.rs", "a_prompt_inside_the_answers_is_taken_off"),
    ),
    left_out(
        "OpenAssistant (data)",
        "Köpf 2023",
        "its rows are messages that name their parents, where a layout reads a row at a time; the conversations and pairs that people publish of it are read",
    ),
    at("WebGPT (data)", "Nakano 2021", "train dpo", "groma-data/src/comparisons.rs", NUMBERED),
    at("Summaries (data)", "Stiennon 2020", "train dpo", "groma-data/src/comparisons.rs", NUMBERED),
];
