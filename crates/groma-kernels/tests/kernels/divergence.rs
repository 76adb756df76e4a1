//! Divergence from a teacher: against f64 and TRL, gradients against central differences, and bits by row.
use super::common::{assert_close, assert_same, backends, doubles, on_threads, values, weight};
use groma_kernels::{
    Backend, Buffer, Comparison, Cotangent, Cpu, Divergence, DivergenceOutput, Gradients, HeadShape, ParameterId,
    Support, Tape, Teacher, TeacherVar, Var,
};
use proptest::prelude::*;
use serde_json::Value;
use std::sync::Arc;

/// Log-probabilities of one row in f64.
fn logs(hidden: &[f64], unembed: &[f64], softcap: Option<f32>, temperature: f32) -> Vec<f64> {
    let finished = |w: &[f64]| {
        let raw: f64 = hidden.iter().zip(w).map(|(h, w)| h * w).sum();
        softcap.map_or(raw, |cap| f64::from(cap) * (raw / f64::from(cap)).tanh()) / f64::from(temperature)
    };
    let z: Vec<f64> = unembed.chunks_exact(hidden.len()).map(finished).collect();
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lse = max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
    z.iter().map(|z| z - lse).collect()
}

/// `KL(a|b)` of log-probabilities.
fn kl(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.exp() * (a - b)).sum()
}

/// The distribution among the student's likeliest tokens.
fn among(logs: &[f64], likeliest: &[usize], tail: bool) -> Vec<f64> {
    let mut kept: Vec<f64> = likeliest.iter().map(|&token| logs[token]).collect();
    let sum: f64 = kept.iter().map(|logp| logp.exp()).sum();
    match tail {
        true => kept.push((1.0 - sum).max(0.0).ln()),
        false => kept.iter_mut().for_each(|logp| *logp -= sum.ln()),
    }
    kept
}

/// `chooses`: the student's log-probabilities by which the likeliest tokens are chosen.
fn reference(student: &[f64], teacher: &[f64], Comparison { by, among: support }: Comparison, chooses: &[f64]) -> f64 {
    if let Support::Likeliest { count, tail } = support
        && count < student.len()
    {
        let mut tokens: Vec<usize> = (0..student.len()).collect();
        tokens.sort_by(|&a, &b| chooses[b].total_cmp(&chooses[a]).then(a.cmp(&b)));
        let [student, teacher] = [student, teacher].map(|logs| among(logs, &tokens[..count], tail));
        return reference(&student, &teacher, by.into(), &student);
    }
    match by {
        Divergence::ForwardKl => kl(teacher, student),
        Divergence::ReverseKl => kl(student, teacher),
        Divergence::JensenShannon { beta } => {
            let beta = f64::from(beta);
            let mixed = |(p, q): (&f64, &f64)| ((1.0 - beta) * p.exp() + beta * q.exp()).ln();
            let mixture: Vec<f64> = student.iter().zip(teacher).map(mixed).collect();
            beta * kl(teacher, &mixture) + (1.0 - beta) * kl(student, &mixture)
        }
    }
}

struct Problem {
    student: [Vec<f32>; 2],
    teacher: [Vec<f32>; 2],
    shape: HeadShape,
    width: usize,
    softcap: Option<f32>,
    kind: Comparison,
}

impl Problem {
    fn new(shape: HeadShape, width: usize, kind: impl Into<Comparison>) -> Self {
        let scaled = |len, seed, scale: f32| values(len, seed).into_iter().map(|x| scale * x).collect::<Vec<f32>>();
        let student = [scaled(shape.rows * shape.width, 1, 2.0), scaled(shape.vocab * shape.width, 2, 1.0)];
        let teacher = [scaled(shape.rows * width, 3, 3.0), scaled(shape.vocab * width, 4, 1.0)];
        Problem { student, teacher, shape, width, softcap: None, kind: kind.into() }
    }

    /// Values of the first rows, and the gradients with respect to hidden states and unembedding, added to 0.5 and -0.5.
    fn run(&self, cpu: &dyn Backend, rows: usize, d_value: &[f32], packed: bool) -> (DivergenceOutput, [Vec<f32>; 2]) {
        let shape = HeadShape { rows, ..self.shape };
        let hidden = cpu.upload(&self.student[0][..rows * shape.width]);
        let unembed = weight(cpu, &self.student[1], shape.vocab, packed);
        let teacher_hidden = cpu.upload(&self.teacher[0][..rows * self.width]);
        let teacher_unembed = weight(cpu, &self.teacher[1], shape.vocab, packed);
        let (width, softcap) = (self.width, self.softcap);
        let teacher = Teacher { hidden: &teacher_hidden, unembed: &teacher_unembed, width, softcap };
        let output = cpu.divergence(&hidden, &unembed, teacher, self.kind, shape);
        let mut d_hidden = cpu.upload(&vec![0.5; hidden.len()]);
        let mut d_unembed = cpu.upload(&vec![-0.5; unembed.len()]);
        let (to_hidden, to_unembed) = (Some(&mut d_hidden), Some(&mut d_unembed));
        let (h, u, d) = (&hidden, &unembed, &d_value[..rows]);
        cpu.divergence_backward(to_hidden, to_unembed, h, u, teacher, self.kind, &output, d, shape);
        (output, [cpu.download(&d_hidden), cpu.download(&d_unembed)])
    }

    /// Divergence of each row in f64, with the student's hidden states and unembedding given.
    fn reference(&self, student: &[Vec<f64>; 2]) -> Vec<f64> {
        let [hidden, unembed] = [&student[0], &student[1]];
        let teacher = [doubles(&self.teacher[0]), doubles(&self.teacher[1])];
        let HeadShape { softcap, temperature, .. } = self.shape;
        let [chooses, chooses_unembed] = self.student.each_ref().map(|values| doubles(values));
        let rows = hidden.chunks_exact(self.shape.width).zip(chooses.chunks_exact(self.shape.width));
        rows.zip(teacher[0].chunks_exact(self.width))
            .map(|((own, chooses), theirs)| {
                let [own, chooses] =
                    [(own, unembed), (chooses, &chooses_unembed)].map(|(h, w)| logs(h, w, softcap, temperature));
                let theirs = logs(theirs, &teacher[1], self.softcap, temperature);
                reference(&own, &theirs, self.kind, &chooses)
            })
            .collect()
    }

    fn check(&self) {
        let d_value = values(self.shape.rows, 5);
        let student = self.student.each_ref().map(|values| doubles(values));
        let want = self.reference(&student);
        let results: Vec<_> = backends()
            .flat_map(|cpu| [false, true].map(|f| (cpu.name(), self.run(cpu, self.shape.rows, &d_value, f))))
            .collect();
        for (name, (output, _)) in &results {
            assert_close(&output.value, &want, 4e-6, &format!("{:?}, {name}", self.kind));
        }
        let weigh = |values: Vec<f64>| values.iter().zip(&d_value).map(|(v, &d)| v * f64::from(d)).sum::<f64>();
        for (input, before) in [(0, 0.5), (1, -0.5)] {
            let len = student[input].len();
            for element in (0..len).step_by(len.div_ceil(12).max(1)) {
                let at = |step: f64| {
                    let mut moved = student.clone();
                    moved[input][element] += step;
                    weigh(self.reference(&moved))
                };
                let want = (at(1e-4) - at(-1e-4)) / 2e-4 + before;
                for (name, (_, gradients)) in &results {
                    let got = f64::from(gradients[input][element]);
                    let bound = 2e-5 * (1.0 + want.abs());
                    let what = format!("{:?}, {name}: input {input}, element {element}", self.kind);
                    assert!((got - want).abs() < bound, "{what}: {got}, not {want}");
                }
            }
        }
    }
}

fn kinds() -> impl Strategy<Value = Divergence> {
    prop_oneof![
        Just(Divergence::ForwardKl),
        Just(Divergence::ReverseKl),
        (0.01f32..0.99).prop_map(|beta| Divergence::JensenShannon { beta }),
        Just(Divergence::JensenShannon { beta: 0.5 }),
    ]
}

fn supports() -> impl Strategy<Value = Support> {
    let likeliest = (1usize..40, any::<bool>()).prop_map(|(count, tail)| Support::Likeliest { count, tail });
    prop_oneof![Just(Support::All), likeliest]
}

fn shapes() -> impl Strategy<Value = HeadShape> {
    (1usize..12, 1usize..24, 1usize..150, prop::option::of(2.0f32..30.0), 0.5f32..2.0)
        .prop_map(|(rows, width, vocab, softcap, temperature)| HeadShape { rows, width, vocab, softcap, temperature })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn values_and_gradients_are_right(
        shape in shapes(), width in 1usize..20, softcap in prop::option::of(2.0f32..30.0), by in kinds(), among in supports(),
    ) {
        Problem { softcap, ..Problem::new(shape, width, Comparison { by, among }) }.check();
    }
}

const KINDS: [Divergence; 3] = [Divergence::ForwardKl, Divergence::ReverseKl, Divergence::JensenShannon { beta: 0.3 }];

#[test]
fn vocabularies_of_many_blocks_are_right() {
    let shape = HeadShape { rows: 5, width: 6, vocab: 4200, softcap: None, temperature: 0.9 };
    KINDS.into_iter().for_each(|kind| Problem::new(shape, 9, kind).check());
    // More rows than a chunk has.
    let shape = HeadShape { rows: 520, width: 3, vocab: 1100, ..shape };
    Problem::new(shape, 2, Divergence::JensenShannon { beta: 0.5 }).check();
}

#[test]
fn trl_has_the_same_losses_and_gradients() {
    let fixture: Value = serde_json::from_str(include_str!("../../fixtures/divergence.json")).unwrap();
    let numbers = |value: &Value| value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<f64>>();
    let singles = |name: &str| numbers(&fixture[name]).into_iter().map(|x| x as f32).collect::<Vec<f32>>();
    let size = |name: &str| fixture[name].as_u64().unwrap() as usize;
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 15);
    for case in cases {
        let temperature = case["temperature"].as_f64().unwrap() as f32;
        let problem = Problem {
            student: [singles("hidden"), singles("unembed")],
            teacher: [singles("teacher_hidden"), singles("teacher_unembed")],
            shape: HeadShape {
                rows: size("rows"),
                width: size("width"),
                vocab: size("vocab"),
                softcap: None,
                temperature,
            },
            width: size("teacher_width"),
            softcap: None,
            kind: Divergence::of_beta(case["beta"].as_f64().unwrap() as f32).into(),
        };
        for cpu in backends() {
            let (output, gradients) = problem.run(cpu, problem.shape.rows, &vec![1.0; problem.shape.rows], false);
            let sum = output.value.iter().map(|&value| f64::from(value)).sum::<f64>();
            let want = case["loss"].as_f64().unwrap();
            assert!((sum - want).abs() < 3e-6 * (1.0 + want), "{case}: {sum}");
            for (index, (name, before)) in [("d_hidden", 0.5), ("d_unembed", -0.5)].into_iter().enumerate() {
                let want: Vec<f64> = numbers(&case[name]).into_iter().map(|d| d + before).collect();
                assert_close(&gradients[index], &want, 1e-5, &format!("{name}, {:?}, {temperature}", problem.kind));
            }
        }
    }
}

/// What can be said without a reference: 0 for the teacher itself, never above ln 2 at one half, and exchanging the models
/// exchanges both KLs.
#[test]
fn divergences_are_what_they_are_called() {
    let shape = HeadShape { rows: 4, width: 7, vocab: 90, softcap: None, temperature: 1.0 };
    let mut problem = Problem::new(shape, 7, Divergence::ForwardKl);
    let cpu = Cpu::new();
    let values = |problem: &Problem| problem.run(&cpu, 4, &[0.0; 4], false).0.value;
    let forward = values(&problem);
    std::mem::swap(&mut problem.student, &mut problem.teacher);
    problem.kind = Divergence::ReverseKl.into();
    assert_close(&values(&problem), &doubles(&forward), 1e-6, "exchanged");
    problem.kind = Divergence::JensenShannon { beta: 0.5 }.into();
    assert!(values(&problem).iter().all(|&value| value > 0.0 && value < std::f32::consts::LN_2));
    problem.teacher = problem.student.clone();
    for kind in KINDS {
        problem.kind = kind.into();
        let (output, gradients) = problem.run(&cpu, 4, &[1.0; 4], false);
        assert_close(&output.value, &[0.0; 4], 1e-6, "the teacher itself");
        assert_close(&gradients[0], &[0.5; 28], 1e-6, "at the minimum");
    }
}

/// Of one likely token and all others there are two; where all tokens are likely, the rest is no token more.
#[test]
fn likeliest_tokens_are_a_vocabulary_of_their_own() {
    let shape = HeadShape { rows: 4, width: 7, vocab: 30, softcap: None, temperature: 1.0 };
    let cpu = Cpu::new();
    for by in KINDS {
        let values = |among| {
            let problem = Problem::new(shape, 7, Comparison { by, among });
            problem.run(&cpu, 4, &[0.0; 4], false).0.value
        };
        let all = doubles(&values(Support::All));
        for tail in [false, true] {
            assert_close(&values(Support::Likeliest { count: 30, tail }), &all, 2e-6, "all of them");
            let few = values(Support::Likeliest { count: 3, tail });
            // What is put together is never further apart than it was.
            assert!(!tail || few.iter().zip(&all).all(|(&few, &all)| f64::from(few) <= all + 1e-6), "{few:?} {all:?}");
        }
        assert_eq!(values(Support::Likeliest { count: 1, tail: false }), [0.0; 4], "one token is certain");
    }
}

#[test]
fn extreme_logits_stay_finite() {
    let shape = HeadShape { rows: 2, width: 1, vocab: 3, softcap: None, temperature: 1.0 };
    for kind in KINDS {
        let mut problem = Problem::new(shape, 1, kind);
        problem.student = [vec![300.0, -300.0], vec![1.0, 2.0, -3.0]];
        problem.teacher = [vec![300.0, 1.0], vec![1.0, 2.5, 0.5]];
        problem.check();
    }
}

#[test]
fn bits_of_a_row_do_not_depend_on_the_others_or_on_threads() {
    // More rows than a chunk has.
    const ROWS: usize = 500;
    let shape = HeadShape { rows: ROWS, width: 12, vocab: 4500, softcap: None, temperature: 1.0 };
    let d_value = values(ROWS, 6);
    let narrow = Comparison { by: KINDS[2], among: Support::Likeliest { count: 100, tail: true } };
    for kind in KINDS.map(Comparison::from).into_iter().chain([narrow]) {
        let problem = Problem::new(shape, 8, kind);
        for cpu in backends() {
            let one = on_threads(1, || problem.run(cpu, ROWS, &d_value, false));
            for rows in [1, 17, 300] {
                let (output, gradients) = problem.run(cpu, rows, &d_value, true);
                assert_same(&output.value, &one.0.value[..rows], &cpu.name());
                assert_same(&gradients[0], &one.1[0][..rows * 12], &cpu.name());
            }
            for threads in 2..=3 {
                let got = on_threads(threads, || problem.run(cpu, ROWS, &d_value, true));
                assert_eq!(got.0, one.0, "{} on {threads} threads", cpu.name());
                (0..2).for_each(|i| assert_same(&got.1[i], &one.1[i], "gradients"));
            }
        }
    }
}

#[test]
fn the_tape_sends_gradients_to_hidden_states_and_unembedding() {
    let shape = HeadShape { rows: 6, width: 5, vocab: 40, softcap: None, temperature: 0.8 };
    let problem = Problem::new(shape, 7, Divergence::JensenShannon { beta: 0.4 });
    let cpu = Arc::new(Cpu::new());
    let [hidden, unembed, their_hidden, their_unembed] =
        [&problem.student[0], &problem.student[1], &problem.teacher[0], &problem.teacher[1]]
            .map(|values| Arc::new(cpu.upload(values)));
    let parameter =
        |id, buffer: &Arc<Buffer>, rows, width| Var::parameter(ParameterId(id), buffer.clone(), rows, width, true);
    let (own, matrix) = (parameter(0, &hidden, 6, 5), parameter(1, &unembed, 40, 5));
    // A teacher that trains elsewhere gets no gradient here.
    let (softcap, kind) = (Some(5.0), problem.kind);
    let teacher =
        TeacherVar { hidden: parameter(2, &their_hidden, 6, 7), unembed: parameter(3, &their_unembed, 40, 7), softcap };
    let mut tape = Tape::recording(cpu.clone());
    let divergence = tape.divergence(&own, &matrix, &teacher, kind, None, 0.8);
    let (ids, top) = tape.top_tokens(&own, &matrix, 3, None, 0.8);
    let (d_value, d_logp) = (values(6, 1), values(18, 2));
    let mut gradients = Gradients::new();
    let cotangents = vec![
        Cotangent::Divergence { divergence: &divergence, d_value: &d_value },
        Cotangent::Head { head: &top, d_logp: &d_logp, d_entropy: &[] },
    ];
    tape.backward(cotangents, &mut gradients);
    assert_eq!(gradients.iter().map(|(id, _)| id.0).collect::<Vec<u32>>(), [0, 1]);

    let teacher = Teacher { hidden: &their_hidden, unembed: &their_unembed, width: 7, softcap };
    let output = cpu.divergence(&hidden, &unembed, teacher, kind, shape);
    assert_same(divergence.values(), &output.value, "values");
    let (mut dh, mut du) = (cpu.zeros(hidden.len()), cpu.zeros(unembed.len()));
    let found = cpu.top_tokens(&hidden, &unembed, 3, shape);
    assert_eq!((&ids[..], top.output()), (&found.ids[..], &found.output));
    let to = (Some(&mut dh), Some(&mut du));
    cpu.head_backward(to.0, to.1, &hidden, &unembed, &ids, &found.output, None, &d_logp, &[], shape);
    let to = (Some(&mut dh), Some(&mut du));
    cpu.divergence_backward(to.0, to.1, &hidden, &unembed, teacher, kind, &output, &d_value, shape);
    for (id, want) in [(0, dh), (1, du)] {
        assert_same(&cpu.download(gradients.get(ParameterId(id)).unwrap()), &cpu.download(&want), "gradients");
    }
}
