//! Activations, sums, dropout, the optimizer step: values, gradients, threads.
use super::common::{assert_close, assert_same, backends, on_threads, values};
use super::gradient;
use groma_kernels::{Activation, AdamW, Backend, Buffer};

const KINDS: [Activation; 4] = [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::Relu];

/// The standard normal distribution function, by the series of Marsaglia (2004).
fn normal(x: f64) -> f64 {
    let (mut sum, mut term, mut i) = (x, x, 1.0);
    while term.abs() > 1e-18 {
        i += 2.0;
        term *= x * x / i;
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn reference(x: f64, kind: Activation) -> f64 {
    match kind {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => x * normal(x),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::Relu => x.max(0.0),
    }
}

fn activation(backend: &dyn Backend, x: &[f32], kind: Activation) -> Vec<f32> {
    let mut y = backend.scratch(x.len());
    backend.activation(&mut y, &backend.upload(x), kind);
    backend.download(&y)
}

fn gated(backend: &dyn Backend, gate: &[f32], up: &[f32], kind: Activation) -> Vec<f32> {
    let mut y = backend.scratch(gate.len());
    backend.gated(&mut y, &backend.upload(gate), &backend.upload(up), kind);
    backend.download(&y)
}

/// Values away from the kink of ReLU.
fn inputs(len: usize, seed: u64) -> Vec<f32> {
    values(len, seed).into_iter().map(|x| 3.0 * x + 0.01 * x.signum()).collect()
}

#[test]
fn activations_are_right() {
    let x: Vec<f32> = (-4000..=4000).map(|i| i as f32 / 500.0).collect();
    for (backend, kind) in backends().flat_map(|backend| KINDS.map(|kind| (backend, kind))) {
        let want: Vec<f64> = x.iter().map(|&x| reference(f64::from(x), kind)).collect();
        assert_close(&activation(backend, &x, kind), &want, 4e-7, &format!("{kind:?}, {}", backend.name()));
        let up = values(x.len(), 1);
        let want: Vec<f64> = want.iter().zip(&up).map(|(f, &up)| f * f64::from(up)).collect();
        assert_close(&gated(backend, &x, &up, kind), &want, 4e-7, "gated");
        assert!(activation(backend, &[f32::NAN], kind)[0].is_nan());
    }
}

#[test]
fn gradients_of_activations_are_right() {
    for (backend, kind) in backends().flat_map(|backend| KINDS.map(|kind| (backend, kind))) {
        let what = format!("{kind:?}, {}", backend.name());
        let (x, up) = (inputs(101, 1), values(101, 2));
        gradient::check(
            &x,
            &what,
            |x| activation(backend, x, kind),
            |dy, dx| {
                let mut to = backend.upload(dx);
                backend.activation_backward(&mut to, &backend.upload(dy), &backend.upload(&x), kind);
                *dx = backend.download(&to);
            },
        );
        let both = |dy: &[f32]| {
            let blank = backend.upload(&vec![f32::NAN; x.len()]);
            let (mut d_gate, mut d_up) = (blank.clone(), blank);
            let (dy, gate, up) = (backend.upload(dy), backend.upload(&x), backend.upload(&up));
            backend.gated_backward(&mut d_gate, &mut d_up, &dy, &gate, &up, kind);
            [backend.download(&d_gate), backend.download(&d_up)]
        };
        let add = |d: &mut Vec<f32>, new: &[f32]| d.iter_mut().zip(new).for_each(|(d, new)| *d += new);
        gradient::check(&x, &what, |gate| gated(backend, gate, &up, kind), |dy, d| add(d, &both(dy)[0]));
        gradient::check(&up, &what, |up| gated(backend, &x, up, kind), |dy, d| add(d, &both(dy)[1]));
    }
}

#[test]
fn sums_and_scales() {
    for backend in backends() {
        let (a, b) = (backend.upload(&values(100_003, 1)), backend.upload(&values(100_003, 2)));
        let mut y = backend.scratch(a.len());
        backend.add(&mut y, &a, &b);
        let read = |buffer: &Buffer| backend.download(buffer);
        let (a_values, b_values) = (read(&a), read(&b));
        assert!(read(&y).iter().zip(a_values.iter().zip(&b_values)).all(|(y, (a, b))| *y == a + b));
        backend.scale(&mut y, &a, -2.0);
        assert!(read(&y).iter().zip(&a_values).all(|(y, a)| *y == -2.0 * a));
        backend.add_scaled(&mut y, &a, 2.0);
        assert!(read(&y).iter().all(|&y| y == 0.0));
        let want: f64 = a_values.iter().map(|&x| f64::from(x).powi(2)).sum();
        let one = on_threads(1, || backend.sum_of_squares(&a));
        assert!((one - want).abs() < 1e-9 * want);
        assert_eq!(one.to_bits(), on_threads(3, || backend.sum_of_squares(&a)).to_bits());
        let mut with_nan = vec![0.0; 100_003];
        with_nan[70_000] = f32::NAN;
        assert!(backend.sum_of_squares(&backend.upload(&with_nan)).is_nan());
    }
}

#[test]
fn dropout_depends_on_seed_and_index_alone() {
    let x = values(50_000, 1);
    let run = |backend: &dyn Backend, x: &[f32], seed| {
        let mut y = backend.scratch(x.len());
        backend.dropout(&mut y, &backend.upload(x), 0.9, seed);
        backend.download(&y)
    };
    for backend in backends() {
        let all = run(backend, &x, 11);
        assert_same(&run(backend, &x[..777], 11), &all[..777], "a shorter buffer");
        assert_same(&on_threads(3, || run(backend, &x, 11)), &all, "threads");
        assert!(run(backend, &x, 12) != all);
    }
}

#[test]
fn adamw_is_torchs() {
    let step =
        |step| AdamW { lr: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step, gradient_scale: 0.5 };
    for backend in backends() {
        let start = values(1001, 1);
        let (mut w, mut m, mut v) = (backend.upload(&start), backend.zeros(1001), backend.zeros(1001));
        let mut want: Vec<[f64; 3]> = start.iter().map(|&w| [f64::from(w), 0.0, 0.0]).collect();
        for t in 1..=5u64 {
            let g = values(1001, 10 + t);
            backend.adamw(&mut w, &backend.upload(&g), &mut m, &mut v, step(t));
            for ([w, m, v], &g) in want.iter_mut().zip(&g) {
                let g = f64::from(g) * 0.5;
                *w *= 1.0 - 0.01 * 0.1;
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.99 * *v + 0.01 * g * g;
                let (c1, c2) = (1.0 - 0.9f64.powi(t as i32), 1.0 - 0.99f64.powi(t as i32));
                *w -= 0.01 / c1 * *m / (v.sqrt() / c2.sqrt() + 1e-8);
            }
        }
        assert_close(&backend.read(&w), &want.iter().map(|s| s[0]).collect::<Vec<_>>(), 1e-6, "weights");
        assert_close(&backend.read(&m), &want.iter().map(|s| s[1]).collect::<Vec<_>>(), 1e-6, "first moment");
        assert_close(&backend.read(&v), &want.iter().map(|s| s[2]).collect::<Vec<_>>(), 1e-6, "second moment");
    }
}
