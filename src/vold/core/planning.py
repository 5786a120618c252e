"""What a run will hold and take, phase by phase, before anything is loaded: memory by `core/memory.py`, operations by `core/roofline.py`.

Both follow from shapes, settings and lengths. Memory is for the worst pack and the worst batch: every sequence as long as its cap allows. Time is for
lengths that somebody assumes, at shares of a card's two speeds that somebody has measured; both are said beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from vold.core import memory
from vold.core.memory import Moment, Way
from vold.core.roofline import Cost, Machine, Shape, Span, shape_of

GIB = 2**30
CONTEXT = GIB
"""What a GPU's runtime takes for itself."""
USABLE = 0.95
"""The share of a card's memory that is planned with: an allocator never fills it to the last byte."""
WORKING = 4
"""Copies of a decoded step's logits that sampling holds: half, single, and the warped ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A device, as its makers and our measurements have it."""

    name: str
    memory: int
    machine: Machine


CARDS = {
    "24": Card(name="24 GB (RTX 4090)", memory=24 * 10**9, machine=Machine(flops=150e12, bandwidth=0.9e12)),
    "48": Card(name="48 GB (L40S)", memory=48 * 10**9, machine=Machine(flops=280e12, bandwidth=0.8e12)),
    "80": Card(name="80 GB (H100)", memory=80 * 10**9, machine=Machine(flops=780e12, bandwidth=3.0e12)),
    "141": Card(name="141 GB (H200)", memory=141 * 10**9, machine=Machine(flops=780e12, bandwidth=4.3e12)),
}
"""By gigabytes. The two Hopper cards' speeds were measured; the others' are about seven tenths of what their makers say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as its config describes it. `tower` counts the numbers of its vision tower."""

    name: str
    config: Any
    number: int
    tower: int = 0

    @property
    def shape(self) -> Shape:
        return shape_of(self.config, number=self.number)

    @property
    def weights(self) -> int:
        """Bytes of all of it, eyes included."""
        return (memory.parameters(self.config) + self.tower) * self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How one stage trains: its pack, and what it keeps of it."""

    tokens: int
    """The token budget of a pack."""
    longest: int
    """The most tokens of one sequence, prompt included."""
    recompute: Literal["none", "light", "full"]

    @property
    def lengths(self) -> tuple[int, ...]:
        """The worst pack: as many of the longest sequences as fit, at least one."""
        return (self.longest,) * max(1, self.tokens // max(1, self.longest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a recipe asks for, in numbers."""

    student: Model
    teacher: Model | None
    masters: bool
    cuda: bool
    fused: bool
    sft: Trained | None
    joint: Trained | None
    rows: int
    """Answers generated side by side."""
    prompt: int
    """Tokens of the longest prompt planned with."""
    corpus_cap: int
    """Tokens an answer of the teacher may have; 0 where it writes none."""
    cap: int
    """The same of the student's in stage 2."""
    pulls: bool
    """Whether an arm reads the teacher."""
    offload: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one phase holds at its worst moment, by name."""

    phase: str
    terms: Mapping[str, int]

    @property
    def bytes(self) -> int:
        return sum(self.terms.values())


def phases(work: Work) -> list[Held]:
    """Every phase on one device, in the order a run has them."""
    return list(_phases(work))


def _phases(work: Work) -> Iterator[Held]:
    student, teacher = work.student, work.teacher
    way = Way(
        number=student.number,
        attention="varlen" if work.cuda and student.number == 2 else "sdpa",
        master_weights=work.masters,
        widens=not work.cuda,
        fused=work.fused,
    )
    if work.corpus_cap and teacher is not None:
        yield Held(phase="corpus, generating", terms={"teacher": teacher.weights, **_generating(teacher, work.rows, work.prompt + work.corpus_cap)})
    stays = memory.persistent(student.config, way, frozen=student.tower).terms
    resting = {name: size for name, size in stays.items() if name != "gradients"}
    if work.sft is not None:
        yield Held(phase="SFT, update", terms={**stays, **_updating(student, way, work.sft)})
    if work.joint is None:
        return
    beside = {"teacher": teacher.weights} if work.pulls and teacher is not None else {}
    here = {} if work.offload else beside
    yield Held(phase="stage 2, generating", terms={**resting, **here, **_generating(student, work.rows, work.prompt + work.cap)})
    if beside and teacher is not None:
        reading = replace(way, number=teacher.number, attention="varlen" if work.cuda and teacher.number == 2 else "sdpa", head_norms=True)
        scored = memory.score(teacher.config, reading, work.joint.lengths, sum(work.joint.lengths))
        yield Held(phase="stage 2, teacher", terms={**resting, **beside, **_named(scored)})
    yield Held(phase="stage 2, update", terms={**stays, **here, **_updating(student, way, work.joint)})


def _updating(student: Model, way: Way, trained: Trained) -> dict[str, int]:
    own = replace(way, recompute=trained.recompute)
    return _named(memory.accumulate(student.config, own, trained.lengths, sum(trained.lengths), fresh=False))


def _named(moment: Moment) -> dict[str, int]:
    return {f"at work ({moment.when})": moment.bytes}


def _generating(model: Model, rows: int, tokens: int) -> dict[str, int]:
    """Keys and values of every row at its cap, and the logits of one step."""
    logits = rows * model.config.vocab_size * (model.number + WORKING * memory.SINGLE)
    return {"keys and values": rows * tokens * model.shape.kv_bytes, "a step's logits": logits}


def room(card: Card) -> int:
    """The bytes that are planned with."""
    return int(card.memory * USABLE) - CONTEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A setting that makes a phase smaller, and what it then holds."""

    settings: str
    bytes: int


def changes(work: Work, phase: str, card: Card) -> list[Change]:
    """What makes a phase fit, the mildest first: each alone, then all of them together. Empty where nothing of it does."""
    found: list[Change] = []
    together, named = work, list[str]()
    for name, changed in _milder(work, phase):
        alone = _of(changed(work), phase)
        if alone is not None and alone <= room(card):
            found.append(Change(settings=name, bytes=alone))
        together, named = changed(together), [*named, name]
        added = _of(together, phase)
        if added is not None and added <= room(card) and len(named) > 1 and not found:
            return [Change(settings=" ".join(named), bytes=added)]
    return found


def _of(work: Work, phase: str) -> int | None:
    return next((held.bytes for held in _phases(work) if held.phase == phase), None)


def _milder(work: Work, phase: str) -> Iterator[tuple[str, Any]]:
    if "generating" in phase:
        if phase.startswith("stage 2") and work.pulls and work.cuda and not work.offload:
            yield "teacher.offload=true", lambda w: replace(w, offload=True)
        rows = work.rows
        while rows > 1:
            rows = max(1, rows // 4)
            yield f"engine.rows={rows}", lambda w, rows=rows: replace(w, rows=rows)
        return
    part = "sft" if phase.startswith("SFT") else "joint"
    of: Trained | None = getattr(work, part)
    if of is None:
        return
    if part == "joint" and work.pulls and work.cuda and not work.offload:
        yield "teacher.offload=true", lambda w: replace(w, offload=True)
    if phase.endswith("update"):
        for level in ("light", "full")[("none", "light", "full").index(of.recompute) :]:
            yield f"{part}.recompute={level}", lambda w, level=level: replace(w, **{part: replace(getattr(w, part), recompute=level)})
    if of.tokens > of.longest:
        yield f"{part}.token_budget={of.longest}", lambda w: replace(w, **{part: replace(getattr(w, part), tokens=of.longest)})


# -- time -----------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What part of a card's speeds a phase reaches, and where that is from."""

    value: float
    source: str


SHARES = {
    "decode": Share(value=0.02, source="transformers' generate, H200, 40 rows"),
    "teacher": Share(value=0.65, source="H200, packs of 16,384"),
    "update": Share(value=0.56, source="H200, packs of 16,384, recompute light"),
}
"""bench/results/*-h200.json. A phase of other sizes reaches something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """A phase of a whole run: seconds nobody goes below, seconds to be expected, and the formula."""

    phase: str
    ideal: float
    expected: float
    formula: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """Lengths and rates that nobody knows before the run."""

    trace: int
    response: int
    prompt: int
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much of everything a recipe asks for."""

    traces: int
    """What the teacher writes; 0 where somebody else has."""
    sft_steps: int
    traces_per_step: int
    joint_steps: int
    prompts_per_step: int
    group_size: int


def times(work: Work, amounts: Amounts, assumed: Assumed, card: Card, shares: Mapping[str, Share] = SHARES) -> list[Took]:
    """Each phase once, for one arm of stage 2."""
    return list(_times(work, amounts, assumed, card.machine, shares))


def _times(work: Work, n: Amounts, a: Assumed, on: Machine, shares: Mapping[str, Share]) -> Iterator[Took]:
    student = work.student.shape
    if n.traces and work.teacher is not None:
        one = work.teacher.shape.decoding([[Span(a.prompt, a.trace)]] * work.rows).seconds(on) / work.rows
        yield _took("corpus", n.traces * one, shares["decode"], f"{n.traces:,} traces × decode({a.trace} tokens, {work.rows} at once)")
    if n.sft_steps:
        cost = student.training([Span(a.prompt, a.trace)] * n.traces_per_step) + student.stepping()
        yield _took(
            "SFT",
            n.sft_steps * cost.seconds(on),
            shares["update"],
            f"{n.sft_steps:,} steps × train({n.traces_per_step} × {a.prompt + a.trace} tokens)",
        )
    if not n.joint_steps:
        return
    rollouts = n.prompts_per_step * n.group_size
    one = student.decoding([[Span(a.prompt, a.response)]] * work.rows).seconds(on) / work.rows
    yield _took(
        "stage 2, rollouts",
        n.joint_steps * rollouts * one,
        shares["decode"],
        f"{n.joint_steps} steps × {rollouts:,} rollouts × decode({a.response} tokens)",
    )
    if work.pulls and work.teacher is not None:
        wrong = round(rollouts * (1 - a.accuracy))
        reading: Cost = work.teacher.shape.reading([Span(a.prompt, a.response)] * wrong)
        yield _took(
            "stage 2, teacher",
            n.joint_steps * reading.seconds(on),
            shares["teacher"],
            f"{n.joint_steps} steps × score({wrong:,} × {a.prompt + a.response} tokens)",
        )
    update = student.training([Span(a.prompt, a.response)] * rollouts) + student.stepping()
    yield _took(
        "stage 2, update",
        n.joint_steps * update.seconds(on),
        shares["update"],
        f"{n.joint_steps} steps × train({rollouts:,} × {a.prompt + a.response} tokens)",
    )


def _took(phase: str, ideal: float, share: Share, formula: str) -> Took:
    return Took(
        phase=phase, ideal=ideal, expected=ideal / share.value, formula=f"{formula}, at {share.value:.0%} of the card's speeds ({share.source})"
    )


def largest(held: Sequence[Held]) -> Held:
    """The phase that needs most."""
    return max(held, key=lambda one: one.bytes)
