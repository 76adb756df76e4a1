//! Wrong labels in a known amount.

use groma_data::{Rows, Shape, uniform};
use groma_run::Seed;

/// Exchanges the sides of so large a share of the preference pairs, each by a draw that belongs to its place in its file.
pub(crate) fn exchange(rows: &mut Rows, share: f64, seed: Seed) {
    let seed = seed.named("label noise");
    let is_drawn = |id: &str| uniform(&mut seed.named(id).rng()) < share;
    for row in rows.rows.iter_mut().filter(|row| row.shape == Shape::Preference && is_drawn(&row.location.id())) {
        row.answers.swap(0, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_data::{ReadOptions, ShapeOptions, read};

    fn read_pairs() -> Rows {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pairs.jsonl");
        let line = |n: usize| format!("{{\"prompt\": \"{n}\", \"chosen\": \"yes\", \"rejected\": \"no\"}}\n");
        std::fs::write(&path, (0..400).map(line).collect::<String>()).unwrap();
        let table = read(&path, &ReadOptions::default()).unwrap();
        table.into_rows(&ShapeOptions::default(), &[Shape::Preference]).unwrap()
    }

    #[test]
    fn the_share_is_that_of_pairs_and_the_draw_that_of_a_row() {
        let exchanged = |share: f64, seed: u64| -> Vec<bool> {
            let mut rows = read_pairs();
            exchange(&mut rows, share, Seed::new(seed));
            rows.rows.iter().map(|row| row.answer(0).unwrap().plain() == "no").collect()
        };
        let count = |of: &[bool]| of.iter().filter(|is| **is).count();
        assert_eq!((count(&exchanged(0.0, 1)), count(&exchanged(1.0, 1))), (0, 400));
        let some = exchanged(0.3, 1);
        assert!((90..150).contains(&count(&some)), "{}", count(&some));
        assert_eq!(exchanged(0.3, 1), some);
        assert_ne!(exchanged(0.3, 2), some);
        // Who is wrong at a small share is wrong at a larger one.
        assert!(exchanged(0.5, 1).iter().zip(&some).all(|(more, less)| *more || !less));
    }
}
