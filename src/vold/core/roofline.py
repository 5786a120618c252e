"""The accountant: what a step has to compute and to move at the least, and how long that takes on a given machine.

A multiplication and an addition are two operations, attention is causal. Bytes are those of weights, of keys and values, of decoded logits and of
the optimizer's state; activations are left out, since a kernel may keep them where it works. So seconds are a bound that no machine of these two
speeds goes below. Counts are exact for layers of the Llama kind (QKV, output, gate, up and down), which the paper's student and teacher have.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vold.base.types import Group, Rollout
from vold.core.plan import Plan

MASTER_BYTES = 28
"""What AdamW moves for a number in single precision: weight, gradient and two moments read, weight and moments written."""
BACKWARD_OF_ATTENTION = 2.5
"""In forwards: four products, and the scores formed again instead of kept."""
LOGIT_BYTES = 6
"""A decoded logit: written in half precision, read in single."""


class Span(NamedTuple):
    """Tokens of one sequence. Padding, where a trainer pads, counts with the prompt: it goes through the layers, not through the head."""

    prompt: int
    response: int

    @property
    def length(self) -> int:
        return self.prompt + self.response


Work = Mapping[str, "Cost"]
"""What each phase costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The two speeds of a machine, as measured."""

    flops: float
    """Operations a second of a large matrix product, in the precision of the models."""
    bandwidth: float
    """Bytes a second of a copy, those read and those written."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Operators that run one after the other, each (operations, bytes)."""

    operators: tuple[tuple[float, float], ...] = ()

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.operators + other.operators)

    @property
    def flops(self) -> float:
        return math.fsum(flops for flops, _ in self.operators)

    @property
    def bytes(self) -> float:
        return math.fsum(moved for _, moved in self.operators)

    def seconds(self, on: Machine, *, overlap: bool = False) -> float:
        """Ideal seconds. Serial: each operator waits for the slower of its two sides; `overlap`: all computing beside all moving."""
        if overlap:
            return max(self.flops / on.flops, self.bytes / on.bandwidth)
        return math.fsum(max(flops / on.flops, moved / on.bandwidth) for flops, moved in self.operators)


NOTHING = Cost()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What of a causal language model decides its costs."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    """Rows of the head, padding rows included."""
    tied: bool
    number: int = 2
    """Bytes of a weight."""
    square: bool = False
    """Attention written out: the whole square of scores, kept for the backward pass. Only to compare counts with a counter of such a model."""

    @property
    def body(self) -> int:
        """Numbers in the layers' matrices."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def head(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All matrices; norms and biases are some hundred thousandths more."""
        return self.body + self.head * (1 if self.tied else 2)

    @property
    def kv_bytes(self) -> int:
        """Keys and values of one token."""
        return 2 * self.kv_heads * self.head_dim * self.layers * self.number

    @property
    def per_pair(self) -> int:
        """Operations for one token seeing one other: a score and its part of the mixture, in all layers and heads."""
        return 4 * self.heads * self.head_dim * self.layers

    @property
    def quadratic(self) -> float:
        """What training costs for each pair of tokens, over what it costs for a token: where packs are to take equally long."""
        pairs = (1.0 + BACKWARD_OF_ATTENTION) * self.per_pair / 2
        return pairs / (6.0 * (self.body + self.head))

    # -- passes ---------------------------------------------------------------------------------------------------------------------

    def reading(self, spans: Sequence[Span], *, packs: int = 1) -> Cost:
        """Log-probabilities of the responses: the layers over all tokens, the head over those of the responses. `packs` read the weights anew."""
        return self._forward(spans, packs=packs, body=1.0, attention=1.0, products=1)

    def training(self, spans: Sequence[Span], *, products: int = 3, recompute: bool = False, packs: int = 1) -> Cost:
        """Forward and backward. The head takes 3 products where slopes are known while its logits exist, 4 where they are formed twice;
        `recompute` runs the layers forward twice."""
        backward = 2.0 if self.square else BACKWARD_OF_ATTENTION
        return self._forward(spans, packs=packs, body=3.0 + recompute, attention=1.0 + recompute + backward, products=products)

    def decoding(self, groups: Sequence[Sequence[Span]]) -> Cost:
        """Sampling of all these responses at once, step by step until the longest ends: each prompt is read once a group."""
        firsts = [group[0] for group in groups if group]
        prefill = self._forward([Span(span.prompt, 0) for span in firsts], packs=1, body=1.0, attention=1.0, products=0)
        ends, prompts = Counter[int](), Counter[int]()
        for span in (span for group in groups for span in group if span.response > 1):
            ends[span.response] += 1
            prompts[span.response] += span.prompt
        active = ends.total()
        context = prompts.total() + active
        found = [*prefill.operators, (2.0 * self.head * len(firsts), float(self.number * self.head))]
        weights = self.number * (self.body + self.head)
        for step in range(1, max(ends, default=1)):
            if done := ends.get(step):  # a response of n tokens is fed back n - 1 times
                active, context = active - done, context - prompts[step] - done * step
            found.append((2.0 * (self.body + self.head) * active, weights + LOGIT_BYTES * self.vocabulary * active))
            found.append((float(self.per_pair * context), float(self.kv_bytes * context)))
            context += active
        return Cost(tuple(found))

    def stepping(self) -> Cost:
        """AdamW over single-precision masters, and the copy that computes where that is another."""
        copied = self.number if self.number < 4 else 0
        return Cost(((0.0, float(self.parameters * (MASTER_BYTES + copied))),))

    def syncing(self) -> Cost:
        """A copy of the weights for a sampler that does not share the trainer's."""
        return Cost(((0.0, 2.0 * self.number * self.parameters),))

    def _forward(self, spans: Sequence[Span], *, packs: int, body: float, attention: float, products: int) -> Cost:
        if not spans:
            return NOTHING
        tokens, said = sum(span.length for span in spans), sum(span.response for span in spans)
        pairs = sum(span.length**2 if self.square else span.length * (span.length + 1) / 2 for span in spans)
        return Cost(
            (
                (2.0 * body * self.body * tokens, body * packs * self.number * self.body),
                (attention * self.per_pair * pairs, attention * self.kv_bytes * tokens),
                (2.0 * products * self.head * said, float(products * packs * self.number * self.head)),
            )
        )


def shape_of(config: Any, *, number: int = 2) -> Shape:
    """The shape a Hugging Face config describes, given as a mapping or as an object; of one that sees, the language part's."""

    def read(of: Any, name: str, default: Any = None) -> Any:
        found = of.get(name) if isinstance(of, Mapping) else getattr(of, name, None)
        return default if found is None else found

    text = read(config, "text_config", config)
    heads, hidden = int(read(text, "num_attention_heads")), int(read(text, "hidden_size"))
    return Shape(
        layers=int(read(text, "num_hidden_layers")),
        hidden=hidden,
        intermediate=int(read(text, "intermediate_size")),
        heads=heads,
        kv_heads=int(read(text, "num_key_value_heads", heads)),
        head_dim=int(read(text, "head_dim", hidden // heads)),
        vocabulary=int(read(text, "vocab_size")),
        tied=bool(read(config, "tie_word_embeddings", read(text, "tie_word_embeddings", False))),
        number=number,
    )


# -- which rollouts -------------------------------------------------------------------------------------------------------------------


def span_of(rollout: Rollout) -> Span:
    return Span(len(rollout.prompt_ids), len(rollout.response_ids))


def spans_in(groups: Sequence[Group]) -> list[Span]:
    return [span_of(member.rollout) for group in groups for member in group.members]


def scored_in(groups: Sequence[Group], plan: Plan) -> list[Span]:
    """Those the teacher is asked of."""
    return [span_of(member.rollout) for group in groups for member in group.members if plan.wants_teacher(member, group)]


def trained_in(groups: Sequence[Group], plan: Plan) -> list[Span]:
    """Those that have a gradient."""
    return [span_of(m.rollout) for group in groups for m, touched in zip(group.members, plan.touches(group), strict=True) if touched]


def padded(rows: Sequence[Span]) -> list[Span]:
    """The rows of one micro-batch of a trainer that pads them to the longest."""
    width = max((row.length for row in rows), default=0)
    return [Span(width - row.response, row.response) for row in rows]


def fractions(groups: Sequence[Group], plan: Plan) -> dict[str, float]:
    """How much of a batch nobody had to work on, by response tokens and by rollouts; 0 of an empty one."""
    every, scored, trained = spans_in(groups), scored_in(groups, plan), trained_in(groups, plan)
    own = sum(max((len(m.rollout.prompt_ids) for m in group.members), default=0) for group in groups if any(plan.touches(group)))
    return {
        "work/never_scored": _without(_said(scored), _said(every)),
        "work/never_scored_rows": _without(len(scored), len(every)),
        "work/never_trained": _without(_said(trained), _said(every)),
        "work/never_trained_rows": _without(len(trained), len(every)),
        "work/token_efficiency": token_efficiency(own + _said(trained), trained),
    }


def token_efficiency(real: int, pushed: Sequence[Span]) -> float:
    """Real tokens, a prompt once a group, over the positions pushed through the layers: padding and repeated prompts show. 1 where there are none."""
    positions = sum(span.length for span in pushed)
    return real / positions if positions else 1.0


def _said(spans: Iterable[Span]) -> int:
    return sum(span.response for span in spans)


def _without(part: int, whole: int) -> float:
    return 1 - part / whole if whole else 0.0


# -- a step ---------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A recorded step, and what it has to cost; `updates` above 1 need the behaviour policy's log-probabilities. Generation is part of it."""

    student: Shape
    teacher: Shape
    groups: Sequence[Group] = field(repr=False)
    plan: Plan
    updates: int = 1
    shares_weights: bool = True
    """Whether the sampler reads the trainer's own weights."""

    def ideal(self) -> dict[str, Cost]:
        """Every exact saving taken: the teacher where it is read, rows that have a gradient, three products, nothing formed twice."""
        costs = self.trained_on(scored_in(self.groups, self.plan), trained_in(self.groups, self.plan))
        before = self.student.reading(spans_in(self.groups)) if self.updates > 1 else NOTHING
        sync = NOTHING if self.shares_weights else self.student.syncing()
        decode = self.student.decoding([[span_of(m.rollout) for m in group.members] for group in self.groups])
        return {"rollouts": decode, **costs, "old log-probs": before, "sync": sync}

    def plain(self, *, recompute: bool = False) -> dict[str, Cost]:
        """The same packed trainer without them: everything scored, trained and read once more before, the head in two passes."""
        every = spans_in(self.groups)
        return {
            "teacher": self.teacher.reading(every),
            "old log-probs": self.student.reading(every),
            **self.trained_on(every, every, products=4, recompute=recompute),
        }

    def trained_on(self, scored: Sequence[Span], trained: Sequence[Span], *, products: int = 3, recompute: bool = False) -> dict[str, Cost]:
        """Scoring of some rows, one update (or a few) on others, which may be padded."""
        update = self.student.training(trained, products=products, recompute=recompute)
        stepping = Cost(self.student.stepping().operators * self.updates)
        return {"teacher": self.teacher.reading(scored), "update": update, "optimizer": stepping}


def flops_in(work: Work) -> float:
    return math.fsum(cost.flops for cost in work.values())


def seconds_in(work: Work, on: Machine, *, overlap: bool = False) -> float:
    """Ideal seconds of all phases, one after the other; with `overlap` no two of them wait for each other either."""
    return sum(work.values(), NOTHING).seconds(on, overlap=overlap)


def flop_bound(theirs: Work, ours: Work) -> float:
    """How many times faster we would be, were every operation equally fast on both sides."""
    return flops_in(theirs) / flops_in(ours)
