//! Recipes: stages of building, training and measuring, keyed by what they read.
