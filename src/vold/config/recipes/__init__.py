"""Recipes: TOML files that name every choice of a run."""
