//! Identities of the forward and backward pass: the tree against plain sequences, the cache against the tree, threads,
//! batches, gradients against central differences, and edits that must be no-ops.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;

use groma_kernels::{Backend, Cotangent, Cpu, Gradients, HeadWants, Naive, Tape, Var};
use groma_model::generate::{
    Beside, Decoding, Event, Generation, GenerationContext, GenerationPrompt, generate, generate_each, generate_from,
    generate_guided, generate_mixed,
};
use groma_model::guidance::{ByAdvantage, Guidance, Guide, Rule, SelfDebias};
use groma_model::sampling::SamplingParameters;
use groma_model::score::{ScoreOptions, ScoreRequest, score, score_from};
use groma_model::{
    Address, Head, HookPoint, Hooks, Intervention, Lora, Pass, PrefixCache, Room, Site, TokenTree, Transformer, View,
    divergence, linear_modules,
};
use groma_run::Seed;
use rand_chacha::rand_core::Rng;

mod support;
use support::{model, model_on, random, spec, tokens, weights};

fn floats(model: &Transformer, x: &Var) -> Vec<f32> {
    model.backend().download(x.buffer())
}

/// Sum of the log-probabilities of every token behind the first on each path, its gradients, and the hidden states.
fn run(model: &Transformer, trees: &[TokenTree], targets: &[Vec<groma_model::SegmentId>]) -> (f64, Gradients) {
    let mut gradients = Gradients::new();
    let mut total = 0.0;
    for (tree, segments) in trees.iter().zip(targets) {
        let mut tape = Tape::recording(model.backend().clone());
        let hidden = model.hidden(&mut tape, tree, &Pass::default()).unwrap();
        let (mut rows, mut goals) = (Vec::new(), Vec::new());
        for &segment in segments {
            let predictors = tree.predictors(segment);
            rows.extend(predictors.rows);
            goals.extend(predictors.targets);
        }
        let hidden = tape.gather_rows(&hidden, &rows.into());
        let unembed = model.unembed().unwrap();
        let cap = model.spec().final_softcap;
        let head = tape.head(&hidden, &unembed, &goals.into(), cap, 1.0, HeadWants::default());
        total += head.output().logp.iter().map(|&x| f64::from(x)).sum::<f64>();
        let d_logp = vec![1.0; head.output().logp.len()];
        tape.backward(vec![Cotangent::Head { head: &head, d_logp: &d_logp, d_entropy: &[] }], &mut gradients);
    }
    (total, gradients)
}

#[test]
fn a_tree_equals_separate_sequences_forward_and_backward() {
    for kind in 0..4 {
        let model = model(kind);
        let (prompt, chosen, rejected) = (tokens(1, 9), tokens(2, 7), tokens(3, 5));
        let mut tree = TokenTree::new();
        let root = tree.root(&prompt);
        let (a, b) = (tree.child(root, &chosen), tree.child(root, &rejected));
        let mut separate = Vec::new();
        for completion in [&chosen, &rejected] {
            let mut tree = TokenTree::new();
            let root = tree.root(&prompt);
            let leaf = tree.child(root, completion);
            separate.push((tree, vec![leaf]));
        }
        let (trees, targets): (Vec<_>, Vec<_>) = separate.into_iter().unzip();
        let (shared, shared_gradients) = run(&model, &[tree], &[vec![a, b]]);
        let (plain, plain_gradients) = run(&model, &trees, &targets);
        assert!((shared - plain).abs() < 1e-5 * plain.abs(), "kind {kind}: {shared} and {plain}");
        for (id, gradient) in plain_gradients.iter() {
            let other = shared_gradients.get(id).unwrap();
            let (gradient, other) = (model.backend().read(gradient), model.backend().read(other));
            let size = gradient.iter().fold(1e-3f32, |a, x| a.max(x.abs()));
            for (x, y) in gradient.iter().zip(&*other) {
                assert!((x - y).abs() < 1e-5 * size, "kind {kind}, {}: {x} and {y}", model.parameters().get(id).name);
            }
        }
    }
}

#[test]
fn gradients_equal_central_differences() {
    for kind in 0..4 {
        let mut model = model(kind);
        let mut tree = TokenTree::new();
        let root = tree.root(&tokens(4, 5));
        let segments = vec![tree.child(root, &tokens(5, 4)), tree.child(root, &tokens(6, 3))];
        let (trees, targets) = (vec![tree], vec![segments]);
        let (_, gradients) = run(&model, &trees, &targets);
        for id in model.parameters().trainable() {
            let len = model.parameters().get(id).len();
            let gradient = model.backend().download(gradients.get(id).unwrap());
            // The direction of the gradient itself gives the largest, best conditioned difference.
            let norm = gradient.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let step = 2e-3 / norm.max(1e-3);
            let mut shifted = |sign: f64| {
                let backend = model.backend().clone();
                let buffer = model.parameters_mut().get_mut(id).buffer_mut().unwrap();
                let mut moved = backend.download(buffer);
                for (w, g) in moved.iter_mut().zip(&gradient) {
                    *w += (sign * step * f64::from(*g)) as f32;
                }
                *buffer = backend.upload(&moved);
                run(&model, &trees, &targets).0
            };
            let up = shifted(1.0);
            let down = shifted(-2.0);
            shifted(1.0);
            let numeric = (up - down) / (2.0 * step);
            let exact = norm * norm;
            let name = &model.parameters().get(id).name;
            assert!(
                (numeric - exact).abs() < 2e-2 * exact + 2e-3 * norm,
                "kind {kind}, {name} ({len} values): {numeric} and {exact}"
            );
        }
    }
}

/// Gradients, scores and samples of the CPU are those of the naive backend.
#[test]
fn backends_agree() {
    let close = |x: f32, y: f32| (x - y).abs() < 1e-5 * y.abs().max(1.0);
    for kind in 0..4 {
        let [naive, cpu] = [Arc::new(Naive) as Arc<dyn Backend>, Arc::new(Cpu::new())].map(|b| model_on(kind, b));
        let mut tree = TokenTree::new();
        let root = tree.root(&tokens(4, 9));
        let segments = vec![tree.child(root, &tokens(5, 7)), tree.child(root, &tokens(6, 5))];
        let (trees, targets) = (vec![tree], vec![segments]);
        let [(total, gradients), (expected, others)] = [&cpu, &naive].map(|model| run(model, &trees, &targets));
        assert!((total - expected).abs() < 1e-5 * expected.abs(), "kind {kind}: {total} and {expected}");
        for (id, gradient) in gradients.iter() {
            let (found, expected) = (cpu.backend().read(gradient), naive.backend().read(others.get(id).unwrap()));
            let size = expected.iter().fold(1.0f32, |size, x| size.max(x.abs()));
            let largest = found.iter().zip(&*expected).fold(0.0f32, |largest, (x, y)| largest.max((x - y).abs()));
            assert!(largest < 1e-5 * size, "kind {kind}, {}: {largest}", cpu.parameters().get(id).name);
        }

        let request = |i: u64| ScoreRequest { context: tokens(i % 3, 12), continuation: tokens(50 + i, 6) };
        let requests: Vec<_> = (0..9).map(request).collect();
        let options = ScoreOptions { budget_tokens: 20, ..ScoreOptions::default() };
        let scored = |model| score(model, &requests, &options, &mut |_| true).unwrap();
        for (found, expected) in scored(&cpu).iter().zip(scored(&naive)) {
            assert!(found.logps.iter().zip(&expected.logps).all(|(&x, &y)| close(x, y)), "kind {kind}");
        }

        let parameters = SamplingParameters { max_new_tokens: 40, samples: 2, ..SamplingParameters::default() };
        let context = GenerationContext { parameters: &parameters, decode: &|_| String::new(), view: View::plain() };
        let prompts: Vec<_> = (0..3).map(|i| GenerationPrompt { ids: tokens(i, 5), seed: Seed::new(i) }).collect();
        let sampled = |model| generate(model, &prompts, &context, &mut |_| true).unwrap().concat();
        for (found, expected) in sampled(&cpu).iter().zip(sampled(&naive)) {
            assert_eq!(found.ids, expected.ids, "kind {kind}");
            assert!(found.logps.iter().zip(&expected.logps).all(|(&x, &y)| close(x, y)), "kind {kind}");
        }
    }
}

#[test]
fn scores_have_the_same_bits_in_any_batch_and_on_any_number_of_threads() {
    for kind in 0..4 {
        let model = model(kind);
        let context = tokens(10, 20);
        let requests: Vec<_> = (0..40)
            .map(|i| {
                let shared = if i % 3 == 0 { 20 } else { (i * 7) as usize % 20 };
                ScoreRequest { context: context[..shared].to_vec(), continuation: tokens(100 + i, 1 + i as usize % 9) }
            })
            .collect();
        let options = ScoreOptions::default();
        let all = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| score(&model, &requests, &options, &mut |_| true).unwrap())
        };
        let together = all(1);
        assert_eq!(together, all(2));
        assert_eq!(together, all(3));
        let small = ScoreOptions { budget_tokens: 30, ..options };
        assert_eq!(together, score(&model, &requests, &small, &mut |_| true).unwrap());
        for (request, expected) in requests.iter().zip(&together) {
            let alone = score(&model, std::slice::from_ref(request), &options, &mut |_| true).unwrap();
            assert_eq!(&alone[0], expected, "kind {kind}");
        }
    }
}

/// Questions under one long prefix, some of them with longer and longer contexts of one text, whose predictions lie where
/// other contexts share.
#[test]
fn a_prefix_that_outlives_a_pass_changes_no_bit() {
    for kind in 0..4 {
        let model = model(kind);
        let examples = tokens(7, 40);
        let question = |i: u64| [&examples[..], &tokens(50 + i / 4, 3 + i as usize % 11)].concat();
        let mut requests: Vec<_> =
            (0..24).map(|i| ScoreRequest { context: question(i), continuation: vec![i as u32 % 4] }).collect();
        let text = [&examples[..], &tokens(9, 30)].concat();
        requests.extend((1..14).map(|i| {
            let (context, continuation) = text.split_at(5 * i);
            ScoreRequest {
                context: context.to_vec(),
                continuation: continuation[..(2 + i).min(continuation.len())].to_vec(),
            }
        }));
        requests.push(ScoreRequest { context: text.clone(), continuation: vec![] });
        let scored = |budget_tokens| {
            let options = ScoreOptions { budget_tokens, entropy: true, ..ScoreOptions::default() };
            score(&model, &requests, &options, &mut |_| true).unwrap()
        };
        let at_once = scored(100_000);
        for budget in [1, 6, 17, 50, 90] {
            assert_eq!(at_once, scored(budget), "kind {kind}, budget {budget}");
        }
        for (request, expected) in requests.iter().zip(&at_once) {
            let options = ScoreOptions { entropy: true, ..ScoreOptions::default() };
            let alone = score(&model, std::slice::from_ref(request), &options, &mut |_| true).unwrap();
            assert_eq!(&alone[0], expected, "kind {kind}");
        }
    }
}

#[test]
fn rows_that_nobody_asks_for_change_no_bit_of_the_others() {
    for kind in 0..4 {
        let model = model(kind);
        let mut tree = TokenTree::new();
        let root = tree.root(&tokens(1, 9));
        tree.child(root, &tokens(2, 5));
        tree.child(root, &tokens(3, 4));
        tree.root(&tokens(4, 6));
        let rows: Arc<[u32]> = [3, 4, 8, 9, 13, 15, 16, 20, 23].into();
        let mut tape = Tape::inference(model.backend().clone());
        let all = model.hidden(&mut tape, &tree, &Pass::default()).unwrap();
        let expected = tape.gather_rows(&all, &rows);
        let found = model.hidden_at(&mut tape, &tree, &rows, &Pass::default()).unwrap();
        assert_eq!(floats(&model, &found), floats(&model, &expected), "kind {kind}");
    }
}

#[test]
fn samples_do_not_depend_on_the_batch_and_carry_their_log_probabilities() {
    for kind in 0..4 {
        let model = model(kind);
        let decode = |ids: &[u32]| ids.iter().map(|id| format!("{id} ")).collect::<String>();
        let parameters =
            SamplingParameters { max_new_tokens: 12, samples: 3, stop_ids: vec![0], ..SamplingParameters::default() };
        let context = GenerationContext { parameters: &parameters, decode: &decode, view: View::plain() };
        let prompts: Vec<_> =
            (0..5).map(|i| GenerationPrompt { ids: tokens(20 + i % 2, 3 + i as usize), seed: Seed::new(i) }).collect();
        let together = generate(&model, &prompts, &context, &mut |_| true).unwrap();
        for (prompt, expected) in prompts.iter().zip(&together) {
            let alone = generate(&model, std::slice::from_ref(prompt), &context, &mut |_| true).unwrap();
            assert_eq!(&alone[0], expected);
            for generation in expected {
                let request = ScoreRequest { context: prompt.ids.clone(), continuation: generation.ids.clone() };
                let scored = score(&model, &[request], &ScoreOptions::default(), &mut |_| true).unwrap();
                for (a, b) in scored[0].logps.iter().zip(&generation.logps) {
                    assert!((a - b).abs() < 1e-4, "kind {kind}: {a} and {b}");
                }
            }
        }
    }
}

/// The samples of a call, by prompt, each handed out once; as many tokens were told as they have.
fn collected(
    prompts: &[GenerationPrompt],
    make: impl FnOnce(&mut dyn FnMut(Event<'_>) -> bool) -> groma_model::Result<()>,
) -> Vec<Vec<Generation>> {
    let mut made: Vec<BTreeMap<usize, Generation>> = vec![BTreeMap::new(); prompts.len()];
    let mut drawn = 0;
    make(&mut |event| {
        match event {
            Event::Drawn(tokens) => drawn += tokens.len(),
            Event::Ended { prompt, sample, generation } => {
                drawn -= generation.ids.len();
                assert_eq!(made[prompt].insert(sample, generation), None);
            }
        }
        true
    })
    .unwrap();
    assert_eq!(drawn, 0);
    made.into_iter().map(|samples| samples.into_values().collect()).collect()
}

/// However many samples go on at once, for however few keys there is room, with others whatever they are.
#[test]
fn samples_have_the_same_bits_in_any_room() {
    let models: Vec<Transformer> = (0..4).map(model).collect();
    let decode = |ids: &[u32]| ids.iter().map(|id| format!("{id} ")).collect::<String>();
    for case in 0..48u64 {
        let mut rng = Seed::new(case).rng();
        let mut below = |limit: usize| rng.next_u32() as usize % limit;
        let (model, guide) = (&models[case as usize % 4], &models[below(4)]);
        let ids = |below: &mut dyn FnMut(usize) -> usize| {
            let shared = tokens(below(2) as u64, 3 + below(40));
            [shared, tokens(10 + below(30) as u64, below(9))].concat()
        };
        let count = 1 + below(7);
        let mut prompts: Vec<_> = (0..count as u64)
            .map(|i| GenerationPrompt { ids: ids(&mut below), seed: Seed::new(100 * case + i) })
            .collect();
        if case % 4 == 1 {
            // Samples that end at once make believe that all are short, so that later ones have to make way.
            prompts.iter_mut().step_by(3).for_each(|prompt| prompt.ids = tokens(case, 127));
        }
        let asked: Vec<Vec<u32>> = prompts.iter().map(|_| ids(&mut below)).collect();
        let parameters = SamplingParameters {
            max_new_tokens: 1 + below(90),
            temperature: [0.0, 0.7, 1.0, 1.5][below(4)],
            top_k: [0, 0, 7][below(3)],
            top_p: [1.0, 1.0, 0.9][below(3)],
            repetition_penalty: [1.0, 1.0, 1.2][below(3)],
            stop_ids: (0..below(4) as u32).collect(),
            samples: 1 + below(4),
            ..SamplingParameters::default()
        };
        let steered = Hooks::new().intervene(Intervention {
            point: HookPoint::block(1, Site::ResidPost),
            address: Address { sequence: Some(0), ..Address::default() },
            edit: groma_kernels::Edit::Scale { factor: 0.5 },
        });
        // An edit of one sample alone would be an error where others have its prompt.
        let hooked =
            View::from(if parameters.samples == 1 { steered } else { Hooks::new().read(HookPoint::block(0, Site::Z)) });
        let view = if case % 3 == 2 { &hooked } else { View::plain() };
        let context = GenerationContext { parameters: &parameters, decode: &decode, view };
        let guides = [Guide { transformer: guide, view: View::plain(), prompts: &asked }];
        let guidance = Guidance { guides: &guides, rule: &SelfDebias { decay: 10.0, floor: 0.01 } };
        let made = |room, guidance| {
            let decoding = Decoding { guidance, room: Some(room) };
            collected(&prompts, |told| generate_each(model, &prompts, &context, &decoding, told))
        };
        let mixed = |room| {
            let beside = Beside { transformer: guide, adapter: true, share: 0.4 };
            collected(&prompts, |told| generate_mixed(model, beside, &prompts, &context, Some(room), told))
        };
        let room = Room { sequences: 1 + below(9), rows: below(600) };
        let plain = made(Room::default(), None);
        assert_eq!(made(room, None), plain, "case {case}: {room:?}");
        if case % 3 == 0 {
            assert_eq!(made(room, Some(&guidance)), made(Room::default(), Some(&guidance)), "case {case}: {room:?}");
            assert_eq!(mixed(room), mixed(Room::default()), "case {case}: {room:?}");
        }
        if case % 3 == 1 {
            let alone = |prompt| generate(model, std::slice::from_ref(prompt), &context, &mut |_| true).unwrap();
            assert_eq!(prompts.iter().flat_map(alone).collect::<Vec<_>>(), plain, "case {case}");
        }
    }
}

/// A guide that says what the model says changes nothing; one that is asked otherwise steers each token as the rule does it from
/// scores, whatever else is in the batch.
#[test]
fn guided_samples_follow_the_rule_token_by_token() {
    let rule = SelfDebias { decay: 50.0, floor: 0.01 };
    let decode = |ids: &[u32]| ids.iter().map(|id| format!("{id} ")).collect::<String>();
    for kind in [0, 2] {
        let model = model(kind);
        let prompts: Vec<_> =
            (0..4).map(|i| GenerationPrompt { ids: tokens(30 + i % 2, 3 + i as usize), seed: Seed::new(i) }).collect();
        let guided = |parameters: &SamplingParameters, prompts: &[GenerationPrompt], asked: &[Vec<u32>]| {
            let context = GenerationContext { parameters, decode: &decode, view: View::plain() };
            let guides = [Guide { transformer: &model, view: View::plain(), prompts: asked }];
            let guidance = Guidance { guides: &guides, rule: &rule };
            generate_guided(&model, prompts, &context, &guidance, &mut |_| true).unwrap()
        };
        let sampled =
            SamplingParameters { max_new_tokens: 9, samples: 2, stop_ids: vec![0], ..SamplingParameters::default() };
        let context = GenerationContext { parameters: &sampled, decode: &decode, view: View::plain() };
        let same: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.ids.clone()).collect();
        let plain = generate(&model, &prompts, &context, &mut |_| true).unwrap();
        let unchanged = guided(&sampled, &prompts, &same);
        let ids = |all: &[Vec<Generation>]| all.concat().into_iter().map(|made| made.ids).collect::<Vec<_>>();
        assert_eq!(ids(&unchanged), ids(&plain), "kind {kind}");

        let greedy = SamplingParameters { stop_ids: vec![0], ..SamplingParameters::greedy(6) };
        let asked: Vec<Vec<u32>> = (0..4).map(|i| tokens(70 + i, 12 - i as usize)).collect();
        let together = guided(&greedy, &prompts, &asked);
        for ((prompt, other), expected) in prompts.iter().zip(&asked).zip(&together) {
            assert_eq!(&guided(&greedy, std::slice::from_ref(prompt), std::slice::from_ref(other))[0], expected);
            let made = &expected[0].ids;
            for place in 0..made.len() {
                let after = |prompt: &[u32]| next_logps(&model, &[prompt, &made[..place]].concat());
                let weights = rule.steer(&after(&prompt.ids), &[after(other)]);
                let best = (0..weights.len()).max_by(|&a, &b| weights[a].total_cmp(&weights[b])).unwrap();
                let gap = weights[best] - weights[made[place] as usize];
                assert!(gap < 1e-3, "kind {kind}: {} for {best} at {place}", made[place]);
            }
        }
        let few = Guidance {
            guides: &[Guide { transformer: &model, view: View::plain(), prompts: &asked[..2] }],
            rule: &rule,
        };
        let error = generate_guided(&model, &prompts, &context, &few, &mut |_| true).unwrap_err().to_string();
        assert!(error.contains("2 prompts for 4"), "{error}");
    }
}

/// What next tokens are worth steers each token as the rule does it from a pass of its own, whatever else is decoded and in whatever
/// room; a model that does not say so is refused.
#[test]
fn samples_by_worth_follow_the_rule_token_by_token() {
    let decode = |ids: &[u32]| ids.iter().map(|id| format!("{id} ")).collect::<String>();
    let rule = ByAdvantage { beta: 3.0 };
    let guidance = Guidance { guides: &[], rule: &rule };
    for kind in [0, 2] {
        let mut model = model(kind);
        let prompts: Vec<_> =
            (0..6).map(|i| GenerationPrompt { ids: tokens(30 + i % 2, 3 + i as usize), seed: Seed::new(i) }).collect();
        let parameters =
            SamplingParameters { max_new_tokens: 9, samples: 2, stop_ids: vec![0], ..SamplingParameters::default() };
        let context = |parameters| GenerationContext { parameters, decode: &decode, view: View::plain() };
        let refused = generate_guided(&model, &prompts, &context(&parameters), &guidance, &mut |_| true);
        assert!(matches!(refused, Err(groma_model::Error::NoActionValues { .. })), "{refused:?}");

        let heads = [Head::UNEMBEDDING, Head::VALUE, Head::Q1, Head::Q2, Head::TARGET_Q1, Head::TARGET_Q2];
        model.set_heads(&heads, Some(Seed::new(2))).unwrap();
        let made = |room, prompts: &[GenerationPrompt]| {
            let decoding = Decoding { guidance: Some(&guidance), room: Some(room) };
            collected(prompts, |told| generate_each(&model, prompts, &context(&parameters), &decoding, told))
        };
        let together = made(Room::default(), &prompts);
        for room in [Room { sequences: 1, rows: 0 }, Room { sequences: 5, rows: 40 }] {
            assert_eq!(made(room, &prompts), together, "kind {kind}: {room:?}");
        }
        let alone = |prompt| made(Room::default(), std::slice::from_ref(prompt));
        assert_eq!(prompts.iter().flat_map(alone).collect::<Vec<_>>(), together, "kind {kind}");

        let greedy = SamplingParameters { stop_ids: vec![0], ..SamplingParameters::greedy(6) };
        let made = generate_guided(&model, &prompts, &context(&greedy), &guidance, &mut |_| true).unwrap();
        let plain = generate(&model, &prompts, &context(&greedy), &mut |_| true).unwrap();
        assert_ne!(made, plain, "kind {kind}: worth is heard");
        for (prompt, made) in prompts.iter().zip(&made) {
            for place in 0..made[0].ids.len() {
                let read = [&prompt.ids, &made[0].ids[..place]].concat();
                let mut tree = TokenTree::new();
                tree.root(&read);
                let mut tape = Tape::inference(model.backend().clone());
                let hidden =
                    model.hidden_at(&mut tape, &tree, &[read.len() as u32 - 1].into(), &Pass::default()).unwrap();
                let worth = model.advantages(&hidden).unwrap().into_iter().map(f64::from).collect();
                let weights = rule.steer(&next_logps(&model, &read), &[worth]);
                let best = (0..weights.len()).max_by(|&a, &b| weights[a].total_cmp(&weights[b])).unwrap();
                let gap = weights[best] - weights[made[0].ids[place] as usize];
                assert!(gap < 1e-3, "kind {kind}: {} for {best} at {place}", made[0].ids[place]);
            }
        }
    }
}

/// Log-probabilities of all tokens behind some, each from a score.
fn next_logps(model: &Transformer, context: &[u32]) -> Vec<f64> {
    let request = |token| ScoreRequest { context: context.to_vec(), continuation: vec![token] };
    let requests: Vec<_> = (0..model.spec().vocab_size as u32).map(request).collect();
    let scored = score(model, &requests, &ScoreOptions::default(), &mut |_| true).unwrap();
    scored.iter().map(|scored| f64::from(scored.logps[0])).collect()
}

/// What a step of decoding takes, the step before has given back.
#[test]
fn steps_of_decoding_take_no_new_memory() {
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for kind in 0..4 {
        let (spec, cpu) = (spec(kind), Cpu::new());
        let weights = weights(&spec);
        let mut model = Transformer::new(spec, &weights, Arc::new(cpu.clone())).unwrap();
        model.parameters_mut().set_trainable(|_| false);
        model.freeze();
        let parameters = SamplingParameters { max_new_tokens: 90, samples: 3, ..SamplingParameters::default() };
        let context = GenerationContext { parameters: &parameters, decode: &|_| String::new(), view: View::plain() };
        let prompts: Vec<_> =
            (0..5).map(|i| GenerationPrompt { ids: tokens(i, 5 + i as usize), seed: Seed::new(i) }).collect();
        let mut held = Vec::new();
        let mut watch = |_| {
            held.push(cpu.memory().held_bytes);
            true
        };
        one_thread.install(|| generate(&model, &prompts, &context, &mut watch).unwrap());
        assert_eq!(held.len(), 90);
        assert!(held[2..].iter().all(|&bytes| bytes == held[2]), "kind {kind}: {held:?}");
    }
}

#[test]
fn own_patches_are_no_ops_and_foreign_ones_are_not() {
    for kind in 0..4 {
        let model = model(kind);
        let mut tree = TokenTree::new();
        tree.root(&tokens(30, 8));
        let points: Vec<_> = HookPoint::all(model.spec()).into_iter().filter(|p| p.site != Site::Pattern).collect();
        let reading: View = points.iter().fold(Hooks::new(), |hooks, &point| hooks.read(point)).into();
        let mut tape = Tape::inference(model.backend().clone());
        let plain = model.hidden(&mut tape, &tree, &Pass::of(&reading)).unwrap();
        let plain = floats(&model, &plain);
        for &point in &points {
            let own = floats(&model, &reading.hooks.get(point).unwrap());
            let patched = |values: Vec<f32>| {
                let edit = groma_kernels::Edit::Replace { values };
                let hooks = Hooks::new().intervene(Intervention { point, address: Address::default(), edit });
                let mut tape = Tape::inference(model.backend().clone());
                let hidden = model.hidden(&mut tape, &tree, &Pass::of(&hooks.into())).unwrap();
                floats(&model, &hidden)
            };
            assert_eq!(patched(own.clone()), plain, "kind {kind}, {point}");
            assert_ne!(patched(own.iter().map(|x| x + 0.5).collect()), plain, "kind {kind}, {point}");
        }
    }
}

#[test]
fn patterns_are_distributions_over_the_path() {
    let model = model(1);
    let mut tree = TokenTree::new();
    let root = tree.root(&tokens(31, 4));
    tree.child(root, &tokens(32, 3));
    tree.child(root, &tokens(33, 2));
    let point = HookPoint::block(1, Site::Pattern);
    let view: View = Hooks::new().read(point).into();
    let mut tape = Tape::inference(model.backend().clone());
    model.hidden(&mut tape, &tree, &Pass::of(&view)).unwrap();
    let pattern = view.hooks.get(point).unwrap();
    assert_eq!((pattern.rows(), pattern.width()), (4 * 9, 9));
    for (row, values) in floats(&model, &pattern).chunks(9).enumerate() {
        assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        // Row 7 is the first of the second child: it does not see the first child's rows 4..7.
        if row % 9 == 7 {
            assert!(values[4..7].iter().all(|&p| p == 0.0) && values[8] == 0.0);
        }
    }
}

#[test]
fn a_merged_adapter_is_the_attached_adapter() {
    for kind in 0..4 {
        let mut model = model(kind);
        let modules: Vec<_> = linear_modules(model.spec()).into_iter().map(|m| m.name).collect();
        let mut pairs = groma_model::lora::fresh_pairs(model.spec(), &modules, 3, Seed::new(5));
        let mut tree = TokenTree::new();
        tree.root(&tokens(40, 9));
        let hidden = |model: &Transformer, adapter: bool| {
            let mut tape = Tape::inference(model.backend().clone());
            floats(model, &model.hidden(&mut tape, &tree, &Pass::of(View::with_adapter(adapter))).unwrap())
        };
        let base = hidden(&model, true);
        for (name, pair) in &mut pairs {
            pair.b.values = random(Seed::new(6).named(name), pair.b.values.len(), 0.2);
        }
        let lora = Lora { scale: 0.7, dropout: 0.0, pairs };
        model.attach(&lora).unwrap();
        assert_eq!(model.adapter().unwrap(), lora);
        assert_eq!(hidden(&model, false), base);
        let attached = hidden(&model, true);
        assert_ne!(attached, base);
        let merged = Transformer::new(model.spec().clone(), &model.merged_weights(), model.backend().clone()).unwrap();
        for (a, b) in hidden(&merged, true).iter().zip(&attached) {
            assert!((a - b).abs() < 1e-4, "kind {kind}: {a} and {b}");
        }
        // Only the factors train.
        let trainable = model.parameters().trainable();
        assert_eq!(trainable.len(), 2 * modules.len());
        let mut branch = TokenTree::new();
        let root = branch.root(&tokens(40, 4));
        let leaf = branch.child(root, &tokens(41, 3));
        let (_, gradients) = run(&model, &[branch], &[vec![leaf]]);
        assert_eq!(gradients.iter().map(|(id, _)| id).collect::<Vec<_>>(), trainable);
    }
}

/// What a second call finds in the cache, it does not compute, and no bit tells.
#[test]
fn a_continued_cache_changes_no_bit_and_computes_what_is_new() {
    for kind in 0..4 {
        let mut model = model(kind);
        let mut cache = PrefixCache::new(&model, 10_000);
        let options = ScoreOptions { budget_tokens: 50, ..ScoreOptions::default() };
        let contexts: Vec<Vec<u32>> = (0..5).map(|i| [tokens(1, 30), tokens(10 + i, 20)].concat()).collect();
        let ask = |question: u64| -> Vec<ScoreRequest> {
            let asked = |context: &Vec<u32>| [&context[..], &tokens(question, 4)].concat();
            contexts.iter().map(|c| ScoreRequest { context: asked(c), continuation: tokens(question + 1, 3) }).collect()
        };
        // A judge's two questions on the same texts.
        let mut before = 0;
        for (question, fresh) in [(100, 30 + 5 * (20 + 4 + 2)), (200, 5 * (4 + 2))] {
            let found = score_from(&model, &ask(question), &options, &mut cache, &mut |_| true).unwrap();
            assert_eq!(found, score(&model, &ask(question), &options, &mut |_| true).unwrap(), "kind {kind}");
            assert_eq!(cache.computed() - before, fresh, "kind {kind}");
            before = cache.computed();
        }
        // Two turns of a dialogue, one of them twice, and the rest of a target.
        let parameters = SamplingParameters { max_new_tokens: 12, samples: 2, ..SamplingParameters::default() };
        let context = GenerationContext { parameters: &parameters, decode: &|_| String::new(), view: View::plain() };
        let mut prompts =
            [1, 2].map(|i| GenerationPrompt { ids: contexts[i as usize].clone(), seed: Seed::new(i) }).to_vec();
        for turn in 0..3 {
            let made = generate_from(&model, &prompts, &context, &mut cache, &mut |_| true).unwrap();
            assert_eq!(made, generate(&model, &prompts, &context, &mut |_| true).unwrap(), "kind {kind}, turn {turn}");
            let new = cache.computed() - before;
            // The last token of a prompt is computed anew, and of a sample all but the last.
            let asked = if turn == 0 { 1 } else { 1 + 5 };
            assert_eq!(new, 2 * asked + 4 * 11, "kind {kind}, turn {turn}");
            for (prompt, made) in prompts.iter_mut().zip(&made) {
                prompt.ids.extend(made[1].ids.iter().chain(&tokens(300 + turn, 5)));
            }
            before = cache.computed();
        }
        let rest = ScoreRequest { context: prompts[0].ids.clone(), continuation: tokens(5, 6) };
        let found = score_from(&model, std::slice::from_ref(&rest), &options, &mut cache, &mut |_| true).unwrap();
        assert_eq!(found, score(&model, std::slice::from_ref(&rest), &options, &mut |_| true).unwrap(), "kind {kind}");
        // Another state of the model, a cache without room, a view with hooks.
        for p in model.parameters_mut().trainable() {
            let buffer = model.parameters_mut().get_mut(p).buffer_mut().unwrap();
            let (backend, same) = (Cpu::new(), buffer.clone());
            backend.add_scaled(buffer, &same, 0.25);
        }
        let found = score_from(&model, std::slice::from_ref(&rest), &options, &mut cache, &mut |_| true).unwrap();
        assert_eq!(found, score(&model, std::slice::from_ref(&rest), &options, &mut |_| true).unwrap(), "kind {kind}");
        let mut small = PrefixCache::new(&model, 17);
        for _ in 0..2 {
            let found = score_from(&model, &ask(100), &options, &mut small, &mut |_| true).unwrap();
            assert_eq!(found, score(&model, &ask(100), &options, &mut |_| true).unwrap(), "kind {kind}");
            assert!(small.tokens() == 17);
        }
        let hooks = Hooks::new().read(HookPoint::block(0, Site::Z));
        let view = View::from(hooks);
        let options = ScoreOptions { view: &view, ..options };
        let before = cache.computed();
        let found = score_from(&model, std::slice::from_ref(&rest), &options, &mut cache, &mut |_| true).unwrap();
        assert_eq!(found, score(&model, &[rest], &options, &mut |_| true).unwrap(), "kind {kind}");
        assert_eq!(cache.computed(), before);
    }
}

/// A target that the vocabulary does not have is an error, though it is never read.
#[test]
fn targets_are_held_against_the_vocabulary() {
    let model = model(0);
    let vocab = model.spec().vocab_size as u32;
    for ids in [[1, vocab], [vocab, 1], [1, u32::MAX]] {
        let request = ScoreRequest { context: vec![ids[0]], continuation: vec![ids[1]] };
        let error = score(&model, &[request], &ScoreOptions::default(), &mut |_| true).unwrap_err();
        assert!(error.to_string().contains("vocabulary") || error.to_string().contains("token"), "{error}");
    }
}

/// A frozen copy scores alike, shares what is packed, and does not follow the original.
#[test]
fn a_frozen_copy_stays_as_it_is() {
    for kind in 0..4 {
        let mut original = model(kind);
        let request = || ScoreRequest { context: tokens(3, 5), continuation: tokens(4, 6) };
        let scored = |model: &Transformer| score(model, &[request()], &ScoreOptions::default(), &mut |_| true).unwrap();
        let before = scored(&original);
        let copy = original.frozen_copy();
        assert!(copy.parameters().trainable().is_empty() && !original.parameters().trainable().is_empty());
        assert_eq!(scored(&copy), before);
        for id in original.parameters().trainable() {
            let backend = original.backend().clone();
            let parameter = original.parameters_mut().get_mut(id);
            let halved: Vec<f32> = backend.read(parameter.buffer()).iter().map(|value| value * 0.5).collect();
            *parameter.buffer_mut().unwrap() = backend.upload(&halved);
        }
        assert_ne!(scored(&original), before);
        assert_eq!(scored(&copy), before);
        original.parameters_mut().set_trainable(|_| false);
        original.freeze();
        let packed = scored(&original);
        assert_eq!(scored(&original.frozen_copy()), packed);
    }
}

#[test]
fn a_divergence_is_that_of_the_logits() {
    // Two models of one vocabulary, the second with a soft cap on its logits.
    let (first, second) = (model(0), model(1));
    let request = ScoreRequest { context: tokens(4, 5), continuation: tokens(5, 6) };
    let short = ScoreRequest { context: Vec::new(), continuation: tokens(6, 3) };
    let requests = [request.clone(), short];
    let kind = groma_kernels::Divergence::ForwardKl;
    let own = divergence(&first, &first, &requests, kind, &mut |_| true).unwrap();
    assert!(own.iter().flatten().all(|value| value.abs() < 1e-6), "{own:?}");
    let found = divergence(&first, &second, &requests, kind, &mut |_| true).unwrap();
    // The first token of a text without context is not predicted.
    assert_eq!((found[0].len(), found[1].len()), (6, 2));
    let path = [&request.context[..], &request.continuation].concat();
    let logps = |model: &Transformer| -> Vec<Vec<f64>> {
        let mut tree = TokenTree::new();
        tree.root(&path[..path.len() - 1]);
        let mut tape = Tape::inference(model.backend().clone());
        let hidden = model.hidden(&mut tape, &tree, &Pass::default()).unwrap();
        let logits = model.logits(&hidden).unwrap();
        let log_softmax = |row: &[f32]| -> Vec<f64> {
            let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            row.iter().map(|x| f64::from(*x) - sum.ln()).collect()
        };
        logits.chunks(model.spec().vocab_size).map(log_softmax).collect()
    };
    let (p, q) = (logps(&first), logps(&second));
    for (place, value) in found[0].iter().enumerate() {
        let row = request.context.len() - 1 + place;
        let expected: f64 = p[row].iter().zip(&q[row]).map(|(p, q)| p.exp() * (p - q)).sum();
        assert!((f64::from(*value) - expected).abs() < 1e-4, "{value} for {expected}");
    }
    let stopped = divergence(&first, &second, &requests, kind, &mut |_| false);
    assert!(matches!(stopped, Err(groma_model::Error::Cancelled)));
}

/// All of one model is that model, a model beside itself is itself, and halves of two follow neither.
#[test]
fn a_mixture_of_models_lies_between_them() {
    let (first, second) = (model(0), model(1));
    let prompts: Vec<GenerationPrompt> = [4, 7, 1]
        .map(|length| GenerationPrompt { ids: tokens(length, length as usize), seed: Seed::new(length) })
        .into();
    let parameters = SamplingParameters { max_new_tokens: 6, samples: 3, ..SamplingParameters::default() };
    let decode = |_: &[u32]| String::new();
    let context = GenerationContext { parameters: &parameters, decode: &decode, view: View::plain() };
    let mixed = |transformer, share| {
        let beside = Beside { transformer, adapter: true, share };
        collected(&prompts, |told| generate_mixed(&first, beside, &prompts, &context, None, told))
    };
    let ids = |made: &[Vec<groma_model::generate::Generation>]| -> Vec<Vec<u32>> {
        made.iter().flatten().map(|sample| sample.ids.clone()).collect()
    };
    let alone = generate(&first, &prompts, &context, &mut |_| true).unwrap();
    let other = generate(&second, &prompts, &context, &mut |_| true).unwrap();
    assert_eq!(mixed(&second, 0.0), alone);
    assert_eq!(ids(&mixed(&first, 0.5)), ids(&alone));
    assert_eq!(ids(&mixed(&second, 1.0)), ids(&other), "the other's tokens, of which the first says what it thinks");
    let halves = ids(&mixed(&second, 0.5));
    assert!(halves != ids(&alone) && halves != ids(&other));
    let small = groma_model::Spec { vocab_size: 5, ..spec(0) };
    let small = Transformer::new(small.clone(), &weights(&small), Arc::new(Cpu::new())).unwrap();
    let beside = Beside { transformer: &small, adapter: true, share: 0.5 };
    assert!(generate_mixed(&first, beside, &prompts, &context, None, &mut |_| true).is_err());
}
