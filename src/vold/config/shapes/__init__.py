"""Shapes of published models, by the last word of their hub ids: plans are made from these where the models are not at hand."""
