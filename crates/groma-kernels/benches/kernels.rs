//! Kernel speeds: `cargo bench -p groma-kernels --bench kernels [-- FILTER]`. Products and attention count floating-point
//! operations, so criterion's `Gelem/s` are GFLOP/s; compare them with `peak`, and with the gemm crate on the same shapes.
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use groma_kernels::{
    AttentionLayout, AttentionSegment, AttentionShape, Backend, Buffer, Cpu, Divergence, HeadShape, HeadWants,
    KeyOrder, NormKind, NormShape, Teacher,
};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Duration;

/// Rows, inputs, outputs.
const SHAPES: [[usize; 3]; 5] =
    [[2048, 512, 512], [2048, 512, 1376], [2048, 1376, 512], [2048, 512, 8192], [256, 128, 352]];

fn values(cpu: &Cpu, len: usize) -> Buffer {
    cpu.upload(&(0..len).map(|i| (i * 7919 % 1013) as f32 / 1013.0 - 0.5).collect::<Vec<f32>>())
}

/// The same weight, of so many rows, kept for reading alone.
#[allow(clippy::expect_used, reason = "nothing is read that could fail")]
fn packed(cpu: &Cpu, w: &Buffer, rows: usize) -> Buffer {
    let (values, mut first) = (cpu.read(w), 0);
    let mut next = |to: &mut [f32]| {
        to.copy_from_slice(&values[first..][..to.len()]);
        first += to.len();
        Ok(())
    };
    cpu.weight(rows, w.len() / rows, &mut next).expect("values are at hand")
}

/// Ten independent chains of fused multiply-adds, enough to hide their latency.
#[cfg(target_arch = "x86_64")]
mod chains {
    use std::arch::x86_64::*;

    pub(super) const STEPS: usize = 1 << 16;
    const CHAINS: usize = 10;

    #[target_feature(enable = "avx512f")]
    fn avx512(factor: f32) -> f32 {
        let mut sums = [_mm512_set1_ps(factor); CHAINS];
        let factor = _mm512_set1_ps(factor);
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, factor);
            }
        }
        sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
    }

    #[target_feature(enable = "avx2,fma")]
    fn avx2(factor: f32) -> f32 {
        let mut sums = [_mm256_set1_ps(factor); CHAINS];
        let factor = _mm256_set1_ps(factor);
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, factor);
            }
        }
        sums.into_iter().map(|sum| _mm256_cvtss_f32(sum)).sum()
    }

    /// Runs the chains on the calling thread; the number of operations, or `None` without the instructions.
    pub(super) fn run(level: groma_kernels::Level, factor: f32) -> Option<(usize, f32)> {
        match level.min(groma_kernels::Level::Avx512) {
            // SAFETY: a backend has this level only if the processor has AVX-512F.
            groma_kernels::Level::Avx512 => Some((STEPS * CHAINS * 16 * 2, unsafe { avx512(factor) })),
            // SAFETY: likewise AVX2 and FMA.
            groma_kernels::Level::Avx2 => Some((STEPS * CHAINS * 8 * 2, unsafe { avx2(factor) })),
            _ => None,
        }
    }
}

fn peak(criterion: &mut Criterion) {
    #[cfg(target_arch = "x86_64")]
    if let Some((operations, _)) = chains::run(Cpu::new().level(), 0.5) {
        let threads = rayon::current_num_threads();
        let mut group = criterion.benchmark_group("peak");
        group.throughput(Throughput::Elements((operations * threads) as u64));
        group.bench_function(format!("fma, {threads} threads"), |bencher| {
            bencher.iter(|| {
                (0..threads).into_par_iter().for_each(|_| {
                    black_box(chains::run(Cpu::new().level(), black_box(0.5)));
                })
            });
        });
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = criterion;
}

/// The gemm crate on row-major operands: strides of (row, column) for A and B.
fn peer(
    (m, n, k): (usize, usize, usize),
    c: &mut [f32],
    add: bool,
    (a, a_strides): (&[f32], [usize; 2]),
    (b, b_strides): (&[f32], [usize; 2]),
) {
    let [a_row, a_column] = a_strides.map(|stride| stride as isize);
    let [b_row, b_column] = b_strides.map(|stride| stride as isize);
    let parallelism = gemm::Parallelism::Rayon(rayon::current_num_threads());
    let (c, a, b) = (c.as_mut_ptr(), a.as_ptr(), b.as_ptr());
    // SAFETY: the callers below pass strides that stay inside the buffers.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c,
            1,
            n as isize,
            add,
            a,
            a_column,
            a_row,
            b,
            b_column,
            b_row,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

fn products(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    for [m, k, n] in SHAPES {
        let mut group = criterion.benchmark_group(format!("product {m}x{k}x{n}"));
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
        let (x, w, dy) = (values(&cpu, m * k), values(&cpu, n * k), values(&cpu, m * n));
        let (mut y, mut dx, mut dw) = (cpu.zeros(m * n), cpu.zeros(m * k), cpu.zeros(n * k));
        let [x_values, w_values, dy_values] = [&x, &w, &dy].map(|buffer| cpu.read(buffer));
        let mut result = vec![0.0; (m * n).max(m * k).max(n * k)];
        let kept = packed(&cpu, &w, n);
        group.bench_function("forward", |b| b.iter(|| cpu.linear(&mut y, &x, &w, None, m, k, n)));
        group.bench_function("forward, packed", |b| b.iter(|| cpu.linear(&mut y, &x, &kept, None, m, k, n)));
        group.bench_function("forward, gemm crate", |b| {
            b.iter(|| peer((m, n, k), &mut result[..m * n], false, (&x_values, [k, 1]), (&w_values, [1, k])));
        });
        group.bench_function("input gradient", |b| {
            b.iter(|| cpu.linear_backward_input(&mut dx, true, &dy, &w, m, k, n))
        });
        group.bench_function("input gradient, gemm crate", |b| {
            b.iter(|| peer((m, k, n), &mut result[..m * k], true, (&dy_values, [n, 1]), (&w_values, [k, 1])));
        });
        group.bench_function("weight gradient", |b| {
            b.iter(|| cpu.linear_backward_weight(&mut dw, true, &dy, &x, m, k, n))
        });
        group.bench_function("weight gradient, gemm crate", |b| {
            b.iter(|| peer((n, k, m), &mut result[..n * k], true, (&dy_values, [1, n]), (&x_values, [k, 1])));
        });
    }
}

/// Decoding: few rows against a packed weight, which is limited by memory; bytes of the weight are counted.
fn decode(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let (k, n) = (512, 8192);
    let w = packed(&cpu, &values(&cpu, n * k), n);
    let mut group = criterion.benchmark_group("decode 512x8192");
    group.throughput(Throughput::Bytes((k * n * 4) as u64));
    for rows in [1, 4, 16] {
        let (x, mut y) = (values(&cpu, rows * k), cpu.zeros(rows * n));
        group.bench_function(format!("{rows} rows"), |b| b.iter(|| cpu.linear(&mut y, &x, &w, None, rows, k, n)));
    }
}

fn attention(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let shape = AttentionShape {
        heads: 8,
        kv_heads: 4,
        head_dim: 64,
        scale: 0.125,
        softcap: None,
        window: None,
        key_order: KeyOrder::Rows,
    };
    for (sequences, len) in [(8, 256), (1, 2048)] {
        let rows = sequences * len;
        let segment =
            |i| AttentionSegment { query_start: i * len, len, key_start: i * len, position: 0, ancestors: vec![] };
        let layout = AttentionLayout {
            segments: (0..sequences).map(segment).collect(),
            trees: (0..sequences).map(|i| i..i + 1).collect(),
            queries: rows,
            keys: rows,
        };
        let (q, k, v) = (values(&cpu, rows * 512), values(&cpu, rows * 256), values(&cpu, rows * 256));
        let (mut out, mut lse) = (cpu.zeros(rows * 512), cpu.zeros(rows * 8));
        let (mut dq, mut dk, mut dv) = (cpu.zeros(rows * 512), cpu.zeros(rows * 256), cpu.zeros(rows * 256));
        let product = sequences * len * (len + 1) / 2 * 8 * 64 * 2;
        let mut group = criterion.benchmark_group(format!("attention {sequences}x{len}, 8 heads of 64"));
        group.throughput(Throughput::Elements(2 * product as u64));
        group.bench_function("forward", |b| b.iter(|| cpu.attention(&mut out, &mut lse, &q, &k, &v, &layout, shape)));
        group.throughput(Throughput::Elements(5 * product as u64));
        group.bench_function("backward", |b| {
            b.iter(|| cpu.attention_backward(&mut dq, &mut dk, &mut dv, &q, &out, &lse, &q, &k, &v, &layout, shape));
        });
    }
}

fn head(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let shape = HeadShape { rows: 2048, width: 512, vocab: 8192, softcap: None, temperature: 1.0 };
    let (hidden, unembed) = (values(&cpu, shape.rows * shape.width), values(&cpu, shape.vocab * shape.width));
    let targets: Vec<u32> = (0..shape.rows as u32).collect();
    let wants = HeadWants { entropy: true, mean_logit: false, argmax: true };
    let output = cpu.head(&hidden, &unembed, &targets, shape, wants, None);
    let d_logp = vec![1.0; shape.rows];
    let (mut d_hidden, mut d_unembed) = (cpu.zeros(hidden.len()), cpu.zeros(unembed.len()));
    let product = (2 * shape.rows * shape.width * shape.vocab) as u64;
    let mut group = criterion.benchmark_group("head 2048x512, vocabulary 8192");
    group.throughput(Throughput::Elements(product));
    group.bench_function("forward", |b| b.iter(|| cpu.head(&hidden, &unembed, &targets, shape, wants, None)));
    group.throughput(Throughput::Elements(3 * product));
    group.bench_function("backward", |b| {
        b.iter(|| {
            let (to_hidden, to_unembed) = (Some(&mut d_hidden), Some(&mut d_unembed));
            cpu.head_backward(to_hidden, to_unembed, &hidden, &unembed, &targets, &output, None, &d_logp, &[], shape);
        });
    });
}

fn divergence(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let shape = HeadShape { rows: 2048, width: 512, vocab: 8192, softcap: None, temperature: 1.0 };
    let (hidden, unembed) = (values(&cpu, shape.rows * shape.width), values(&cpu, shape.vocab * shape.width));
    let (their_hidden, their_unembed) = (values(&cpu, hidden.len()), values(&cpu, unembed.len()));
    let teacher = Teacher { hidden: &their_hidden, unembed: &their_unembed, width: shape.width, softcap: None };
    let d_value = vec![1.0; shape.rows];
    let (mut d_hidden, mut d_unembed) = (cpu.zeros(hidden.len()), cpu.zeros(unembed.len()));
    let product = (2 * shape.rows * shape.width * shape.vocab) as u64;
    let mut group = criterion.benchmark_group("divergence 2048x512, vocabulary 8192");
    for by in [Divergence::ForwardKl, Divergence::JensenShannon { beta: 0.5 }] {
        let kind = by.into();
        let output = cpu.divergence(&hidden, &unembed, teacher, kind, shape);
        group.throughput(Throughput::Elements(2 * product));
        group.bench_function(format!("{by:?} forward"), |b| {
            b.iter(|| cpu.divergence(&hidden, &unembed, teacher, kind, shape));
        });
        group.throughput(Throughput::Elements(4 * product));
        group.bench_function(format!("{by:?} backward"), |b| {
            b.iter(|| {
                let (to_hidden, to_unembed) = (Some(&mut d_hidden), Some(&mut d_unembed));
                let (h, u) = (&hidden, &unembed);
                cpu.divergence_backward(to_hidden, to_unembed, h, u, teacher, kind, &output, &d_value, shape);
            });
        });
    }
    group.throughput(Throughput::Elements(product));
    group.bench_function("10 top tokens", |b| b.iter(|| cpu.top_tokens(&hidden, &unembed, 10, shape)));
}

fn rows(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let (rows, width) = (2048, 512);
    let shape = NormShape { rows, width, kind: NormKind::Rms, eps: 1e-5, weight_offset: 0.0 };
    let (x, dy, weight) = (values(&cpu, rows * width), values(&cpu, rows * width), values(&cpu, width));
    let (mut y, mut stats, mut dx, mut dw) =
        (cpu.zeros(rows * width), cpu.zeros(rows * 2), cpu.zeros(rows * width), cpu.zeros(width));
    let mut group = criterion.benchmark_group("rows 2048x512");
    group.throughput(Throughput::Elements((rows * width) as u64));
    group.bench_function("norm", |b| b.iter(|| cpu.norm(&mut y, &mut stats, &x, Some(&weight), None, shape)));
    group.bench_function("norm backward", |b| {
        b.iter(|| cpu.norm_backward(Some(&mut dx), Some(&mut dw), None, &dy, &x, &stats, Some(&weight), shape));
    });
    let kind = groma_kernels::Activation::Silu;
    group.bench_function("gated silu", |b| b.iter(|| cpu.gated(&mut y, &x, &dy, kind)));
    group.bench_function("add", |b| b.iter(|| cpu.add(&mut y, &x, &dy)));
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .without_plots()
}

criterion_group! {
    name = kernels;
    config = short();
    targets = peak, products, decode, attention, head, divergence, rows
}
criterion_main!(kernels);
