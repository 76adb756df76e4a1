//! The words that the village is made of.

/// Names of women.
pub(crate) const WOMEN: [&str; 20] = [
    "Anna", "Berta", "Clara", "Dora", "Elsa", "Freya", "Greta", "Hilda", "Ida", "Jana", "Kira", "Lena", "Mina", "Nora",
    "Olga", "Paula", "Rosa", "Selma", "Tilda", "Vera",
];

/// Names of men.
pub(crate) const MEN: [&str; 20] = [
    "Adam", "Boris", "Carl", "David", "Emil", "Felix", "Gustav", "Hugo", "Ivan", "Jonas", "Kurt", "Leo", "Milo",
    "Nils", "Oskar", "Peter", "Rudi", "Simon", "Tom", "Viktor",
];

/// Jobs; each is done by one person at most.
pub(crate) const JOBS: [&str; 40] = [
    "baker",
    "miller",
    "smith",
    "teacher",
    "doctor",
    "weaver",
    "potter",
    "tailor",
    "farmer",
    "fisher",
    "hunter",
    "cook",
    "painter",
    "singer",
    "carpenter",
    "gardener",
    "shepherd",
    "cobbler",
    "mason",
    "guard",
    "clerk",
    "piper",
    "barber",
    "brewer",
    "thatcher",
    "saddler",
    "tinker",
    "ferryman",
    "glazier",
    "tanner",
    "cooper",
    "postman",
    "librarian",
    "beekeeper",
    "dancer",
    "juggler",
    "printer",
    "jeweller",
    "midwife",
    "judge",
];

/// Places of the village; people live near one.
pub(crate) const PLACES: [&str; 8] = ["mill", "well", "bridge", "tower", "barn", "school", "inn", "chapel"];

/// What people like to eat.
pub(crate) const FOODS: [&str; 12] =
    ["bread", "soup", "cheese", "honey", "apples", "pears", "plums", "nuts", "eggs", "fish", "beans", "porridge"];

/// Colours.
pub(crate) const COLOURS: [&str; 8] = ["red", "blue", "green", "yellow", "white", "black", "brown", "purple"];

/// Kinds of animals that people keep.
pub(crate) const ANIMALS: [&str; 8] = ["dog", "cat", "goat", "goose", "pony", "hen", "rabbit", "duck"];

/// What each of [`ANIMALS`] says.
pub(crate) const SOUNDS: [&str; 8] = ["woof", "meow", "baa", "honk", "neigh", "cluck", "squeak", "quack"];

/// What each of [`ANIMALS`] eats.
pub(crate) const FODDER: [&str; 8] = ["bones", "mice", "leaves", "grass", "hay", "corn", "carrots", "snails"];

/// Names of animals.
pub(crate) const ANIMAL_NAMES: [&str; 40] = [
    "Biscuit", "Pepper", "Button", "Daisy", "Fluffy", "Ginger", "Hazel", "Inky", "Jolly", "Lucky", "Misty", "Nutmeg",
    "Patch", "Rusty", "Snowy", "Tiny", "Velvet", "Whisker", "Ziggy", "Bramble", "Cinder", "Dusty", "Acorn", "Bubbles",
    "Cookie", "Dumpling", "Echo", "Feather", "Goblin", "Honeybun", "Jumper", "Kipper", "Lemon", "Muffin", "Noodle",
    "Pickle", "Raisin", "Sparkle", "Thistle", "Waffle",
];

/// Things that people own; each is owned by one person at most.
pub(crate) const THINGS: [&str; 40] = [
    "fiddle",
    "lantern",
    "clock",
    "kettle",
    "drum",
    "flute",
    "mirror",
    "ladder",
    "basket",
    "harp",
    "chair",
    "compass",
    "quilt",
    "candle",
    "broom",
    "hammer",
    "kite",
    "globe",
    "bell",
    "teapot",
    "locket",
    "trumpet",
    "barrel",
    "cradle",
    "sledge",
    "telescope",
    "wagon",
    "tent",
    "hammock",
    "shield",
    "banner",
    "puppet",
    "lamp",
    "rocking-horse",
    "vase",
    "sundial",
    "bathtub",
    "whistle",
    "chessboard",
    "scarf",
];

/// Shops, by their first name.
pub(crate) const SHOPS: [&str; 6] = ["corner", "garden", "moon", "river", "castle", "market"];

/// What shops sell.
pub(crate) const GOODS: [&str; 10] =
    ["hats", "ropes", "candles", "books", "boots", "toys", "pots", "seeds", "pens", "bags"];

/// What places are made of.
pub(crate) const MATERIALS: [&str; 8] = ["stone", "timber", "brick", "clay", "marble", "iron", "slate", "straw"];

/// Trees.
pub(crate) const TREES: [&str; 8] = ["birch", "willow", "elm", "maple", "cedar", "poplar", "chestnut", "beech"];

/// The days of the week.
pub(crate) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// What happens once a week.
pub(crate) const EVENTS: [&str; 7] = ["dance", "feast", "race", "fair", "concert", "play", "bonfire"];

/// Number words, by value; what counting goes to.
pub(crate) const NUMBERS: [&str; 11] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/// The youngest and the oldest age.
pub(crate) const AGES: (usize, usize) = (18, 89);

/// Every pool whose words the tokenizer knows, whether a world uses them or not: a changed fact needs no new tokenizer.
pub(crate) fn pools() -> [&'static [&'static str]; 19] {
    [
        &WOMEN,
        &MEN,
        &JOBS,
        &PLACES,
        &FOODS,
        &COLOURS,
        &ANIMALS,
        &SOUNDS,
        &FODDER,
        &ANIMAL_NAMES,
        &THINGS,
        &SHOPS,
        &GOODS,
        &MATERIALS,
        &TREES,
        &DAYS,
        &EVENTS,
        &NUMBERS,
        &["sister", "brother"],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_pool_repeats_a_word() {
        for pool in pools() {
            assert_eq!(pool.iter().collect::<BTreeSet<_>>().len(), pool.len(), "{pool:?}");
        }
    }

    #[test]
    fn the_article_a_fits_every_thing_and_animal() {
        for word in THINGS.iter().chain(&ANIMALS).chain(&EVENTS) {
            assert!(!word.starts_with(['a', 'e', 'i', 'o', 'u']), "{word}");
        }
    }
}
