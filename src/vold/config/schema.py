"""Everything one can set. Plain values with types, defaults and one line of meaning each; no torch, no paths opened."""

from typing import Annotated, Literal

from pydantic import Field

from vold.config.kinds import IF_SPOKEN, Count, Decay, Fraction, Levels, Number, Plain, Positive, Rate, Section, Spoken
from vold.config.objective_schema import ObjectiveSettings

BOXED = " Please reason step by step, and put your final answer within \\boxed{}."


class ModelSettings(Section):
    """A checkpoint and how it is spoken to."""

    path: str
    """A folder in Hugging Face layout, a hub id, or `tiny:NAME` for a model that ships with the package."""
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    attention: Literal["eager", "sdpa"] = "sdpa"
    """eager is faster for models of the laptop world's size, and stores attention of length × length."""
    device: str = "cpu"
    template: str = "chatml"
    """How turns are laid out: `chatml`, `own` (the checkpoint's chat template), or the path of a .jinja file."""
    template_options: dict[str, Annotated[Plain[bool] | Spoken[str], IF_SPOKEN]] = Field(default_factory=dict)
    """What the template is told, such as enable_thinking = false."""
    system: str = ""
    suffix: str = BOXED
    """Appended to every question that does not say itself how to answer: what asks for reasoning and for a box."""
    min_pixels: Count = 0
    max_pixels: Count = 0
    """Pictures are scaled to so many pixels at least and at most (0: what the checkpoint's processor says)."""

    @property
    def pixels(self) -> tuple[int, int]:
        """The two limits of pictures."""
        return self.min_pixels, self.max_pixels


class StudentSettings(ModelSettings):
    """The model that is trained."""

    think_marks: Literal["extend", "spell-out"] = "extend"
    """What to do about ids only the teacher has, such as <think>: give them to the student's tokenizer where its embedding has the rows, or
    spell them with the student's own tokens."""
    images_in_tuning: Literal["auto", "yes", "no", "–", "unknown"] = "auto"
    """Whether it was tuned on images before: a column of the table (auto: `–`, not tuned, for the published base models, else unknown)."""
    master_weights: bool = True
    """For a dtype of 16 bits: whether 32-bit copies of the weights are what the optimizer steps. Without them an update of 6e-6 is rounded away."""


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TeacherSettings(ModelSettings):
    """The model that writes traces and scores rollouts. It is never trained."""

    kind: Literal["local", "vllm-server"] = "local"
    """Who scores rollouts: the model in this process, or a vLLM server that has it; `path` is needed for its tokenizer all the same."""
    offload: bool = False
    """Whether its weights wait in host memory while it scores nothing, so that the GPU has room for sampling and training."""
    url: str = ""
    """For `vllm-server`: its address, such as http://127.0.0.1:8001."""
    remote: bool = False
    """Whether the address may be another machine's."""
    timeout: Seconds = 600.0
    """Seconds for one try of one request."""
    retries: Count = 2
    """Further tries of a request that was late or gave no usable reply. Then the rollout is left out and counted."""
    workers: Positive = 64
    """Requests under way at a time."""
    tolerated: Fraction = 0.05
    """The share of a batch that may be left out; more ends the run, which can go on later."""


class SamplingSettings(Section):
    """How a model answers. Temperature 0 is greedy."""

    max_new_tokens: Positive = 8192
    temperature: Rate = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Count = 0


Layout = Literal["tiny", "jsonl", "csv", "orz", "mot", "dapo", "gsm8k", "math", "verl", "geometry3k"]
"""How problems are laid out: drawn in the laptop world, or rows as their publishers write them."""


class ProblemSettings(Section):
    """Where problems come from."""

    kind: Layout = "tiny"
    path: str = ""
    """A file, a folder of a data set, or a hub id. For jsonl and csv: `prompt` and `answer` in every row, optionally `id` and `difficulty`."""
    subsets: tuple[str, ...] = ()
    """Which configurations of a data set, such as math, code and science of Mixture-of-Thoughts (empty: the only one, or all of mot's)."""
    split: str = "train"
    """Which split of a data set in a folder or on the hub."""
    on_bad_row: Literal["refuse", "drop"] = "refuse"
    """What to do about rows that cannot be read or lack what is needed: stop and name them, or leave them out and count them."""
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
    """For `dataset`: a file, a folder or a hub id whose rows have `messages`, or `prompt` and `response`."""
    kind: Literal["messages", "mot"] = "messages"
    """For `dataset`: `mot` asks for one closed <think> block and an answer after it; traces without are dropped and counted."""
    subsets: tuple[str, ...] = ()
    split: str = "train"
    on_bad_row: Literal["refuse", "drop"] = "refuse"
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


Recompute = Literal["none", "light", "full"]
"""What of a layer's forward pass is done again in the backward one instead of being kept; gradients stay the same. light: norms, rotary positions and
the gated product, so that about half is kept. full: all of it but a layer's input, for one more forward pass."""

Vision = Literal["frozen", "merger", "trained"]


class SftSettings(Section):
    """Stage 1: alignment by SFT on the traces."""

    steps: Count = 4000
    """0: no alignment, and no corpus. Stage 2 begins with the student as it is."""
    traces_per_step: Positive = 256
    lr: Rate = 5e-5
    warmup: Count = 150
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    lr_floor: Fraction = 0.0
    max_tokens: Positive = 8192
    """Longer traces, prompt included, are left out and counted in `examples.json`."""
    vision: Vision = "frozen"
    """What is trained of the vision tower: nothing, its merger, or all of it. Only traces with pictures give it a gradient."""
    adam: AdamSettings = AdamSettings()
    token_budget: Positive = 16384
    recompute: Recompute = "none"
    """none, light or full: memory against time."""
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


Published = Literal[
    "mathvision", "mathvista", "mathverse", "dynamath", "wemath", "logicvista", "mmmu-pro", "mmmu", "mmstar", "mme", "hallusionbench", "geometry3k",
    "math500", "gsm8k", "aime",
]  # fmt: skip
"""Benchmarks with their own rows, prompts, rules and tables."""


class BenchmarkSettings(Section):
    """Problems to be answered zero-shot."""

    name: str
    kind: Literal[Layout, Published] = "tiny"
    """A benchmark that somebody published, or the layout of any other problems."""
    modality: Literal["text", "image"] = "text"
    """What published benchmarks know of themselves."""
    path: str = ""
    """For jsonl: a file with `prompt` and `answer` on every line, and `image` (a path beside the file) for images; `difficulty` is optional.
    For the other layouts: a file, a folder of a data set, or a hub id; a published benchmark has its own hub id."""
    subsets: tuple[str, ...] = ()
    split: str = ""
    """For the laptop world: which problems. `development` (where it is empty) to choose settings, `published` opened once for tables. For a data
    set: its split; a published benchmark has its own."""
    difficulties: Levels = (1, 3, 5)
    size: Count = 0
    """Problems of each difficulty (0: 200), or at most how many of a data set's (0: all). Of a published benchmark they are drawn, the same ones
    for every model, and questions that belong together stay together."""
    only: dict[str, str] = Field(default_factory=dict)
    """Of a published benchmark: the parts that are asked, such as { level = "5" }."""
    style: Literal["official", "direct", "reasoning"] = "reasoning"
    r"""Of a published benchmark: its own prompt, its own for an answer without reasoning, or the question with the model's suffix."""


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
    vision: Vision = "frozen"
    """What is trained of the vision tower: nothing, its merger, or all of it. Only problems with pictures give it a gradient."""
    adam: AdamSettings = AdamSettings()
    token_budget: Positive = 16384
    recompute: Recompute = "none"
    """none, light or full: memory against time."""
    stream: Count = 0
    """Problems of a part that is generated while the part before it is judged, read by the teacher and turned into gradient (0: a step is one
    part). The same policy, the same gradient; it pays where a second core, or another device, is free."""
    shared_prompts: bool = False
    """Whether a problem's prompt is read once for all its rollouts that lie in one micro-batch: the same gradient. It pays with long prompts."""
    checkpoint_every: Count = 10
    validation: ValidationSettings = ValidationSettings()
    align: Count = 0
    """Problems on whose rollouts the aligned student is compared with its teacher before this stage, a few hundred (0: only by `vold align`)."""


Reads = Literal["auto", "whole", "after-think", "boxed", "answer-tag"]
"""Which part of a response a benchmark's own rule reads. `auto`: after </think>, and there the last box where the prompt asked for one."""


class EvalModelSettings(ModelSettings):
    """A model that this run did not train: somebody else's, or an earlier one."""

    label: str
    """Its row in tables."""
    style: Literal["", "official", "direct", "reasoning"] = ""
    """Its own prompt style (empty: each benchmark's)."""
    suffix_everywhere: bool = False
    """Whether its suffix also follows prompts that say themselves how to answer."""
    reads: Reads = "auto"
    images_in_tuning: Literal["yes", "no", "unknown"] = "unknown"
    """Whether it was tuned on images: a column of the table."""
    contaminated: tuple[str, ...] = ()
    """Benchmarks of which it is known to have been trained on a part: marked in the table."""


class EndpointSettings(Section):
    """A language model behind an OpenAI-compatible address, for the judge mode."""

    url: str
    """Such as http://127.0.0.1:8000/v1."""
    model: str
    """The exact name: replies of another model are refused."""
    key_env: str = ""
    """The environment variable that holds the key, where one is needed."""
    timeout: Seconds = 60.0
    retries: Count = 4
    workers: Positive = 8


class EvalSettings(Section):
    """The zero-shot test."""

    benchmarks: tuple[BenchmarkSettings, ...] = ()
    modes: Annotated[tuple[Literal["official-rule", "strict", "judge"], ...], Field(min_length=1)] = ("official-rule", "strict")
    """How published benchmarks are scored: by their own rule, by one that no near miss passes, by a language model."""
    endpoint: EndpointSettings | None = None
    """For the judge mode."""
    reads: Reads = "auto"
    models: dict[str, EvalModelSettings] = Field(default_factory=dict)
    """Further models by name, each a row of the table."""
    trained: bool = True
    """False: no stage is run, and the base and `models` alone are tested."""
    base: bool = True
    """Whether the student as it was is tested too, under the direct and the reasoning prompt."""
    think_budget: Count = 0
    """Tokens after which an answer that is still thinking has its <think> block closed for it (0: never)."""
    closing: str = "\n</think>\n\n"
    """What is put in there."""
    greedy: bool = True
    samples: Count = 0
    """Sampled answers a problem (0: greedy only)."""
    sampling: SamplingSettings = SamplingSettings(max_new_tokens=8192)
    examples: Count = 6
    """Problems whose answers are kept for the report."""


class ContaminationSettings(Section):
    """Training prompts that repeat a benchmark's question, looked for before anything is trained."""

    check: bool = True
    """Whether they are looked for; the laptop world's problems, which are drawn apart, never are."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    """The similarity of wording from which a prompt with the same numbers is a near-duplicate."""
    found: Literal["list", "drop", "refuse"] = "list"
    """What becomes of prompts that repeat a question: named and marked in tables, left out of training, or the run is refused."""


AnswerFormat = Literal["boxed", "answer-tag", "answer-line", "hashes"]


class JudgeSettings(Section):
    """How an answer is compared with the reference."""

    kind: Literal["equivalence", "exact", "choice"] = "equivalence"
    """`equivalence`: the same number, string, set, interval or expression. `exact`: to the letter, as the paper. `choice`: an option's letter."""
    formats: Annotated[tuple[AnswerFormat, ...], Field(min_length=1)] = ("boxed",)
    """Where the answer stands; the first format that finds one is taken."""
    deadline: Seconds = 5.0
    """Seconds for one answer that needs computer algebra; then its process is ended and the rollout stays unjudged."""
    workers: Count = 0
    """Processes for computer algebra (0: one a core, at most 8)."""
    memory_mb: Annotated[int, Field(ge=256)] = 1024
    """Memory of each of them; one needs about 100 before it reads anything."""
    recycle: Positive = 1000
    """Answers after which one is replaced by a fresh one."""


class EngineSettings(Section):
    """What generates."""

    kind: Literal["transformers", "vllm", "vllm-server"] = "transformers"
    """transformers over the trainer's own weights; vLLM in this process, for everything that is generated; or a vLLM server for stage 2's text."""
    rows: Positive = 256
    """Rollouts generated side by side."""
    decoder: Literal["auto", "own", "generate"] = "auto"
    """Who runs the model: our own loop, transformers' `generate`, or the first where it can run the model and otherwise the second."""
    verify: Literal["always", "first", "never"] = "first"
    """When a few rollouts of stage 2 are read again with the trainer's own forward pass: of every batch, of a stage's first one, or never."""
    scripted: Literal["none", "half", "all"] = "none"
    """Problems of stage 2 that are answered from a script (right, near miss, wrong) instead of by the model: for trying a path, never for results."""
    tolerance: Rate = 0.0
    """For vLLM: how far its log-probabilities may be from the trainer's after a push of weights, in nats (0: 1e-4 in float32, 0.25 in bfloat16)."""
    context: Count = 0
    """For `vllm`: tokens of a prompt and its answer together (0: the longest answer of the run and 4096, or what the model can)."""
    memory_share: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """For `vllm` on a GPU: the share of its memory, weights included."""
    cache_gb: Positive = 1
    """For `vllm` on a CPU: the cache of keys and values, in GiB."""
    eager: Literal["auto", "yes", "no"] = "auto"
    """For `vllm`: whether it does without compiling and graphs, which take a minute first (auto: on a CPU)."""
    gpus: Positive = 1
    """For `vllm`: over how many GPUs the model is spread."""
    sleep: bool = False
    """For `vllm` on a GPU: whether it gives its memory back while nothing is generated."""
    url: str = ""
    """For `vllm-server`: its address, such as http://127.0.0.1:8000."""
    remote: bool = False
    """Whether the address may be another machine's."""
    exchange: str = ""
    """For `vllm-server`: a folder that it can read too, for weights on their way (empty: this machine's temporary folder)."""
    timeout: Seconds = 600.0
    """Seconds for one try of one request."""
    retries: Count = 2
    """Further tries of a request that was late or gave no usable reply. Then the rollout is left out and counted."""
    workers: Positive = 64
    """Requests under way at a time."""
    tolerated: Fraction = 0.05
    """The share of a batch that may be left out; more ends the run, which can go on later."""


class Settings(Section):
    """A recipe, resolved."""

    name: str
    about: str = ""
    caveat: str = ""
    """What a reader must know before believing a number of this run; it stands above the table and at the top of the report."""
    seed: int = 0
    threads: Positive = 1
    student: StudentSettings
    teacher: TeacherSettings | None = None
    engine: EngineSettings = EngineSettings()
    judge: JudgeSettings = JudgeSettings()
    corpus: CorpusSettings = CorpusSettings()
    sft: SftSettings = SftSettings()
    joint: JointSettings = JointSettings()
    arms: dict[str, ArmSettings] = Field(default_factory=dict)
    eval: EvalSettings = EvalSettings()
    contamination: ContaminationSettings = ContaminationSettings()

    def active_arms(self) -> dict[str, ArmSettings]:
        """The arms that are run, in order; names that are not arms are left to `refuse_contradictions`."""
        return {name: self.arms[name] for name in self.joint.arms if name in self.arms} if self.joint.arms else dict(self.arms)

    @property
    def reads_corpus(self) -> bool:
        """Whether anything is trained on the corpus."""
        return self.sft.steps > 0 or any(arm.on_corpus for arm in self.active_arms().values())

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of stages there are, in the order they run."""
        trained = (*(("corpus",) if self.reads_corpus else ()), *(("sft",) if self.sft.steps else ()), "joint")
        return (*(trained if self.eval.trained else ()), "eval")
