//! Tree attention: against f64 on random forests, gradients against central differences, and bits that do not depend on
//! how a path is cut, on the batch, or on threads.
use super::common::{assert_close, assert_same, backends, doubles, on_threads, values};
use groma_kernels::{AttentionLayout, AttentionSegment, AttentionShape, Backend, KEY_PANEL, KeyOrder, KeySpan};
use proptest::prelude::*;

/// What tests ask of attention where they ask nothing else.
const SHAPE: AttentionShape = AttentionShape {
    heads: 4,
    kv_heads: 2,
    head_dim: 32,
    scale: 0.2,
    softcap: None,
    window: None,
    key_order: KeyOrder::Rows,
};

/// Lengths and parents of segments become a layout; a parent is an index of an earlier segment of the same tree. `cached`
/// keys without queries stand before each root.
fn layout(trees: &[Vec<(usize, usize)>], cached: usize) -> AttentionLayout {
    let mut layout = AttentionLayout::default();
    for tree in trees {
        let first = layout.segments.len();
        let cache = KeySpan { start: layout.keys, len: cached, position: 0 };
        layout.keys += cached;
        for (i, &(len, parent)) in tree.iter().enumerate() {
            let ancestors = if i == 0 {
                Vec::from_iter((cached > 0).then_some(cache))
            } else {
                let parent: &AttentionSegment = &layout.segments[first + parent % i];
                let own = KeySpan { start: parent.key_start, len: parent.len, position: parent.position };
                parent.ancestors.iter().copied().chain([own]).collect()
            };
            let position = ancestors.iter().map(|span| span.len).sum();
            let (query_start, key_start) = (layout.queries, layout.keys);
            layout.segments.push(AttentionSegment { query_start, len, key_start, position, ancestors });
            layout.queries += len;
            layout.keys += len;
        }
        layout.trees.push(first..layout.segments.len());
    }
    layout
}

/// Key rows and path positions that a query sees.
fn visible(segment: &AttentionSegment, offset: usize, window: Option<usize>) -> Vec<usize> {
    let own = KeySpan { start: segment.key_start, len: offset + 1, position: segment.position };
    let first = window.map_or(0, |window| (segment.position + offset + 1).saturating_sub(window));
    let spans = segment.ancestors.iter().copied().chain([own]);
    let rows = spans.flat_map(|span| (0..span.len).map(move |i| (span.position + i, span.start + i)));
    rows.filter(|&(position, _)| position >= first).map(|(_, row)| row).collect()
}

/// Output and log-sum-exp in f64.
fn reference(q: &[f64], k: &[f64], v: &[f64], layout: &AttentionLayout, shape: AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (dim, heads, group) = (shape.head_dim, shape.heads, shape.heads / shape.kv_heads);
    let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; layout.queries * heads]);
    for segment in &layout.segments {
        for offset in 0..segment.len {
            for head in 0..heads {
                let at = (segment.query_start + offset) * heads + head;
                let rows = visible(segment, offset, shape.window);
                let start = |row: usize| (row * shape.kv_heads + head / group) * dim;
                let score = |row: &usize| {
                    let raw: f64 =
                        (0..dim).map(|d| q[at * dim + d] * k[start(*row) + d]).sum::<f64>() * f64::from(shape.scale);
                    shape.softcap.map_or(raw, |cap| f64::from(cap) * (raw / f64::from(cap)).tanh())
                };
                let scores: Vec<f64> = rows.iter().map(score).collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                lse[at] = max + scores.iter().map(|s| (s - max).exp()).sum::<f64>().ln();
                for (row, s) in rows.iter().zip(&scores) {
                    let p = (s - lse[at]).exp();
                    (0..dim).for_each(|d| out[at * dim + d] += p * v[start(*row) + d]);
                }
            }
        }
    }
    (out, lse)
}

struct Problem {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    layout: AttentionLayout,
    shape: AttentionShape,
}

impl Problem {
    fn new(layout: AttentionLayout, shape: AttentionShape) -> Self {
        let queries = layout.queries * shape.heads * shape.head_dim;
        let keys = layout.keys * shape.kv_heads * shape.head_dim;
        let grow = |values: Vec<f32>| values.into_iter().map(|x| 2.0 * x).collect();
        Self { q: grow(values(queries, 1)), k: grow(values(keys, 2)), v: values(keys, 3), layout, shape }
    }

    fn forward(&self, backend: &dyn Backend) -> (Vec<f32>, Vec<f32>) {
        let (mut out, mut lse) =
            (backend.scratch(self.q.len()), backend.scratch(self.layout.queries * self.shape.heads));
        let (q, k, v) = (backend.upload(&self.q), backend.upload(&self.k), backend.upload(&self.v));
        backend.attention(&mut out, &mut lse, &q, &k, &v, &self.layout, self.shape);
        (backend.download(&out), backend.download(&lse))
    }

    /// Gradients of q, k, v, each added to values that were there before.
    fn backward(&self, backend: &dyn Backend, d_out: &[f32], before: f32) -> [Vec<f32>; 3] {
        let (out, lse) = self.forward(backend);
        let (out, lse, d_out) = (backend.upload(&out), backend.upload(&lse), backend.upload(d_out));
        let (q, k, v) = (backend.upload(&self.q), backend.upload(&self.k), backend.upload(&self.v));
        let start = |len: usize| backend.upload(&vec![before; len]);
        let (mut dq, mut dk, mut dv) = (start(self.q.len()), start(self.k.len()), start(self.v.len()));
        let (layout, shape) = (&self.layout, self.shape);
        backend.attention_backward(&mut dq, &mut dk, &mut dv, &d_out, &out, &lse, &q, &k, &v, layout, shape);
        [backend.download(&dq), backend.download(&dk), backend.download(&dv)]
    }

    fn check_forward(&self) {
        let (q, k, v) = (doubles(&self.q), doubles(&self.k), doubles(&self.v));
        let (want, want_lse) = reference(&q, &k, &v, &self.layout, self.shape);
        for backend in backends() {
            let (out, lse) = self.forward(backend);
            assert_close(&out, &want, 1e-5, &format!("out, {}", backend.name()));
            assert_close(&lse, &want_lse, 1e-5, &format!("lse, {}", backend.name()));
        }
    }

    /// Compares with central differences of the f64 reference, at most `most` elements of each input.
    fn check_backward(&self, most: usize) {
        let d_out = values(self.q.len(), 9);
        let inputs = [doubles(&self.q), doubles(&self.k), doubles(&self.v)];
        let loss = |inputs: &[Vec<f64>; 3]| {
            let (out, _) = reference(&inputs[0], &inputs[1], &inputs[2], &self.layout, self.shape);
            out.iter().zip(&d_out).map(|(o, &d)| o * f64::from(d)).sum::<f64>()
        };
        let results: Vec<_> =
            backends().map(|backend| (backend.name(), self.backward(backend, &d_out, 0.25))).collect();
        for input in 0..3 {
            let len = inputs[input].len();
            for element in (0..len).step_by(len.div_ceil(most).max(1)) {
                let at = |step: f64| {
                    let mut moved = inputs.clone();
                    moved[input][element] += step;
                    loss(&moved)
                };
                let want = (at(1e-4) - at(-1e-4)) / 2e-4 + 0.25;
                for (name, gradients) in &results {
                    let got = f64::from(gradients[input][element]);
                    let bound = 2e-5 * (1.0 + want.abs());
                    assert!((got - want).abs() < bound, "{name}: input {input}, element {element}: {got}, not {want}");
                }
            }
        }
    }
}

fn trees(longest: usize) -> impl Strategy<Value = Vec<Vec<(usize, usize)>>> {
    prop::collection::vec(prop::collection::vec((1..=longest, 0usize..6), 1..6), 1..4)
}

fn shapes() -> impl Strategy<Value = AttentionShape> {
    let dims = prop::sample::select(vec![1, 5, 8, 16, 20, 33, 64]);
    (1usize..4, 1usize..4, dims, prop::option::of(1usize..90), prop::option::of(1.0f32..20.0)).prop_map(
        |(kv_heads, group, head_dim, window, softcap)| AttentionShape {
            heads: kv_heads * group,
            kv_heads,
            head_dim,
            scale: 1.0 / (head_dim as f32).sqrt(),
            softcap,
            window,
            key_order: KeyOrder::Rows,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn outputs_are_right(trees in trees(80), shape in shapes(), cached in 0usize..70) {
        Problem::new(layout(&trees, cached), shape).check_forward();
    }

    #[test]
    fn gradients_are_right(trees in trees(9), shape in shapes(), cached in 0usize..5) {
        Problem::new(layout(&trees, cached), shape).check_backward(12);
    }
}

#[test]
fn gradients_are_right_across_blocks() {
    let shape = AttentionShape { head_dim: 20, scale: 0.3, softcap: Some(4.0), window: Some(90), ..SHAPE };
    let trees = [vec![(70, 0), (40, 0), (5, 0), (100, 1), (3, 1)], vec![(130, 0)]];
    Problem::new(layout(&trees, 0), shape).check_backward(20);
    let shape = AttentionShape { softcap: None, window: None, ..shape };
    Problem::new(layout(&trees, 33), shape).check_backward(20);
}

#[test]
fn long_paths_and_many_heads_are_right() {
    let shape = AttentionShape { heads: 6, head_dim: 64, scale: 0.125, ..SHAPE };
    Problem::new(layout(&[vec![(500, 0), (1, 0), (90, 0), (1, 2)]], 0), shape).check_forward();
    let shape = AttentionShape { heads: 300, kv_heads: 1, head_dim: 3, ..shape };
    Problem::new(layout(&[vec![(5, 0)]], 0), shape).check_forward();
}

/// The same path of 200 tokens, cut at the given places; the rows of queries and keys are those of the path.
fn cut_path(cuts: &[usize]) -> AttentionLayout {
    let ends: Vec<usize> = cuts.iter().copied().chain([200]).collect();
    let mut start = 0;
    let mut segments: Vec<(usize, usize)> = Vec::new();
    for end in ends {
        segments.push((end - start, segments.len().saturating_sub(1)));
        start = end;
    }
    layout(&[segments], 0)
}

#[test]
fn bits_do_not_depend_on_cuts_or_threads() {
    for (window, softcap) in [(None, None), (Some(77), Some(5.0))] {
        let shape = AttentionShape { head_dim: 40, softcap, window, ..SHAPE };
        for backend in backends() {
            let whole = Problem::new(cut_path(&[]), shape).forward(backend);
            for cuts in [vec![1], vec![64], vec![63, 65, 129], vec![10, 20, 30, 199], (1..200).collect()] {
                let got = Problem::new(cut_path(&cuts), shape).forward(backend);
                assert_same(&got.0, &whole.0, &format!("{} cut at {cuts:?}", backend.name()));
                assert_same(&got.1, &whole.1, "log-sum-exp");
            }
            for threads in 1..=3 {
                let problem = Problem::new(cut_path(&[50, 51]), shape);
                let got = on_threads(threads, || problem.forward(backend));
                assert_same(&got.0, &whole.0, &format!("{} on {threads} threads", backend.name()));
            }
        }
    }
}

/// A cache's keys and values give the bits of those in rows, wherever in the panels they lie.
#[test]
fn bits_do_not_depend_on_the_order_of_keys() {
    for (head_dim, window, softcap) in [(32, None, None), (64, None, None), (40, Some(77), Some(5.0))] {
        let shape = AttentionShape { heads: 6, head_dim, softcap, window, ..SHAPE };
        for trees in [vec![vec![(150, 0), (7, 0), (1, 0), (4, 0), (9, 3)], vec![(20, 0)]], vec![vec![(1, 0)]]] {
            for cached in [0, 1, 31, 64, 70] {
                for backend in backends() {
                    let mut problem = Problem::new(layout(&trees, cached), shape);
                    let want = problem.forward(backend);
                    let (rows, width) = (problem.layout.keys, 2 * head_dim);
                    let padded = rows.next_multiple_of(KEY_PANEL) + KEY_PANEL;
                    let index: Vec<u32> = (0..rows as u32).collect();
                    let blank = backend.upload(&vec![f32::NAN; padded * width]);
                    let (mut keys, mut values) = (blank.clone(), blank);
                    let (k, v) = (backend.upload(&problem.k), backend.upload(&problem.v));
                    backend.cache_rows(&mut keys, &mut values, &k, &v, &index, 2);
                    (problem.k, problem.v) = (backend.download(&keys), backend.download(&values));
                    problem.layout.keys = padded;
                    problem.shape.key_order = KeyOrder::Cached;
                    let got = problem.forward(backend);
                    let what = format!("{}, {cached} cached, heads of {head_dim}", backend.name());
                    assert_same(&got.0, &want.0, &what);
                    assert_same(&got.1, &want.1, &what);
                }
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_siblings() {
    let shape = SHAPE;
    let many = Problem::new(layout(&[vec![(150, 0), (7, 0), (30, 0), (4, 0), (9, 3)], vec![(20, 0)]], 0), shape);
    let mut alone = Problem::new(layout(&[vec![(150, 0), (30, 0)]], 0), shape);
    // Rows 157.. of the forest are rows 150.. of the path that stands alone.
    let pick = |values: &[f32], width: usize| [&values[..150 * width], &values[157 * width..187 * width]].concat();
    (alone.q, alone.k, alone.v) = (pick(&many.q, 128), pick(&many.k, 64), pick(&many.v, 64));
    for backend in backends() {
        let (together, single) = (many.forward(backend), alone.forward(backend));
        assert_same(&pick(&together.0, 128), &single.0, &backend.name());
        assert_same(&pick(&together.1, 4), &single.1, &backend.name());
    }
}

#[test]
fn gradients_do_not_depend_on_threads() {
    let shape = SHAPE;
    let problem = Problem::new(layout(&[vec![(150, 0), (7, 0), (30, 0), (4, 1)], vec![(90, 0)]], 0), shape);
    let d_out = values(problem.q.len(), 4);
    for backend in backends() {
        let one = on_threads(1, || problem.backward(backend, &d_out, 0.0));
        for threads in 2..=3 {
            let got = on_threads(threads, || problem.backward(backend, &d_out, 0.0));
            (0..3).for_each(|i| assert_same(&got[i], &one[i], "gradients"));
        }
    }
}

#[test]
fn the_pattern_is_that_of_the_outputs() {
    let shape =
        AttentionShape { heads: 2, kv_heads: 1, head_dim: 8, scale: 0.4, softcap: Some(3.0), window: Some(9), ..SHAPE };
    let problem = Problem::new(layout(&[vec![(12, 0), (5, 0)]], 2), shape);
    for backend in backends() {
        let (queries, keys) = (problem.layout.queries, problem.layout.keys);
        let mut pattern = backend.scratch(2 * queries * keys);
        backend.attention_pattern(
            &mut pattern,
            &backend.upload(&problem.q),
            &backend.upload(&problem.k),
            &problem.layout,
            shape,
        );
        let mut out = vec![0.0; problem.q.len()];
        for head in 0..2 {
            for query in 0..queries {
                let line = &backend.read(&pattern)[(head * queries + query) * keys..][..keys];
                for d in 0..8 {
                    out[(query * 2 + head) * 8 + d] =
                        (0..keys).map(|key| f64::from(line[key]) * f64::from(problem.v[key * 8 + d])).sum();
                }
            }
        }
        assert_close(&problem.forward(backend).0, &out, 1e-5, "pattern times values");
    }
}
