"""What the method asks of the outside world. A stage meets engines, teachers, judges and disks only through these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor

from vold.base.types import Group, Problem, Rollout, StepStats, Trace, Verdict, View
from vold.core.measures import Measure
from vold.core.objective import Want
from vold.core.plan import Counts, Plan

Place = tuple[str | int, ...]
"""Where in the run something is drawn: the words that seed it."""

Weights = Mapping[str, Tensor]
"""A model's parameters by name. Shared, not copied, where engine and learner live in one process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a model answers. Temperature 0 is greedy decoding; `top_k` 0 and `top_p` 1 leave the distribution whole."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    think_budget: int = 0
    """Tokens after which an answer that is still inside its <think> block has `closing` put in (0: never)."""
    closing: str = "\n</think>\n\n"

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0

    @property
    def whole(self) -> bool:
        """True where nothing is cut off, so that log-probabilities are those of the policy itself."""
        return self.top_p >= 1.0 and self.top_k == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A prompt with the response a model should learn to give; ids in the student's own table, the end token included."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    images: tuple[bytes, ...] = ()
    """The encoded image files that the prompt shows."""
    name: str = ""
    """The trace's problem, for messages."""


class ProblemSource(Protocol):
    """Problems in a fixed order."""

    def for_step(self, step: int) -> Sequence[Problem]:
        """The problems of one training step: the same whenever it is asked for."""
        ...

    def more(self, step: int, refill: int) -> Sequence[Problem]:
        """Further problems for a step whose groups gave no gradient, in refill 1, 2, …: the same whenever they are asked for. They may hold
        problems the step already had."""
        ...

    def all(self) -> Sequence[Problem]:
        """Every problem once, for the corpus and for evaluation."""
        ...


class CorpusStore(Protocol):
    """Traces on disk: append-only, and readable after a crash up to the last whole batch."""

    def done(self) -> frozenset[str]:
        """Ids of the problems already asked, kept or dropped."""
        ...

    def append(self, kept: Sequence[Trace], dropped: Mapping[str, str]) -> None:
        """Add one batch: traces, and the reason for each problem id that gave none."""
        ...

    def traces(self) -> Sequence[Trace]:
        """Everything kept, in the order it was written."""
        ...

    def close(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write the manifest (counts, hashes, `facts`) and return it."""
        ...


class Answerer(Protocol):
    """Answers problems with a model that stays as it is."""

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        """`per_problem` rollouts of each problem, in problem order; each draw is seeded by (place, problem id, sample index).

        A problem that cannot be answered does not sink the others: its rollouts come back empty, with `finish` FAILED and a note.
        """
        ...


class RolloutEngine(Answerer, Protocol):
    """Samples from a model in training. Log-probabilities are those of the sampling distribution, temperature included."""

    def adopt(self, weights: Weights, *, version: int) -> None:
        """Sample from these weights from now on; rollouts carry `version`."""
        ...


class TeacherScorer(Protocol):
    """A frozen text-only model that reads what the student wrote: the teacher, or the student as it was when the stage began."""

    @property
    def gives(self) -> Want:
        """The most it can be asked for."""
        ...

    def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> Sequence[View | None]:
        """Its log-probability of each response token, under its own template and over the ids both models may say; with HIDDEN also its
        hidden states before its head, and with TOP_K or HIDDEN its `top` likeliest of these ids, where `top` is not 0. None for a rollout that it
        could not read, which is then left out."""
        ...


class Judge(Protocol):
    """Says right, wrong or unjudged."""

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        """One verdict a rollout, in order; never raises on what a model wrote."""
        ...


class ReferenceReader(Judge, Protocol):
    """A judge that can tell beforehand which references it will not be able to read, and that may hold processes."""

    def unreadable(self, golds: Sequence[str | None]) -> list[str | None]:
        """For each reference why it cannot be judged against; None where it can."""
        ...

    def close(self) -> None:
        """End whatever it holds."""
        ...


class Learner(Protocol):
    """Holds the student and its optimizer. Gradients are plain sums until `apply` divides them once."""

    @property
    def step(self) -> int:
        """How many updates have been applied."""
        ...

    def weights(self) -> Weights:
        """The student's parameters, shared with the learner."""
        ...

    def freeze_behaviour(self, groups: Sequence[Group]) -> None:
        """Remember the log-probabilities the clip compares with: needed when one batch is used for more than one update."""
        ...

    def accumulate(self, groups: Sequence[Group], plan: Plan, counts: Counts) -> dict[str, float]:
        """Add the gradient of these groups' unnormalised loss; returns sums to be reported. `counts` are those of the whole update."""
        ...

    def accumulate_examples(self, examples: Sequence[Example]) -> dict[str, float]:
        """Add the gradient of the summed negative log-likelihood of the responses; returns sums to be reported."""
        ...

    def apply(self, z: float, *, lr: float) -> dict[str, float]:
        """Divide the accumulated gradient by `z`, clip, step; returns the gradient norm before clipping."""
        ...

    def verify_frozen(self) -> None:
        """Raise FrozenMoved when a byte of the vision tower or its merger differs from the start of the stage."""
        ...


class Benchmark(Protocol):
    """Problems with a name, answered zero-shot, and what is said of the answers."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """What tables call it."""
        ...

    @property
    def kind(self) -> str:
        """Which published benchmark it is, whatever it is called here; empty for plain problems."""
        ...

    @property
    def modality(self) -> Literal["text", "image"]: ...

    @property
    def broken(self) -> Sequence[tuple[str, str]]:
        """Rows that cannot be asked, and why."""
        ...

    @property
    def seen(self) -> int:
        """How many rows were read, broken ones included."""
        ...

    def problems(self) -> Sequence[Problem]: ...

    def measures(self, judged: Sequence[tuple[Rollout, Verdict]]) -> Sequence[Measure]:
        """The numbers of its table, the main one first; with several answers to a problem, their mean."""
        ...


class Journal(Protocol):
    """The ground truth of a stage: one JSON line a step, the same bytes whenever the stage is run again."""

    def write(self, stats: StepStats, groups: Sequence[Group] = ()) -> None:
        """Append one step: its numbers, its verdicts, and the best and worst rollout of the groups it shows."""
        ...

    def rewind(self, step: int) -> None:
        """Drop everything at or after `step`: what a resumed stage will write again."""
        ...


class Checkpoints(Protocol):
    """Where a stage's learner can be picked up again."""

    @property
    def kept(self) -> dict[str, float]:
        """Numbers of the stage's own that are saved with every checkpoint and come back with `restore`."""
        ...

    def restore(self) -> int:
        """Load the newest undamaged checkpoint into the learner; the step to go on from (0 when there is none)."""
        ...

    def after(self, step: int) -> None:
        """Save when `step` (counted from 1) is due."""
        ...

    def finish(self) -> None:
        """Write the stage's result in plain Hugging Face layout."""
        ...


class Progress(Protocol):
    """Shows a person how far a stage is."""

    def update(self, done: int, total: int, note: str = "") -> None: ...
