"""The tiny recipe in a few steps, for engines whose time goes elsewhere."""

SHORT = (
    "corpus.problems.count=96",
    "corpus.problems.difficulties=[1, 2]",
    "sft.steps=20",
    "sft.traces_per_step=32",
    "joint.steps=3",
    "joint.prompts_per_step=8",
    "joint.group_size=4",
    "joint.problems.difficulties=[1, 2]",
    "joint.sampling.max_new_tokens=32",
    "joint.validation.every=2",
    "joint.validation.benchmark={name='held-out', modality='image', split='validation', difficulties=[1], size=6}",
    "joint.arms=['vold']",
    "eval.benchmarks=[{name='t', difficulties=[1], size=6}, {name='i', modality='image', difficulties=[1], size=6}]",
    "eval.samples=0",
    "eval.examples=2",
)
