//! Kernels that move or rotate rows and columns, and edits: values and gradients.
use super::common::{assert_close, assert_same, backends, on_threads, values};
use super::gradient;
use groma_kernels::{Backend, Edit, RotaryShape, RotaryStyle};

#[test]
fn embedding_and_gathering() {
    for backend in backends() {
        let (width, ids) = (70, [3u32, 0, 3, 9, 1]);
        let table = values(10 * width, 1);
        let embed = |table: &[f32]| {
            let mut out = backend.scratch(ids.len() * width);
            backend.embed(&mut out, &backend.upload(table), &ids, width);
            backend.download(&out)
        };
        assert_eq!(embed(&table)[2 * width..3 * width], table[3 * width..4 * width]);
        gradient::check(&table, "embed", embed, |dy, d| {
            let mut to = backend.upload(d);
            backend.embed_backward(&mut to, &backend.upload(dy), &ids, width);
            *d = backend.download(&to);
        });
        let gather = |x: &[f32]| {
            let mut y = backend.scratch(ids.len() * width);
            backend.gather_rows(&mut y, &backend.upload(x), &ids, width);
            backend.download(&y)
        };
        gradient::check(&table, "gather", gather, |dy, d| {
            let mut to = backend.upload(d);
            backend.gather_rows_backward(&mut to, &backend.upload(dy), &ids, width);
            *d = backend.download(&to);
        });
    }
}

#[test]
fn sums_over_rows_do_not_depend_on_threads() {
    for backend in backends() {
        let (rows, width) = (3000, 130);
        let dy = values(rows * width, 1);
        let run = || {
            let mut db = backend.upload(&vec![1.0; width]);
            backend.sum_rows(&mut db, &backend.upload(&dy), rows, width);
            backend.download(&db)
        };
        let want: Vec<f64> =
            (0..width).map(|j| 1.0 + dy.iter().skip(j).step_by(width).map(|&x| f64::from(x)).sum::<f64>()).collect();
        let one = on_threads(1, run);
        assert_close(&one, &want, 1e-5, "sums");
        assert_same(&on_threads(3, run), &one, "threads");
    }
}

#[test]
fn columns_of_fused_projections() {
    // 5 rows of 3 heads of (query 4, key 4, value 4): the keys.
    let (rows, width, start, stride, groups, run) = (5, 36, 4, 12, 3, 4);
    for backend in backends() {
        let x = values(rows * width, 1);
        let take = |x: &[f32]| {
            let mut y = backend.scratch(rows * groups * run);
            backend.columns(&mut y, &backend.upload(x), rows, width, start, stride, groups, run);
            backend.download(&y)
        };
        assert_eq!(take(&x)[groups * run + 4..][..4], x[width + start + stride..][..4]);
        gradient::check(&x, "columns", take, |dy, d| {
            let mut to = backend.upload(d);
            backend.columns_backward(&mut to, &backend.upload(dy), rows, width, start, stride, groups, run);
            *d = backend.download(&to);
        });
    }
}

fn rotary(backend: &dyn Backend, x: &[f32], table: &[f32], positions: &[u32], shape: RotaryShape) -> Vec<f32> {
    let mut y = backend.scratch(x.len());
    backend.rotary(&mut y, &backend.upload(x), &backend.upload(table), positions, shape);
    backend.download(&y)
}

#[test]
fn rotations() {
    let positions = [0u32, 4, 2, 4];
    for (backend, style) in
        backends().flat_map(|backend| [RotaryStyle::Halves, RotaryStyle::Interleaved].map(|style| (backend, style)))
    {
        let shape = RotaryShape { rows: 4, heads: 3, head_dim: 10, rotated: 6, style };
        let angle = |position: usize, pair: usize| position as f64 * 0.7f64.powi(pair as i32 + 1);
        let table: Vec<f32> = (0..5)
            .flat_map(|p| {
                let cosines = (0..3).map(move |i| angle(p, i).cos() as f32);
                cosines.chain((0..3).map(move |i| angle(p, i).sin() as f32))
            })
            .collect();
        let x = values(120, 1);
        let y = rotary(backend, &x, &table, &positions, shape);
        // Row 1, head 2, pair 1 at position 4.
        let base = 30 + 20;
        let (first, second) = if style == RotaryStyle::Halves { (base + 1, base + 4) } else { (base + 2, base + 3) };
        let (sin, cos) = angle(4, 1).sin_cos();
        let (a, b) = (f64::from(x[first]), f64::from(x[second]));
        assert_close(&[y[first], y[second]], &[a * cos - b * sin, b * cos + a * sin], 1e-6, "a pair");
        assert_eq!(y[base + 6..base + 10], x[base + 6..base + 10]);
        gradient::check(
            &x,
            "rotary",
            |x| rotary(backend, x, &table, &positions, shape),
            |dy, d| {
                let mut to = backend.upload(d);
                backend.rotary_backward(&mut to, &backend.upload(dy), &backend.upload(&table), &positions, shape);
                *d = backend.download(&to);
            },
        );
    }
}

#[test]
fn edits() {
    let (width, rows) = (20, [4u32, 1]);
    let x = values(6 * (width + 7), 1);
    let edits = [
        Edit::Add { vector: values(width, 2), coefficient: -1.5 },
        Edit::ProjectOut { direction: values(width, 3), strength: 0.8 },
        Edit::Replace { values: values(width, 4) },
        Edit::Replace { values: values(2 * width, 4) },
        Edit::Scale { factor: 0.3 },
        Edit::Clamp { low: -0.503, high: 0.25 },
    ];
    for (backend, edit) in backends().flat_map(|backend| edits.iter().map(move |edit| (backend, edit))) {
        let apply = |x: &[f32]| {
            let mut y = backend.upload(x);
            backend.edit(&mut y, &rows, width + 7, 3..3 + width, edit);
            backend.download(&y)
        };
        let y = apply(&x);
        let part = |x: &[f32], row: usize| x[row * (width + 7)..][3..3 + width].to_vec();
        assert!(part(&y, 1) != part(&x, 1) && part(&y, 4) != part(&x, 4));
        let same = y.iter().zip(&x).filter(|(y, x)| y.to_bits() == x.to_bits()).count();
        assert!(same >= x.len() - 2 * width, "what is not listed stays");
        assert_same(&y[..width + 7], &x[..width + 7], "a row that is not listed");
        gradient::check(&x, &format!("{edit:?}"), apply, |dy, d| {
            let mut through = backend.upload(dy);
            backend.edit_backward(&mut through, &backend.upload(&x), &rows, width + 7, 3..3 + width, edit);
            d.iter_mut().zip(&*backend.read(&through)).for_each(|(d, through)| *d += through);
        });
    }
}

#[test]
fn a_direction_projected_out_is_gone() {
    for backend in backends() {
        let (mut x, direction) = (backend.upload(&values(50, 1)), values(50, 2));
        backend.edit(&mut x, &[0], 50, 0..50, &Edit::ProjectOut { direction: direction.clone(), strength: 1.0 });
        let left: f32 = backend.read(&x).iter().zip(&direction).map(|(x, d)| x * d).sum();
        assert!(left.abs() < 1e-5, "{left}");
    }
}
