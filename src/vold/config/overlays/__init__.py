"""Overlays: TOML files that change some settings of a recipe; laid over it by name with -o."""
