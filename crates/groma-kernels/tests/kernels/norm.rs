//! Norms: against f64, gradients against central differences, bits by row and by threads.
use super::common::{assert_close, assert_same, backends, on_threads, values};
use super::gradient;
use groma_kernels::{Backend, Buffer, NormKind, NormShape};
use proptest::prelude::*;

struct Problem {
    x: Vec<f32>,
    weight: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
    shape: NormShape,
}

impl Problem {
    fn new(shape: NormShape, weight: bool, bias: bool) -> Self {
        let x = values(shape.rows * shape.width, 1).into_iter().map(|x| 3.0 * x + 0.5).collect();
        let (weight, bias) = (weight.then(|| values(shape.width, 2)), bias.then(|| values(shape.width, 3)));
        Self { x, weight, bias, shape }
    }

    fn upload(backend: &dyn Backend, values: &Option<Vec<f32>>) -> Option<Buffer> {
        values.as_ref().map(|values| backend.upload(values))
    }

    fn forward(&self, backend: &dyn Backend, x: &[f32]) -> (Vec<f32>, Buffer) {
        let shape = NormShape { rows: x.len() / self.shape.width, ..self.shape };
        let (mut y, mut stats) = (backend.scratch(x.len()), backend.scratch(shape.rows * 2));
        let (weight, bias) = (Self::upload(backend, &self.weight), Self::upload(backend, &self.bias));
        backend.norm(&mut y, &mut stats, &backend.upload(x), weight.as_ref(), bias.as_ref(), shape);
        (backend.download(&y), stats)
    }

    fn backward(&self, backend: &dyn Backend, dy: &[f32], before: f32) -> [Vec<f32>; 3] {
        let stats = self.forward(backend, &self.x).1;
        let width = self.shape.width;
        let start = |len: usize| backend.upload(&vec![before; len]);
        let (mut dx, mut dw, mut db) = (start(self.x.len()), start(width), start(width));
        let (dy, x, weight) = (backend.upload(dy), backend.upload(&self.x), Self::upload(backend, &self.weight));
        let (to_x, to_w, to_b) = (Some(&mut dx), Some(&mut dw), Some(&mut db));
        backend.norm_backward(to_x, to_w, to_b, &dy, &x, &stats, weight.as_ref(), self.shape);
        [backend.download(&dx), backend.download(&dw), backend.download(&db)]
    }

    fn reference(&self) -> Vec<f64> {
        let rows = self.x.chunks_exact(self.shape.width).flat_map(|row| {
            let n = row.len() as f64;
            let mean = match self.shape.kind {
                NormKind::Rms => 0.0,
                NormKind::Layer => row.iter().map(|&x| f64::from(x)).sum::<f64>() / n,
            };
            let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
            let scale = 1.0 / (variance + f64::from(self.shape.eps)).sqrt();
            let weight = |j: usize| self.weight.as_ref().map_or(1.0, |w| f64::from(w[j] + self.shape.weight_offset));
            let bias = |j: usize| self.bias.as_ref().map_or(0.0, |b| f64::from(b[j]));
            row.iter()
                .enumerate()
                .map(|(j, &x)| (f64::from(x) - mean) * scale * weight(j) + bias(j))
                .collect::<Vec<_>>()
        });
        rows.collect()
    }
}

fn shape(rows: usize, width: usize, layer: bool, weight_offset: f32) -> NormShape {
    let kind = if layer { NormKind::Layer } else { NormKind::Rms };
    NormShape { rows, width, kind, eps: 1e-5, weight_offset }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn outputs_are_right(rows in 1usize..200, width in 1usize..300, layer: bool, weight: bool, bias: bool, one: bool) {
        let problem = Problem::new(shape(rows, width, layer, f32::from(u8::from(one))), weight, bias);
        for backend in backends() {
            assert_close(&problem.forward(backend, &problem.x).0, &problem.reference(), 3e-6, &backend.name());
        }
    }

    #[test]
    fn gradients_are_right(rows in 1usize..6, width in 4usize..90, layer: bool, weight: bool, one: bool) {
        let mut problem = Problem::new(shape(rows, width, layer, f32::from(u8::from(one))), weight, true);
        for backend in backends() {
            gradient::check(&problem.x, "dx", |x| problem.forward(backend, x).0, |dy, dx| *dx = problem.backward(backend, dy, 0.25)[0].clone());
            let bias = problem.bias.clone().unwrap();
            let with = |bias: &[f32]| Problem { bias: Some(bias.to_vec()), x: problem.x.clone(), weight: problem.weight.clone(), ..problem };
            gradient::check(&bias, "db", |b| with(b).forward(backend, &problem.x).0, |dy, db| *db = problem.backward(backend, dy, 0.25)[2].clone());
        }
        problem.weight = Some(values(width, 8));
        let weights = problem.weight.clone().unwrap();
        for backend in backends() {
            let with = |weight: &[f32]| Problem { weight: Some(weight.to_vec()), x: problem.x.clone(), bias: None, ..problem };
            gradient::check(&weights, "dw", |w| with(w).forward(backend, &problem.x).0, |dy, dw| *dw = problem.backward(backend, dy, 0.25)[1].clone());
        }
    }
}

#[test]
fn bits_do_not_depend_on_rows_or_threads() {
    let problem = Problem::new(shape(900, 200, true, 0.0), true, true);
    let dy = values(problem.x.len(), 5);
    for backend in backends() {
        let all = problem.forward(backend, &problem.x).0;
        for rows in [1, 2, 7, 333] {
            assert_same(&problem.forward(backend, &problem.x[..rows * 200]).0, &all[..rows * 200], &backend.name());
        }
        let one = on_threads(1, || problem.backward(backend, &dy, 0.0));
        for threads in 2..=3 {
            let got = on_threads(threads, || problem.backward(backend, &dy, 0.0));
            (0..3).for_each(|i| assert_same(&got[i], &one[i], "gradients"));
        }
    }
}
