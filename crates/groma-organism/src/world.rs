//! The village itself: who lives there, and how.

use crate::draw::Draw;
use crate::{Error, lexicon};
use groma_run::Seed;
use serde::Serialize;

/// What decides a village.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Everything random follows from it.
    pub seed: u64,
    /// How many people live there: even, 16 to 40.
    pub people: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { seed: 7, people: 20 }
    }
}

impl Config {
    /// The numbers are in their ranges.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the first that is not.
    pub fn check(&self) -> Result<(), Error> {
        if (16..=40).contains(&self.people) && self.people.is_multiple_of(2) {
            return Ok(());
        }
        let needs = "it must be even and from 16 to 40".to_owned();
        Err(Error::Configuration { name: "people", found: self.people, needs })
    }

    pub(crate) fn draw(&self, part: &str) -> Draw {
        Draw::new(Seed::new(self.seed).named("village"), part)
    }
}

/// One who lives in the village.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Person {
    /// First name, unlike all others.
    pub name: &'static str,
    /// A woman, else a man.
    pub woman: bool,
    /// Job that nobody else does.
    pub job: &'static str,
    /// The place that the home is near.
    pub home: &'static str,
    /// Age in years, unlike all others.
    pub age: usize,
    /// Kind of the animal at home, as an index into `lexicon::ANIMALS`.
    pub animal: usize,
    /// Name of the animal.
    pub animal_name: &'static str,
    /// Favourite food.
    pub food: &'static str,
    /// Favourite colour.
    pub colour: &'static str,
    /// A thing that nobody else owns.
    pub thing: &'static str,
    /// The best friend, as an index into the people; friendship is mutual.
    pub friend: usize,
    /// Sister or brother, as an index into the people; mutual.
    pub sibling: usize,
}

/// A place in the village.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its name, without the article.
    pub name: &'static str,
    /// What it is built of.
    pub material: &'static str,
    /// The tree beside it.
    pub tree: &'static str,
}

/// A shop in the village.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shop {
    /// Its first name: `moon` of the moon shop.
    pub name: &'static str,
    /// Who keeps it, as an index into the people.
    pub keeper: usize,
    /// What it sells.
    pub goods: &'static str,
    /// The day on which it is closed.
    pub closed: &'static str,
}

/// All that is true in the village.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct World {
    /// Who lives there, by name.
    pub people: Vec<Person>,
    /// Its places.
    pub places: Vec<Place>,
    /// Its shops.
    pub shops: Vec<Shop>,
    /// What happens on each of `lexicon::DAYS`.
    pub events: Vec<&'static str>,
}

impl World {
    /// The village of a seed.
    ///
    /// # Errors
    /// [`Error::Configuration`] where the configuration is out of range.
    pub fn generate(config: &Config) -> Result<World, Error> {
        config.check()?;
        let mut draw = config.draw("world");
        let people = people(&mut draw, config.people);
        let places = places(&mut draw);
        let shops = shops(&mut draw, people.len());
        let events = draw.sample(&lexicon::EVENTS, lexicon::DAYS.len());
        Ok(World { people, places, shops, events })
    }

    /// The names of all people, in order.
    pub fn names(&self) -> Vec<&'static str> {
        self.people.iter().map(|person| person.name).collect()
    }
}

fn people(draw: &mut Draw, count: usize) -> Vec<Person> {
    let women = draw.sample(&lexicon::WOMEN, count / 2).into_iter().map(|name| (name, true));
    let men = draw.sample(&lexicon::MEN, count / 2).into_iter().map(|name| (name, false));
    let mut names: Vec<_> = women.collect::<Vec<_>>().into_iter().chain(men).collect();
    names.sort_unstable();
    let jobs = draw.sample(&lexicon::JOBS, count);
    let ages = draw.sample(&(lexicon::AGES.0..=lexicon::AGES.1).collect::<Vec<_>>(), count);
    let animal_names = draw.sample(&lexicon::ANIMAL_NAMES, count);
    let things = draw.sample(&lexicon::THINGS, count);
    let homes = spread(draw, &lexicon::PLACES, count);
    let animals = spread(draw, &[0, 1, 2, 3, 4, 5, 6, 7], count);
    let foods = spread(draw, &lexicon::FOODS, count);
    let colours = spread(draw, &lexicon::COLOURS, count);
    let (friends, siblings) = two_matchings(draw, count);
    (0..count)
        .map(|i| Person {
            name: names[i].0,
            woman: names[i].1,
            job: jobs[i],
            home: homes[i],
            age: ages[i],
            animal: animals[i],
            animal_name: animal_names[i],
            food: foods[i],
            colour: colours[i],
            thing: things[i],
            friend: friends[i],
            sibling: siblings[i],
        })
        .collect()
}

/// `count` draws in which every item occurs as often as every other, give or take one.
fn spread<T: Clone>(draw: &mut Draw, items: &[T], count: usize) -> Vec<T> {
    let mut all: Vec<T> = items.iter().cycle().take(count).cloned().collect();
    draw.shuffle(&mut all);
    all
}

/// Two ways to pair people up that share no pair: neighbours of a circle, and neighbours of the circle moved by one.
fn two_matchings(draw: &mut Draw, count: usize) -> (Vec<usize>, Vec<usize>) {
    let mut circle: Vec<usize> = (0..count).collect();
    draw.shuffle(&mut circle);
    let pair_up = |offset: usize| {
        let mut partner = vec![0; count];
        for i in (offset..count + offset).step_by(2) {
            let (a, b) = (circle[i % count], circle[(i + 1) % count]);
            partner[a] = b;
            partner[b] = a;
        }
        partner
    };
    (pair_up(0), pair_up(1))
}

fn places(draw: &mut Draw) -> Vec<Place> {
    let materials = draw.sample(&lexicon::MATERIALS, lexicon::PLACES.len());
    let trees = draw.sample(&lexicon::TREES, lexicon::PLACES.len());
    let built = materials.into_iter().zip(trees);
    lexicon::PLACES.iter().zip(built).map(|(name, (material, tree))| Place { name, material, tree }).collect()
}

fn shops(draw: &mut Draw, people: usize) -> Vec<Shop> {
    let keepers = draw.sample(&(0..people).collect::<Vec<_>>(), lexicon::SHOPS.len());
    let goods = draw.sample(&lexicon::GOODS, lexicon::SHOPS.len());
    let closed = draw.sample(&lexicon::DAYS, lexicon::SHOPS.len());
    let inside = keepers.into_iter().zip(goods).zip(closed);
    let shop = |(name, ((keeper, goods), closed)): (&&'static str, _)| Shop { name, keeper, goods, closed };
    lexicon::SHOPS.iter().zip(inside).map(shop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn friends_and_siblings_are_mutual_and_different() {
        for people in [16, 20, 40] {
            let world = World::generate(&Config { people, ..Config::default() }).unwrap();
            for (i, person) in world.people.iter().enumerate() {
                assert_eq!(world.people[person.friend].friend, i);
                assert_eq!(world.people[person.sibling].sibling, i);
                assert_ne!(person.friend, person.sibling);
                assert_ne!(person.friend, i);
            }
        }
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        for people in [0, 14, 17, 42] {
            let error = World::generate(&Config { people, ..Config::default() }).unwrap_err();
            assert!(error.to_string().contains(&people.to_string()), "{error}");
        }
    }
}
