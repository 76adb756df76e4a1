//! The village: a generated world with exact truth, its tokenizer, texts, dialogues and model recipe.
