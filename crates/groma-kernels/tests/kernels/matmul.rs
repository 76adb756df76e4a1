//! Matrix products: against f64, and bits that depend on nothing but the row.

use super::common::{
    assert_close, assert_same, backends, cpus, doubles, on_threads, product_backends, seen, values, weight,
};
use groma_kernels::{Backend, Cpu, LinearOutput, Precision, WeightGradient};
use proptest::prelude::*;

/// `start + a b` in f64; `a(i, k)`, `b(k, j)`.
fn product(
    (m, n, k): (usize, usize, usize),
    start: impl Fn(usize, usize) -> f64,
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    let element = |i, j| (0..k).fold(start(i, j), |sum, l| sum + a(i, l) * b(l, j));
    (0..m).flat_map(|i| (0..n).map(move |j| (i, j))).map(|(i, j)| element(i, j)).collect()
}

fn check(backend: &dyn Backend, rows: usize, inputs: usize, outputs: usize, packed: bool) {
    let given = [(rows * inputs, 1), (rows * outputs, 2), (outputs * inputs, 3), (outputs, 4)];
    let [x, dy, w, bias] = given.map(|(len, seed)| values(len, seed));
    // The reference multiplies what the precision leaves of an operand.
    let of = |values: &[f32]| doubles(&values.iter().map(|&x| seen(x, backend.precision())).collect::<Vec<_>>());
    let (x_seen, dy_seen, w_seen) = (of(&x), of(&dy), of(&w));
    let w = weight(backend, &w, outputs, packed);
    let what = format!("{} {rows} x {inputs} x {outputs}, packed {packed}", backend.name());
    let [x, dy, bias_there] = [&x, &dy, &bias].map(|values| backend.upload(values));

    let mut y = backend.upload(&vec![f32::NAN; rows * outputs]);
    backend.linear(&mut y, &x, &w, Some(&bias_there), rows, inputs, outputs);
    let shape = (rows, outputs, inputs);
    let start = |_, j: usize| f64::from(bias[j]);
    let want = product(shape, start, |i, l| x_seen[i * inputs + l], |l, j| w_seen[j * inputs + l]);
    assert_close(&backend.read(&y), &want, 2e-6 * (inputs as f64).sqrt(), &format!("forward, {what}"));

    let before = values(rows * inputs, 5);
    let mut dx = backend.upload(&before);
    backend.linear_backward_input(&mut dx, false, &dy, &w, rows, inputs, outputs);
    let start = |i, j| f64::from(before[i * inputs + j]);
    let shape = (rows, inputs, outputs);
    let want = product(shape, start, |i, l| dy_seen[i * outputs + l], |l, j| w_seen[l * inputs + j]);
    assert_close(&backend.read(&dx), &want, 2e-6 * (outputs as f64).sqrt(), &format!("dx, {what}"));

    let before = values(outputs * inputs, 6);
    let mut dw = backend.upload(&before);
    backend.linear_backward_weight(&mut dw, false, &dy, &x, rows, inputs, outputs);
    let start = |i, j| f64::from(before[i * inputs + j]);
    let shape = (outputs, inputs, rows);
    let want = product(shape, start, |i, l| dy_seen[l * outputs + i], |l, j| x_seen[l * inputs + j]);
    assert_close(&backend.read(&dw), &want, 2e-6 * (rows as f64).sqrt().max(1.0), &format!("dw, {what}"));
}

/// Fresh gradients are those added to zeros.
fn check_fresh(backend: &dyn Backend, rows: usize, inputs: usize, outputs: usize) {
    let (x, dy) = (backend.upload(&values(rows * inputs, 1)), backend.upload(&values(rows * outputs, 2)));
    let w = backend.upload(&values(outputs * inputs, 3));
    let of = |fresh: bool| {
        let start = |len| backend.upload(&vec![if fresh { f32::NAN } else { 0.0 }; len]);
        let (mut dx, mut dw) = (start(rows * inputs), start(outputs * inputs));
        backend.linear_backward_input(&mut dx, fresh, &dy, &w, rows, inputs, outputs);
        backend.linear_backward_weight(&mut dw, fresh, &dy, &x, rows, inputs, outputs);
        (backend.download(&dx), backend.download(&dw))
    };
    let (added, fresh) = (of(false), of(true));
    assert_same(&fresh.0, &added.0, "dx");
    assert_same(&fresh.1, &added.1, "dw");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn products_are_right(rows in 0usize..70, inputs in 1usize..90, outputs in 1usize..110, packed: bool) {
        for backend in product_backends() {
            check(backend, rows, inputs, outputs, packed);
            check_fresh(backend, rows, inputs, outputs);
        }
    }
}

#[test]
fn large_products_are_right() {
    for (rows, inputs, outputs) in [(130, 600, 300), (5000, 7, 33), (33, 5, 4500), (17, 4200, 9)] {
        for backend in product_backends() {
            check(backend, rows, inputs, outputs, false);
            check(backend, rows, inputs, outputs, true);
        }
    }
}

fn forward(
    backend: &dyn Backend,
    x: &[f32],
    w: &groma_kernels::Buffer,
    rows: usize,
    inputs: usize,
    outputs: usize,
) -> Vec<f32> {
    let mut y = backend.scratch(rows * outputs);
    backend.linear(&mut y, &backend.upload(&x[..rows * inputs]), w, None, rows, inputs, outputs);
    backend.download(&y)
}

#[test]
fn a_row_does_not_depend_on_the_others_nor_on_threads() {
    let (inputs, outputs) = (519, 333);
    let x = values(2048 * inputs, 7);
    for backend in product_backends() {
        let [plain, packed] =
            [false, true].map(|packed| weight(backend, &values(outputs * inputs, 8), outputs, packed));
        let all = forward(backend, &x, &plain, 2048, inputs, outputs);
        for rows in 1..=40 {
            let what = format!("{}, {rows} rows", backend.name());
            assert_same(&forward(backend, &x, &plain, rows, inputs, outputs), &all[..rows * outputs], &what);
            assert_same(&forward(backend, &x, &packed, rows, inputs, outputs), &all[..rows * outputs], &what);
        }
        for threads in 1..=3 {
            for rows in [1, 5, 300, 2048] {
                let got = on_threads(threads, || forward(backend, &x, &plain, rows, inputs, outputs));
                assert_same(&got, &all[..rows * outputs], &format!("{}, {threads} threads", backend.name()));
            }
        }
    }
}

/// Packed weights that are exact in 16 bits are kept as such, and used without a difference.
#[test]
fn packed_weights_in_bf16_and_f16_give_the_same_bits() {
    let bf16_alone = [f32::INFINITY, -0.0, f32::from_bits(0x0001_0000), f32::from_bits(0x8001_0000)];
    let f16_alone = [65504.0, -0.0, 2f32.powi(-24), -1023.0 * 2f32.powi(-24)];
    let in_f16 = |value: f32| (value * 1024.0).round() / 1024.0;
    same_bits_at_half_the_size(bf16_alone, |value| seen(value, Precision::Bf16));
    same_bits_at_half_the_size(f16_alone, in_f16);
}

fn same_bits_at_half_the_size(special: [f32; 4], round: impl Fn(f32) -> f32) {
    for (inputs, outputs) in [(1, 1), (70, 90), (519, 333)] {
        let rounded = values(outputs * inputs, 8).into_iter().map(&round);
        let w: Vec<f32> = special.into_iter().chain(rounded).take(outputs * inputs).collect();
        let x = values(64 * inputs.max(outputs), 7);
        for backend in backends() {
            let [plain, packed] = [false, true].map(|packed| weight(backend, &w, outputs, packed));
            for rows in (1..=40).chain([64]) {
                let what = format!("{}, {rows} rows, {inputs} x {outputs}", backend.name());
                let [want, got] = [&plain, &packed].map(|w| forward(backend, &x, w, rows, inputs, outputs));
                assert_same(&got, &want, &what);
                let [want, got] = [&plain, &packed].map(|w| {
                    let mut dx = backend.zeros(rows * inputs);
                    let dy = backend.upload(&x[..rows * outputs]);
                    backend.linear_backward_input(&mut dx, true, &dy, w, rows, inputs, outputs);
                    backend.download(&dx)
                });
                assert_same(&got, &want, &format!("dx, {what}"));
            }
        }
        let cpu = Cpu::new();
        let held = |w: &[f32]| {
            let before = cpu.memory().in_use_bytes;
            let w = weight(&cpu, w, outputs, true);
            forward(&cpu, &x, &w, 1, inputs, outputs);
            cpu.memory().in_use_bytes - before
        };
        if inputs == 519 {
            let (halved, whole) = (held(&w), held(&values(outputs * inputs, 8)));
            assert!(whole - halved > outputs * inputs * 19 / 10, "{halved} of {whole} bytes");
        }
    }
}

#[test]
fn gradients_do_not_depend_on_threads() {
    let (rows, inputs, outputs) = (700, 200, 150);
    for backend in product_backends() {
        let (x, dy) = (backend.upload(&values(rows * inputs, 1)), backend.upload(&values(rows * outputs, 2)));
        let w = backend.upload(&values(outputs * inputs, 3));
        let gradients = || {
            let (mut dx, mut dw) = (backend.zeros(rows * inputs), backend.zeros(outputs * inputs));
            backend.linear_backward_input(&mut dx, false, &dy, &w, rows, inputs, outputs);
            backend.linear_backward_weight(&mut dw, false, &dy, &x, rows, inputs, outputs);
            (backend.download(&dx), backend.download(&dw))
        };
        let one = on_threads(1, gradients);
        for threads in 2..=3 {
            let got = on_threads(threads, gradients);
            assert_same(&got.0, &one.0, "dx");
            assert_same(&got.1, &one.1, "dw");
        }
    }
}

/// Layers that read the same input give the bits that each gives alone, forward and backward.
#[test]
fn layers_side_by_side_are_layers_one_by_one() {
    for (rows, inputs, widths) in [(1, 40, [40, 16, 16]), (16, 130, [300, 70, 70]), (5000, 30, [33, 1, 40])] {
        for backend in product_backends() {
            let x = backend.upload(&values(rows * inputs, 1));
            let mut weights: Vec<_> = (0..3).map(|i| values(widths[i] * inputs, 2 + i as u64)).collect();
            // One that is packed before, and as bf16.
            weights[2].iter_mut().for_each(|value| *value = seen(*value, Precision::Bf16));
            let weights: Vec<_> = (0..3).map(|i| weight(backend, &weights[i], widths[i], i == 2)).collect();
            let biases = [None, Some(backend.upload(&values(widths[1], 5))), None];
            let grads: Vec<_> = (0..3).map(|i| backend.upload(&values(rows * widths[i], 6 + i as u64))).collect();
            for threads in 1..=3 {
                on_threads(threads, || {
                    let mut ys = widths.map(|width| backend.upload(&vec![f32::NAN; rows * width]));
                    let mut dws = widths.map(|width| backend.upload(&values(width * inputs, 9)));
                    let mut layers: Vec<_> = (ys.iter_mut().zip(&weights).zip(&biases).zip(widths))
                        .map(|(((y, w), bias), outputs)| LinearOutput { y, w, bias: bias.as_ref(), outputs })
                        .collect();
                    backend.linears(&mut layers, &x, rows, inputs);
                    let mut layers: Vec<_> = (dws.iter_mut().zip(&grads).zip(widths).enumerate())
                        .map(|(i, ((dw, dy), outputs))| WeightGradient { dw, fresh: i == 1, dy, outputs })
                        .collect();
                    backend.linear_backward_weights(&mut layers, &x, rows, inputs);
                    for i in 0..3 {
                        let (mut y, mut dw) = (ys[i].clone(), backend.upload(&values(widths[i] * inputs, 9)));
                        backend.linear(&mut y, &x, &weights[i], biases[i].as_ref(), rows, inputs, widths[i]);
                        backend.linear_backward_weight(&mut dw, i == 1, &grads[i], &x, rows, inputs, widths[i]);
                        let what = format!("{}, {rows} rows, layer {i}, {threads} threads", backend.name());
                        assert_same(&backend.read(&ys[i]), &backend.read(&y), &what);
                        assert_same(&backend.read(&dws[i]), &backend.read(&dw), &what);
                    }
                });
            }
        }
    }
}

/// A weight gives back the values that it was made of, wherever in it they stop being exact in bf16 or f16, all of them and row
/// by row, and so do its clone and what is written over it.
#[test]
fn packed_weights_are_read_as_they_were_given() {
    let (rows, width) = (70_000, 17);
    let (last, middle) = (rows * width - 1, rows * width / 2);
    let in_bf16: Vec<f32> = values(rows * width, 8).into_iter().map(|value| seen(value, Precision::Bf16)).collect();
    let in_f16: Vec<f32> = values(rows * width, 8).into_iter().map(|value| (value * 1024.0).round() / 1024.0).collect();
    let in_both: Vec<f32> = values(rows * width, 8).into_iter().map(|value| (value * 64.0).round() / 64.0).collect();
    let (subnormal, f16_alone) = (f32::from_bits(0x0001_0000), 1.0 + 1.0 / 1024.0);
    let odd_ones = [(0, 0.0), (3, 0.1), (last, 0.1), (middle, subnormal), (middle, f16_alone), (last, f32::INFINITY)];
    for backend in product_backends() {
        for (values, (place, odd)) in
            [&in_bf16, &in_f16, &in_both].into_iter().flat_map(|v| odd_ones.map(|odd| (v, odd)))
        {
            let mut given = values.clone();
            given[place] = odd;
            let w = weight(backend, &given, rows, true);
            let what = format!("{}, {odd:e} at {place}", backend.name());
            assert_same(&backend.read(&w), &given, &what);
            assert_same(&backend.read(&w.clone()), &given, &what);
            let index = [0, 69_999, 5, 35_000, 61_681];
            let mut y = backend.scratch(index.len() * width);
            backend.gather_rows(&mut y, &w, &index, width);
            let want: Vec<f32> =
                index.iter().flat_map(|&row| &given[row as usize * width..][..width]).copied().collect();
            assert_same(&backend.read(&y), &want, &what);
            assert_eq!(backend.sum_of_squares(&w), backend.sum_of_squares(&backend.upload(&given)), "{what}");
        }
    }
}

#[test]
fn writing_to_a_packed_weight_takes_effect() {
    let (inputs, outputs) = (40, 50);
    let x = values(3 * inputs, 1);
    for backend in product_backends() {
        let mut w = weight(backend, &values(outputs * inputs, 2), outputs, true);
        let before = forward(backend, &x, &w, 3, inputs, outputs);
        let twin = w.clone();
        backend.add_scaled(&mut w, &twin, 1.0);
        let after = forward(backend, &x, &w, 3, inputs, outputs);
        let doubled: Vec<f32> = before.iter().map(|value| 2.0 * value).collect();
        assert_same(&after, &doubled, "what was packed is no longer");
    }
}

#[test]
fn fused_levels_agree_to_the_bit() {
    let (rows, inputs, outputs) = (19, 300, 77);
    let results: Vec<_> = cpus()
        .filter(|backend| backend.level() != groma_kernels::Level::Portable)
        .map(|backend| {
            let w = backend.upload(&values(outputs * inputs, 2));
            forward(backend, &values(rows * inputs, 1), &w, rows, inputs, outputs)
        })
        .collect();
    for result in results.windows(2) {
        assert_same(&result[0], &result[1], "AVX2 and AVX-512 both round once");
    }
}

#[test]
fn bf16_differs_from_f32_by_no_more_than_its_bound() {
    let (rows, inputs, outputs) = (37, 700, 53);
    for backend in product_backends().filter(|backend| backend.precision() == Precision::Bf16) {
        // Large values and small ones, so that the bound is one of sizes and not of the result.
        let spread = |values: Vec<f32>| values.into_iter().map(|value| value.powi(5) * 1e3).collect::<Vec<f32>>();
        let (x, w) = (spread(values(rows * inputs, 1)), spread(values(outputs * inputs, 2)));
        let got = forward(backend, &x, &backend.upload(&w), rows, inputs, outputs);
        for (at, &got) in got.iter().enumerate() {
            let (x, w) = (&x[at / outputs * inputs..][..inputs], &w[at % outputs * inputs..][..inputs]);
            let terms = || x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w));
            let (want, sizes): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
            let error = (f64::from(got) - want).abs();
            assert!(error <= (2f64.powi(-7) + 1e-5) * sizes, "{}: {got} instead of {want}", backend.name());
        }
    }
}

#[test]
fn a_level_without_bf16_computes_in_f32_and_says_so() {
    let backend =
        Cpu::with_level(groma_kernels::Level::Portable).expect("every machine has it").with_precision(Precision::Bf16);
    assert_eq!((backend.precision(), backend.name()), (Precision::F32, "cpu portable".to_owned()));
}
