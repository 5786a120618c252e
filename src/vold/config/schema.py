"""Everything one can set. Plain values with types, defaults and one line of meaning each; no torch, no paths opened."""

from typing import Annotated, Literal

from pydantic import Field

from vold.config.kinds import IF_SPOKEN, Count, Decay, Fraction, Levels, Number, Plain, Positive, Rate, Section, Spoken
from vold.config.objective_schema import ObjectiveSettings


class ModelSettings(Section):
    """A checkpoint and how it is spoken to."""

    path: str
    """A folder in Hugging Face layout, a hub id, or `tiny:NAME` for a model that ships with the package."""
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    attention: Literal["eager", "sdpa"] = "sdpa"
    """eager is faster for models of the laptop world's size, and stores attention of length × length."""
    device: str = "cpu"
    system: str = ""
    suffix: str = ""
    """Appended to every question: what asks for reasoning."""
    template: dict[str, Annotated[Plain[bool] | Spoken[str], IF_SPOKEN]] = Field(default_factory=dict)
    """Options of the model's own chat template, such as enable_thinking."""


class SamplingSettings(Section):
    """How a model answers. Temperature 0 is greedy."""

    max_new_tokens: Positive = 8192
    temperature: Rate = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Count = 0


class ProblemSettings(Section):
    """Where problems come from."""

    kind: Literal["tiny", "jsonl"] = "tiny"
    path: str = ""
    """For jsonl: a file with `prompt` and `answer` on every line, optionally `id` and `difficulty`."""
    source: str = "problems"
    """The name in ids and seeds. In the laptop world it also says which problems are drawn."""
    seed: int | None = None
    """None: the run's own seed."""
    difficulties: Levels = (1, 2, 3, 4, 5)
    count: Count = 0
    """How many of the laptop world's problems, or at most how many of a file's (0: all of it)."""


class CorpusSettings(Section):
    """Stage 0: the teacher's traces, or somebody else's."""

    origin: Literal["teacher", "dataset"] = Field(default="teacher", alias="from")
    path: str = ""
    """For `dataset`: a JSONL file with `messages`, or `prompt` and `response`, on every line."""
    problems: ProblemSettings = ProblemSettings(source="corpus")
    sampling: SamplingSettings = SamplingSettings(temperature=0.6, top_p=0.95, top_k=20)
    batch: Positive = 512
    """Prompts answered before the traces are written."""
    filter: Literal["none", "correct"] = "none"


class AdamSettings(Section):
    """AdamW."""

    beta1: Decay = 0.9
    beta2: Decay = 0.999
    weight_decay: Rate = 1e-2
    clip_norm: Annotated[float, Field(gt=0)] = 1.0


class SftSettings(Section):
    """Stage 1: alignment by SFT on the traces."""

    steps: Positive = 4000
    traces_per_step: Positive = 256
    lr: Rate = 5e-5
    warmup: Count = 150
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    lr_floor: Fraction = 0.0
    max_tokens: Positive = 8192
    """Longer traces, prompt included, are left out and counted in `examples.json`."""
    adam: AdamSettings = AdamSettings()
    token_budget: Positive = 16384
    checkpoint_every: Count = 500


class PhaseSettings(Section):
    """An objective for a number of steps."""

    steps: Positive
    objective: ObjectiveSettings


class ArmSettings(Section):
    """One way of doing stage 2, always from the same aligned student. Either one objective, or phases one after another."""

    label: str = ""
    objective: ObjectiveSettings | None = None
    phases: tuple[PhaseSettings, ...] = ()
    on_corpus: Fraction = 0.0
    """The share of its steps that train on the corpus' traces instead of rollouts: GKD's second stream."""


class BenchmarkSettings(Section):
    """Problems to be answered zero-shot."""

    name: str
    kind: Literal["tiny", "jsonl"] = "tiny"
    modality: Literal["text", "image"] = "text"
    path: str = ""
    """For jsonl: a file with `prompt` and `answer` on every line, and `image` (a path beside the file) for images; `difficulty` is optional."""
    split: str = "development"
    """For the laptop world: which problems. `development` to choose settings, `published` opened once for tables."""
    difficulties: Levels = (1, 3, 5)
    size: Positive = 200
    """Problems of each difficulty, or at most how many of a file's."""


class ValidationSettings(Section):
    """Greedy accuracy on held-out problems while stage 2 runs: the role visual Geometry3K has in the paper."""

    every: Count = 0
    benchmark: BenchmarkSettings | None = None


class JointSettings(Section):
    """Stage 2: what all arms share."""

    arms: tuple[str, ...] = ()
    """Which of the recipe's arms are run, in this order (empty: all of them)."""
    steps: Positive = 60
    prompts_per_step: Positive = 256
    group_size: Positive = 5
    updates_per_batch: Positive = 1
    lr: Number = 6e-6
    warmup: Count = 5
    problems: ProblemSettings = ProblemSettings(source="joint")
    sampling: SamplingSettings = SamplingSettings()
    max_refills: Positive = 10
    """How many times a step of an objective with dynamic sampling may draw further problems."""
    truncated_reward: Literal["wrong", "judge", "drop"] = "wrong"
    adam: AdamSettings = AdamSettings()
    token_budget: Positive = 16384
    checkpoint_every: Count = 10
    validation: ValidationSettings = ValidationSettings()


class EvalSettings(Section):
    """The zero-shot test."""

    benchmarks: tuple[BenchmarkSettings, ...] = ()
    greedy: bool = True
    samples: Count = 0
    """Sampled answers a problem (0: greedy only)."""
    sampling: SamplingSettings = SamplingSettings(max_new_tokens=8192)
    examples: Count = 6
    """Problems whose answers are kept for the report."""


class JudgeSettings(Section):
    """How an answer is compared with the reference."""

    kind: Literal["equivalence", "exact"] = "equivalence"


class EngineSettings(Section):
    """What generates."""

    kind: Literal["transformers"] = "transformers"
    rows: Positive = 256
    """Rollouts generated side by side."""


class Settings(Section):
    """A recipe, resolved."""

    name: str
    about: str = ""
    seed: int = 0
    threads: Positive = 1
    student: ModelSettings
    teacher: ModelSettings | None = None
    engine: EngineSettings = EngineSettings()
    judge: JudgeSettings = JudgeSettings()
    corpus: CorpusSettings = CorpusSettings()
    sft: SftSettings = SftSettings()
    joint: JointSettings = JointSettings()
    arms: dict[str, ArmSettings] = Field(default_factory=dict)
    eval: EvalSettings = EvalSettings()

    def active_arms(self) -> dict[str, ArmSettings]:
        """The arms that are run, in order; names that are not arms are left to `refuse_contradictions`."""
        return {name: self.arms[name] for name in self.joint.arms if name in self.arms} if self.joint.arms else dict(self.arms)
