//! What is trained or put in beside a transformer: products, errors, softmax, sparsity, given patterns, closures.
use super::common::{assert_close, assert_same, backends, doubles, on_threads, values};
use super::gradient;
use groma_kernels::{
    AttentionLayout, AttentionSegment, AttentionShape, Backend, Buffer, Cotangent, Cpu, Gradients, KeyOrder, Tape,
    Threshold, ThresholdShape, Var,
};
use proptest::prelude::*;
use std::sync::Arc;

/// `made` by a kernel that overwrites a buffer of `len`, on one thread and on three.
fn made(backend: &dyn Backend, len: usize, kernel: impl Fn(&mut Buffer) + Sync) -> Vec<f32> {
    let run = || {
        let mut y = backend.upload(&vec![f32::NAN; len]);
        kernel(&mut y);
        backend.download(&y)
    };
    let one = on_threads(1, run);
    assert_same(&on_threads(3, run), &one, "threads");
    one
}

/// Adds through a kernel.
fn added(backend: &dyn Backend, d: &mut Vec<f32>, kernel: impl FnOnce(&mut Buffer)) {
    let mut to = backend.upload(d);
    kernel(&mut to);
    *d = backend.download(&to);
}

#[test]
fn products_and_errors() {
    for backend in backends() {
        let (a, b) = (values(50_001, 1), values(50_001, 2));
        let (at, bt) = (backend.upload(&a), backend.upload(&b));
        let product = made(backend, a.len(), |y| backend.multiply(y, &at, &bt));
        assert!(product.iter().zip(a.iter().zip(&b)).all(|(y, (a, b))| *y == a * b));
        let mut sum = backend.upload(&a);
        backend.add_product(&mut sum, &at, &bt);
        let want: Vec<f64> = a.iter().zip(&b).map(|(&a, &b)| f64::from(a) + f64::from(a) * f64::from(b)).collect();
        assert_close(&backend.download(&sum), &want, 1e-6, "a + a b");
        let want: f64 = a.iter().zip(&b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
        let one = on_threads(1, || backend.squared_error(&at, &bt));
        assert!((one - want).abs() < 1e-9 * want);
        assert_eq!(one.to_bits(), on_threads(3, || backend.squared_error(&at, &bt)).to_bits());
    }
}

#[test]
fn softmax_of_rows() {
    let (rows, width) = (700, 37);
    for backend in backends() {
        let x: Vec<f32> = values(rows * width, 1).iter().map(|x| 6.0 * x).collect();
        let forward = |x: &[f32]| made(backend, x.len(), |y| backend.softmax(y, &backend.upload(x), width));
        let y = forward(&x);
        let exact = doubles(&x);
        let want = exact.chunks(width).flat_map(|row| {
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(move |x| x.exp() / sum).collect::<Vec<_>>()
        });
        assert_close(&y, &want.collect::<Vec<_>>(), 1e-6, "softmax");
        assert_same(&forward(&x[5 * width..6 * width]), &y[5 * width..6 * width], "a row alone");
        let few = &x[..3 * width];
        gradient::check(few, "softmax", forward, |dy, d| {
            let y = backend.upload(&forward(few));
            added(backend, d, |to| backend.softmax_backward(to, &backend.upload(dy), &y, width));
        });
    }
}

proptest! {
    #[test]
    fn top_k_keeps_the_largest(row in proptest::collection::vec(-3i8..4, 1..40), k in 0usize..45) {
        let x: Vec<f32> = row.iter().map(|&x| f32::from(x)).collect();
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|&a, &b| x[b].total_cmp(&x[a]).then(a.cmp(&b)));
        let mut want = vec![0.0; x.len()];
        order.iter().take(k).for_each(|&i| want[i] = x[i]);
        for backend in backends() {
            let mut y = backend.scratch(x.len());
            backend.top_k(&mut y, &backend.upload(&x), x.len(), k);
            prop_assert_eq!(backend.download(&y), &want[..]);
            let (mut dx, ones) = (backend.zeros(x.len()), backend.upload(&vec![1.0; x.len()]));
            backend.top_k_backward(&mut dx, &ones, &backend.upload(&x), x.len(), k);
            prop_assert_eq!(backend.download(&dx).iter().sum::<f32>() as usize, k.min(x.len()));
        }
    }
}

#[test]
fn gradients_of_top_k() {
    let (rows, width, k) = (900, 20, 3);
    // Values that stand apart, so that a small step changes no choice.
    let x: Vec<f32> = (0..rows * width).map(|i| ((i * 7 + i / width) % width) as f32 * 0.05 - 0.4).collect();
    for backend in backends() {
        let forward = |x: &[f32]| made(backend, x.len(), |y| backend.top_k(y, &backend.upload(x), width, k));
        gradient::check(&x, "top k", forward, |dy, d| {
            added(backend, d, |to| backend.top_k_backward(to, &backend.upload(dy), &backend.upload(&x), width, k));
        });
    }
}

/// The pseudo-derivative of a step is its central difference over the bandwidth, so it is checked against that.
#[test]
fn thresholds() {
    let (rows, width, bandwidth) = (400, 70, 0.25);
    let (x, theta) = (values(rows * width, 1), values(width, 2));
    for (backend, kind) in backends().flat_map(|backend| [Threshold::Jump, Threshold::Step].map(|kind| (backend, kind)))
    {
        let shape = ThresholdShape { width, kind, bandwidth };
        let forward = |x: &[f32], theta: &[f32]| {
            made(backend, x.len(), |y| backend.threshold(y, &backend.upload(x), &backend.upload(theta), shape))
        };
        for (i, y) in forward(&x, &theta).into_iter().enumerate() {
            let passed = if kind == Threshold::Jump { x[i] } else { 1.0 };
            assert_eq!(y, if x[i] > theta[i % width] { passed } else { 0.0 });
        }
        let dy = values(rows * width, 3);
        let moved = |by: f32| forward(&x, &theta.iter().map(|theta| theta + by).collect::<Vec<_>>());
        let (high, low) = (moved(bandwidth / 2.0), moved(-bandwidth / 2.0));
        let run = || {
            let (mut dx, mut d_theta) = (backend.upload(&dy), backend.zeros(width));
            let (x, theta, dy) = (backend.upload(&x), backend.upload(&theta), backend.upload(&dy));
            backend.threshold_backward(Some(&mut dx), Some(&mut d_theta), &dy, &x, &theta, shape);
            (backend.download(&dx), backend.download(&d_theta))
        };
        let (dx, d_theta) = on_threads(1, run);
        assert_same(&on_threads(3, run).1, &d_theta, "threads");
        for column in 0..width {
            let at = (column..rows * width).step_by(width);
            // The jump's height is x inside the window; the pseudo-derivative takes it to be theta.
            let height = |i: usize| if kind == Threshold::Jump { theta[column] / x[i] } else { 1.0 };
            let want: f64 = at.map(|i| f64::from(dy[i] * (high[i] - low[i]) * height(i)) / f64::from(bandwidth)).sum();
            let got = f64::from(d_theta[column]);
            assert!((got - want).abs() < 1e-3 * (1.0 + want.abs()), "{kind:?}, column {column}: {got}, not {want}");
        }
        for (i, (dx, dy)) in dx.iter().zip(&dy).enumerate() {
            let through = kind == Threshold::Jump && x[i] > theta[i % width];
            assert_eq!(*dx, if through { 2.0 * dy } else { *dy });
        }
    }
}

#[test]
fn a_pattern_applied_is_attention() {
    let (queries, heads, kv_heads, head_dim) = (9, 4, 2, 6);
    let key_order = KeyOrder::Rows;
    let shape = AttentionShape { heads, kv_heads, head_dim, scale: 0.4, softcap: None, window: None, key_order };
    let segments = vec![AttentionSegment { query_start: 0, len: 9, key_start: 0, position: 0, ancestors: vec![] }];
    let layout = AttentionLayout { segments, trees: std::iter::once(0..1).collect(), queries, keys: queries };
    for backend in backends() {
        let (q, k) = (backend.upload(&values(9 * 24, 1)), backend.upload(&values(9 * 12, 2)));
        let v = values(9 * 12, 3);
        let (mut out, mut lse) = (backend.zeros(9 * 24), backend.zeros(9 * heads));
        backend.attention(&mut out, &mut lse, &q, &k, &backend.upload(&v), &layout, shape);
        let mut pattern = backend.zeros(heads * 81);
        backend.attention_pattern(&mut pattern, &q, &k, &layout, shape);
        let pattern = backend.download(&pattern);
        let apply = |pattern: &[f32], v: &[f32]| {
            made(backend, 9 * 24, |out| {
                backend.apply_pattern(out, &backend.upload(pattern), &backend.upload(v), queries, shape)
            })
        };
        assert_close(&apply(&pattern, &v), &doubles(&backend.download(&out)), 1e-6, "attention");
        let back = |dy: &[f32], of_pattern: bool, d: &mut Vec<f32>| {
            let (dy, p, v) = (backend.upload(dy), backend.upload(&pattern), backend.upload(&v));
            added(backend, d, |to| match of_pattern {
                true => backend.apply_pattern_backward(Some(to), None, &dy, &p, &v, queries, shape),
                false => backend.apply_pattern_backward(None, Some(to), &dy, &p, &v, queries, shape),
            });
        };
        gradient::check(&pattern, "pattern", |p| apply(p, &v), |dy, d| back(dy, true, d));
        gradient::check(&v, "values", |v| apply(&pattern, v), |dy, d| back(dy, false, d));
    }
}

/// A scalar of two watched inputs, and its gradients at both.
fn scalar(inputs: [&[f32]; 2], f: impl Fn(&mut Tape<'static>, &Var, &Var) -> Var) -> (f64, [Vec<f32>; 2]) {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::new());
    let mut tape = Tape::recording(backend.clone());
    let [a, b] = inputs.map(|values| tape.watch(Var::constant(backend.upload(values), values.len() / 4, 4)));
    let y = f(&mut tape, &a, &b);
    let zero = Var::constant(backend.zeros(y.rows() * y.width()), y.rows(), y.width());
    let loss = tape.mean_squared_error(&y, &zero);
    let value = f64::from(backend.download(loss.buffer())[0]);
    let one = backend.upload(&[1.0]);
    let watched = tape.backward(vec![Cotangent::Value(&loss, one)], &mut Gradients::new());
    (value, [&a, &b].map(|var| watched.get(var).map(|d| backend.download(d)).unwrap_or_default()))
}

#[test]
fn the_tape_goes_through_all_of_them() {
    type Function = fn(&mut Tape<'static>, &Var, &Var) -> Var;
    let functions: [(&str, Function); 6] = [
        ("multiply", |tape, a, b| tape.multiply(a, b)),
        ("softmax", |tape, a, b| {
            let p = tape.softmax(a);
            tape.multiply(&p, b)
        }),
        ("top k", |tape, a, b| {
            let sum = tape.add(a, b);
            tape.top_k(&sum, 2)
        }),
        ("replaced rows", |tape, a, b| {
            let two = tape.gather_rows(b, &Arc::from([1u32, 2]));
            tape.replace_rows(a, &Arc::from([2u32, 0]), &two)
        }),
        ("a layer whose weight is a value", |tape, a, b| {
            let w = tape.scale(b, 0.5);
            tape.linear(a, &w, None)
        }),
        ("closure", |tape, a, b| {
            let backend = tape.backend().clone();
            let mut y = backend.scratch(a.rows() * a.width());
            backend.multiply(&mut y, a.buffer(), b.buffer());
            let (saved_a, saved_b) = (a.clone(), b.clone());
            tape.closure(&[a, b], (y, a.rows(), a.width()), move |backend, dy| {
                [&saved_b, &saved_a]
                    .map(|other| {
                        let mut d = backend.zeros(dy.len());
                        backend.add_product(&mut d, dy, other.buffer());
                        d
                    })
                    .into()
            })
        }),
    ];
    let (a, b) = (values(12, 5), values(12, 6));
    for (what, f) in functions {
        let (_, gradients) = scalar([&a, &b], f);
        for (side, gradient) in gradients.iter().enumerate() {
            for (i, &got) in gradient.iter().enumerate() {
                let at = |step: f32| {
                    let mut moved = [a.clone(), b.clone()];
                    moved[side][i] += step;
                    scalar([&moved[0], &moved[1]], f).0
                };
                let want = (at(4e-3) - at(-4e-3)) / 8e-3;
                assert!(
                    (f64::from(got) - want).abs() < 2e-3 * (1.0 + want.abs()),
                    "{what}, {side}, {i}: {got}, {want}"
                );
            }
        }
        assert!(gradients.iter().all(|gradient| gradient.len() == 12), "{what}");
    }
}

#[test]
fn thresholds_train_on_the_tape() {
    let x = values(200, 1);
    let (_, [_, d_theta]) =
        scalar([&x, &[0.1, 0.2, 0.3, 0.4]], |tape, x, theta| tape.threshold(x, theta, Threshold::Jump, 0.5));
    // A higher threshold lets less through, and so lowers the sum of squares.
    assert!(d_theta.len() == 4 && d_theta.iter().all(|d| *d < 0.0), "{d_theta:?}");
}
