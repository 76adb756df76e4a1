//! The log-probability head: against f64, gradients against central differences, and bits by row.
use super::common::{assert_close, assert_same, backends, doubles, on_threads, values, weight};
use groma_kernels::{Backend, Buffer, HeadOutput, HeadShape, HeadWants};
use proptest::prelude::*;

const ALL: HeadWants = HeadWants { entropy: true, mean_logit: true, argmax: true };

/// logp, log-sum-exp, entropy, mean logit, argmax of one row in f64.
fn reference(hidden: &[f64], unembed: &[f64], target: usize, shape: HeadShape) -> (f64, f64, f64, f64, usize) {
    let z: Vec<f64> = unembed
        .chunks_exact(shape.width)
        .map(|w| {
            let raw: f64 = hidden.iter().zip(w).map(|(h, w)| h * w).sum();
            shape.softcap.map_or(raw, |cap| f64::from(cap) * (raw / f64::from(cap)).tanh())
                / f64::from(shape.temperature)
        })
        .collect();
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lse = max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
    let entropy = -z.iter().map(|z| (z - lse).exp() * (z - lse)).sum::<f64>();
    let argmax = z.iter().position(|&z| z == max).unwrap_or(0);
    (z[target] - lse, lse, entropy, z.iter().sum::<f64>() / z.len() as f64, argmax)
}

struct Problem {
    hidden: Vec<f32>,
    unembed: Vec<f32>,
    targets: Vec<u32>,
    shape: HeadShape,
}

impl Problem {
    fn new(shape: HeadShape) -> Self {
        let hidden = values(shape.rows * shape.width, 1).into_iter().map(|x| 2.0 * x).collect();
        let targets = (0..shape.rows).map(|row| ((row * 7919 + 3) % shape.vocab) as u32).collect();
        Self { hidden, unembed: values(shape.vocab * shape.width, 2), targets, shape }
    }

    fn weights(&self, backend: &dyn Backend, packed: bool) -> Buffer {
        weight(backend, &self.unembed, self.shape.vocab, packed)
    }

    fn forward(&self, backend: &dyn Backend, rows: usize, packed: bool) -> HeadOutput {
        let shape = HeadShape { rows, ..self.shape };
        let hidden = backend.upload(&self.hidden[..rows * shape.width]);
        backend.head(&hidden, &self.weights(backend, packed), &self.targets[..rows], shape, ALL, None)
    }

    fn check_forward(&self) {
        let (hidden, unembed) = (doubles(&self.hidden), doubles(&self.unembed));
        let rows = hidden.chunks_exact(self.shape.width).zip(&self.targets);
        let want: Vec<_> = rows.map(|(h, &t)| reference(h, &unembed, t as usize, self.shape)).collect();
        let column = |f: fn(&(f64, f64, f64, f64, usize)) -> f64| want.iter().map(f).collect::<Vec<f64>>();
        for backend in backends() {
            let got = self.forward(backend, self.shape.rows, false);
            assert_close(&got.logp, &column(|w| w.0), 4e-6, &format!("logp, {}", backend.name()));
            assert_close(&got.log_sum_exp, &column(|w| w.1), 4e-6, "log-sum-exp");
            assert_close(&got.entropy, &column(|w| w.2), 1e-5, "entropy");
            assert_close(&got.mean_logit, &column(|w| w.3), 4e-6, "mean logit");
            assert_eq!(got.argmax, want.iter().map(|w| w.4 as u32).collect::<Vec<u32>>());
        }
    }

    fn backward(
        &self,
        backend: &dyn Backend,
        d_logp: &[f32],
        d_entropy: &[f32],
        wants: HeadWants,
        packed: bool,
    ) -> [Vec<f32>; 2] {
        self.backward_from(backend, (d_logp, d_entropy), wants, packed, false)
    }

    fn backward_from(
        &self,
        backend: &dyn Backend,
        (d_logp, d_entropy): (&[f32], &[f32]),
        wants: HeadWants,
        packed: bool,
        keep: bool,
    ) -> [Vec<f32>; 2] {
        let (hidden, unembed) = (backend.upload(&self.hidden), self.weights(backend, packed));
        let mut logits = keep.then(|| backend.scratch(self.shape.rows * self.shape.vocab));
        let output = backend.head(&hidden, &unembed, &self.targets, self.shape, wants, logits.as_mut());
        let mut d_hidden = backend.upload(&vec![0.5; hidden.len()]);
        let mut d_unembed = backend.upload(&vec![-0.5; unembed.len()]);
        let (to_hidden, to_unembed) = (Some(&mut d_hidden), Some(&mut d_unembed));
        let (targets, shape) = (&self.targets, self.shape);
        let (h, u) = (&hidden, &unembed);
        backend.head_backward(to_hidden, to_unembed, h, u, targets, &output, logits, d_logp, d_entropy, shape);
        [backend.download(&d_hidden), backend.download(&d_unembed)]
    }

    fn check_backward(&self, with_entropy: bool) {
        let rows = self.shape.rows;
        let (d_logp, d_entropy) = (values(rows, 5), values(if with_entropy { rows } else { 0 }, 6));
        let inputs = [doubles(&self.hidden), doubles(&self.unembed)];
        let loss = |inputs: &[Vec<f64>; 2]| {
            let rows = inputs[0].chunks_exact(self.shape.width).enumerate();
            rows.map(|(row, hidden)| {
                let got = reference(hidden, &inputs[1], self.targets[row] as usize, self.shape);
                f64::from(d_logp[row]) * got.0 + d_entropy.get(row).map_or(0.0, |&d| f64::from(d) * got.2)
            })
            .sum::<f64>()
        };
        let results: Vec<_> = backends()
            .flat_map(|backend| {
                [(HeadWants::default(), true), (ALL, false)]
                    .map(|(wants, packed)| (backend.name(), self.backward(backend, &d_logp, &d_entropy, wants, packed)))
            })
            .collect();
        for (input, before) in [(0, 0.5), (1, -0.5)] {
            let len = inputs[input].len();
            for element in (0..len).step_by(len.div_ceil(16).max(1)) {
                let at = |step: f64| {
                    let mut moved = inputs.clone();
                    moved[input][element] += step;
                    loss(&moved)
                };
                let want = (at(1e-4) - at(-1e-4)) / 2e-4 + before;
                for (name, gradients) in &results {
                    let got = f64::from(gradients[input][element]);
                    let bound = 2e-5 * (1.0 + want.abs());
                    assert!((got - want).abs() < bound, "{name}: input {input}, element {element}: {got}, not {want}");
                }
            }
        }
    }
}

fn shapes() -> impl Strategy<Value = HeadShape> {
    (1usize..20, 1usize..40, 1usize..150, prop::option::of(2.0f32..30.0), 0.5f32..2.0)
        .prop_map(|(rows, width, vocab, softcap, temperature)| HeadShape { rows, width, vocab, softcap, temperature })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn outputs_are_right(shape in shapes()) {
        Problem::new(shape).check_forward();
    }

    #[test]
    fn gradients_are_right(shape in shapes(), with_entropy: bool) {
        Problem::new(shape).check_backward(with_entropy);
    }
}

#[test]
fn vocabularies_of_many_blocks_are_right() {
    let shape = HeadShape { rows: 530, width: 8, vocab: 5000, softcap: None, temperature: 1.0 };
    Problem::new(shape).check_forward();
    Problem::new(HeadShape { rows: 3, softcap: Some(10.0), temperature: 0.7, ..shape }).check_backward(true);
    Problem::new(HeadShape { rows: 515, vocab: 4200, width: 4, ..shape }).check_backward(true);
}

#[test]
fn large_logits_stay_finite() {
    let shape = HeadShape { rows: 2, width: 1, vocab: 3, softcap: None, temperature: 1.0 };
    let problem = Problem { hidden: vec![1e4, -1e4], unembed: vec![1.0, 2.0, -3.0], targets: vec![1, 1], shape };
    problem.check_forward();
}

#[test]
fn bits_of_a_row_do_not_depend_on_the_others_or_on_threads() {
    let problem = Problem::new(HeadShape { rows: 1100, width: 24, vocab: 4500, softcap: None, temperature: 1.0 });
    for backend in backends() {
        let all = problem.forward(backend, 1100, false);
        for rows in [1, 2, 3, 17, 600] {
            for packed in [false, true] {
                let got = problem.forward(backend, rows, packed);
                assert_same(&got.logp, &all.logp[..rows], &backend.name());
                assert_same(&got.entropy, &all.entropy[..rows], &backend.name());
                assert_same(&got.mean_logit, &all.mean_logit[..rows], &backend.name());
                assert_eq!(got.argmax, all.argmax[..rows]);
            }
        }
        for threads in 1..=3 {
            let got = on_threads(threads, || problem.forward(backend, 1100, true));
            assert_eq!(got, all, "{} on {threads} threads", backend.name());
        }
    }
}

#[test]
fn gradients_do_not_depend_on_threads_or_packing() {
    let problem = Problem::new(HeadShape { rows: 700, width: 24, vocab: 4500, softcap: None, temperature: 1.0 });
    let d_logp = values(700, 3);
    for backend in backends() {
        let one = on_threads(1, || problem.backward(backend, &d_logp, &d_logp, ALL, false));
        for threads in 2..=3 {
            let got = on_threads(threads, || problem.backward(backend, &d_logp, &d_logp, ALL, true));
            (0..2).for_each(|i| assert_same(&got[i], &one[i], "gradients"));
        }
    }
}

#[test]
fn kept_logits_give_the_same_gradient_to_the_bit() {
    for (rows, vocab) in [(3, 40), (700, 1500), (530, 9000)] {
        let problem = Problem::new(HeadShape { rows, width: 12, vocab, softcap: None, temperature: 1.0 });
        assert!(problem.shape.keeps_logits());
        let (d_logp, d_entropy) = (values(rows, 5), values(rows, 6));
        for backend in backends() {
            let of = |keep| problem.backward_from(backend, (&d_logp, &d_entropy), ALL, false, keep);
            let (again, kept) = (of(false), of(true));
            assert_same(&kept[0], &again[0], "hidden states");
            assert_same(&kept[1], &again[1], "unembedding");
        }
    }
}

#[test]
fn distributions_are_those_of_f64() {
    let (rows, width) = (5, 2500);
    let x: Vec<f32> = values(rows * width, 3).into_iter().map(|x| 30.0 * x).collect();
    for (softcap, temperature) in [(None, 1.0), (None, 0.7), (Some(20.0), 1.3)] {
        let finished =
            |x: &f32| softcap.map_or(f64::from(*x), |cap| f64::from(cap) * (f64::from(*x) / f64::from(cap)).tanh());
        let logits: Vec<f64> = x.iter().map(finished).collect();
        let log_sum_exp = |row: &[f64]| {
            let row = || row.iter().map(|z| z / f64::from(temperature));
            let max = row().fold(f64::NEG_INFINITY, f64::max);
            max + row().map(|z| (z - max).exp()).sum::<f64>().ln()
        };
        let want: Vec<f64> = logits.chunks_exact(width).map(log_sum_exp).collect();
        for cpu in backends() {
            let mut buffer = cpu.upload(&x);
            let sums = cpu.distributions(&mut buffer, width, softcap, temperature);
            let sums: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
            assert_close(&sums, &want, 1e-6, &cpu.name());
            assert_close(&cpu.download(&buffer), &logits, 1e-6, &cpu.name());
        }
    }
}

/// The largest logits of each row in f64, the lowest index first among equals.
fn best(problem: &Problem, count: usize) -> Vec<Vec<(usize, f64)>> {
    let (hidden, unembed) = (doubles(&problem.hidden), doubles(&problem.unembed));
    let of_row = |row: &[f64]| {
        let logp = |target| reference(row, &unembed, target, problem.shape).0;
        let mut all: Vec<(usize, f64)> = (0..problem.shape.vocab).map(|target| (target, logp(target))).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(count);
        all
    };
    hidden.chunks_exact(problem.shape.width).map(of_row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn top_tokens_and_their_gradients_are_right(shape in shapes(), share in 0.0f64..1.0) {
        let problem = Problem::new(shape);
        let count = 1 + (share * (shape.vocab.min(12) - 1) as f64) as usize;
        let want = best(&problem, count);
        let d_logp = values(shape.rows * count, 8);
        let inputs = [doubles(&problem.hidden), doubles(&problem.unembed)];
        for cpu in backends() {
            let (hidden, unembed) = (cpu.upload(&problem.hidden), cpu.upload(&problem.unembed));
            let top = cpu.top_tokens(&hidden, &unembed, count, shape);
            let logp: Vec<f64> = want.iter().flatten().map(|(_, logp)| *logp).collect();
            assert_close(&top.output.logp, &logp, 4e-6, &cpu.name());
            let (mut d_hidden, mut d_unembed) = (cpu.zeros(hidden.len()), cpu.zeros(unembed.len()));
            let to = (Some(&mut d_hidden), Some(&mut d_unembed));
            cpu.head_backward(to.0, to.1, &hidden, &unembed, &top.ids, &top.output, None, &d_logp, &[], shape);
            let gradients = [cpu.download(&d_hidden), cpu.download(&d_unembed)];
            let loss = |inputs: &[Vec<f64>; 2]| {
                let row = |slot: usize| &inputs[0][slot / count * shape.width..][..shape.width];
                let of = |slot: usize| reference(row(slot), &inputs[1], top.ids[slot] as usize, shape).0;
                d_logp.iter().enumerate().map(|(slot, &d)| f64::from(d) * of(slot)).sum::<f64>()
            };
            for input in 0..2 {
                let len = inputs[input].len();
                for element in (0..len).step_by(len.div_ceil(6).max(1)) {
                    let at = |step: f64| {
                        let mut moved = inputs.clone();
                        moved[input][element] += step;
                        loss(&moved)
                    };
                    let want = (at(1e-4) - at(-1e-4)) / 2e-4;
                    let got = f64::from(gradients[input][element]);
                    assert!((got - want).abs() < 3e-5 * (1.0 + want.abs()), "{}: {got}, not {want}", cpu.name());
                }
            }
        }
    }
}

#[test]
fn top_tokens_agree_with_the_head_to_the_bit() {
    let shape = HeadShape { rows: 530, width: 8, vocab: 5000, softcap: None, temperature: 0.7 };
    let problem = Problem::new(shape);
    for cpu in backends() {
        let (hidden, unembed) = (cpu.upload(&problem.hidden), cpu.upload(&problem.unembed));
        let top = on_threads(1, || cpu.top_tokens(&hidden, &unembed, 5, shape));
        assert_eq!(on_threads(3, || cpu.top_tokens(&hidden, &unembed, 5, shape)), top);
        let few = cpu.top_tokens(&cpu.upload(&problem.hidden[..7 * 8]), &unembed, 5, HeadShape { rows: 7, ..shape });
        assert_eq!((&few.ids[..], &few.output.logp[..]), (&top.ids[..35], &top.output.logp[..35]));
        for place in 0..5 {
            let ids: Vec<u32> = top.ids.chunks_exact(5).map(|ids| ids[place]).collect();
            let logp: Vec<f32> = top.output.logp.chunks_exact(5).map(|logp| logp[place]).collect();
            let head = cpu.head(&hidden, &unembed, &ids, shape, ALL, None);
            assert_same(&logp, &head.logp, "log-probabilities");
            assert_same(&top.output.log_sum_exp, &head.log_sum_exp, "log-sum-exps");
            assert!(place > 0 || head.argmax == ids);
        }
    }
    // Equal logits: the lowest ids, in order.
    let shape = HeadShape { rows: 1, width: 1, vocab: 2100, softcap: None, temperature: 1.0 };
    let mut weights = vec![1.0; 2100];
    (weights[1500], weights[3]) = (2.0, 0.0);
    for cpu in backends() {
        assert_eq!(cpu.top_tokens(&cpu.upload(&[1.0]), &cpu.upload(&weights), 5, shape).ids, [1500, 0, 1, 2, 4]);
    }
}
