//! The circles of a graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A module uses an item of another.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) from: String,
    pub(crate) to: String,
    /// File, line and path.
    pub(crate) at: String,
}

/// For each use that lies on a circle the shortest circle that it lies on, each circle once: its modules, and below them the
/// lines that make it.
pub(crate) fn circles(uses: &[Use]) -> Vec<String> {
    let mut edges: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for found in uses {
        edges.entry(&found.from).or_default().entry(&found.to).or_default().push(&found.at);
    }
    let mut said = BTreeSet::new();
    for (from, targets) in &edges {
        for to in targets.keys() {
            let Some(back) = shortest(&edges, to, from) else { continue };
            said.insert(from_smallest(back));
        }
    }
    said.iter().map(|circle| describe(circle, &edges)).collect()
}

/// The shortest way between two modules, both named.
fn shortest<'a>(
    edges: &BTreeMap<&'a str, BTreeMap<&'a str, Vec<&str>>>,
    from: &'a str,
    to: &str,
) -> Option<Vec<&'a str>> {
    let mut ways = VecDeque::from([vec![from]]);
    let mut seen = BTreeSet::from([from]);
    while let Some(way) = ways.pop_front() {
        let last = way[way.len() - 1];
        if last == to {
            return Some(way);
        }
        let next = edges.get(last).into_iter().flat_map(|targets| targets.keys());
        for next in next.filter(|next| seen.insert(next)).collect::<Vec<_>>() {
            ways.push_back([&way[..], &[*next]].concat());
        }
    }
    None
}

/// A circle as it reads from its smallest name.
fn from_smallest(mut circle: Vec<&str>) -> Vec<&str> {
    let smallest = (0..circle.len()).min_by_key(|at| circle[*at]).unwrap_or(0);
    circle.rotate_left(smallest);
    circle
}

fn describe(circle: &[&str], edges: &BTreeMap<&str, BTreeMap<&str, Vec<&str>>>) -> String {
    let round: Vec<&str> = circle.iter().chain(circle.first()).copied().collect();
    let lines = round.windows(2).flat_map(|pair| &edges[pair[0]][pair[1]]);
    lines.fold(round.join(" -> "), |text, line| format!("{text}\n    {line}"))
}
