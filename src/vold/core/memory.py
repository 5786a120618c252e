"""How much memory a step takes, said before it is taken: from a model's shape, the lengths of a pack and how it is computed.

Nothing here is fitted. Each term is something that a phase holds at once: what autograd keeps of a Qwen decoder layer (transformers' own code, with
packed attention), the head's two desks of logits, gradients, the optimizer's state. A phase has a few moments at which most is held; its peak is the
largest of them. Tests hold it against allocations counted one by one on a CPU. On a GPU four things differ and are given by `Way`: attention is
"varlen", the chunk is larger, the head is not widened, and kernels keep less. There one measurement stands beside it: 65.0 GiB on an H200 for a
Qwen2.5-VL-3B and packs of 16,384 tokens, of which it says 65.3. The allocator's rounding and what kernels take for themselves are not in it.

Letters: T tokens of a pack, N trained ones, H hidden, I intermediate, V vocabulary, C tokens of a chunk, D all query heads' width, K all key heads'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate as running
from itertools import groupby
from typing import Literal, Protocol

SINGLE = 4
"""Bytes of a number in single precision."""
LONG = 8
"""Bytes of an id or a position."""
WIDENED_ROWS = 8192
"""Rows of a half-precision head that a CPU widens at a time (`core.head.HALF_ROWS`)."""


class Shape(Protocol):
    """A decoder by the names of its config."""

    @property
    def num_hidden_layers(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def intermediate_size(self) -> int: ...
    @property
    def num_attention_heads(self) -> int: ...
    @property
    def num_key_value_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def tie_word_embeddings(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a model is computed and trained. The defaults are those of a student on a CPU."""

    number: int = SINGLE
    """Bytes of a number of the model: 2, 4 or 8."""
    attention: Literal["eager", "sdpa", "varlen"] = "sdpa"
    recompute: Literal["none", "light", "full"] = "none"
    chunk: int = 2048
    """Tokens whose logits are formed at once."""
    head_norms: bool = False
    """Whether queries and keys are normalised by head (Qwen3)."""
    master_weights: bool = True
    """Whether a model in half precision has single-precision copies that are stepped."""
    widens: bool = True
    """Whether a head in half precision is widened for its products, as on a CPU."""
    fused: bool = False
    """Whether the head's steps, norms and gated products are kernels of their own, as on a GPU with Triton."""

    @property
    def half(self) -> bool:
        return self.number < SINGLE

    @property
    def logit(self) -> int:
        """Bytes of a logit, and of whatever is said of a token."""
        return max(self.number, SINGLE)

    @property
    def masters(self) -> bool:
        return self.half and self.master_weights

    @property
    def stepped(self) -> int:
        """Bytes of a number that the optimizer steps, of its gradient and of its moments."""
        return SINGLE if self.masters else self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is held at once, by name, in bytes."""

    when: str
    terms: Mapping[str, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(self.terms.values())


# -- what stays -----------------------------------------------------------------------------------------------------------------------


def matrices(shape: Shape) -> Mapping[str, int]:
    """Entries of the weight matrices of a layer, by transformers' names."""
    hidden, wide, narrow = shape.hidden_size, _queries(shape), _keys(shape)
    mlp = hidden * shape.intermediate_size
    return {
        "q_proj": hidden * wide,
        "k_proj": hidden * narrow,
        "v_proj": hidden * narrow,
        "o_proj": hidden * wide,
        "gate_proj": mlp,
        "up_proj": mlp,
        "down_proj": mlp,
    }


def parameters(shape: Shape) -> int:
    """Numbers that are trained; the few of biases and of norms by head are left out."""
    layer = sum(matrices(shape).values()) + 2 * shape.hidden_size
    tables = 1 if shape.tie_word_embeddings else 2
    return shape.num_hidden_layers * layer + tables * _table(shape) + shape.hidden_size


def persistent(shape: Shape, way: Way, *, frozen: int = 0) -> Moment:
    """What a learner holds from its first update on, its gradients included while a step adds them up. `frozen` numbers are neither trained nor
    stepped, as a vision tower's."""
    trained = parameters(shape)
    return Moment(
        when="between packs",
        terms={
            "weights": (trained + frozen) * way.number,
            "master weights": trained * SINGLE if way.masters else 0,
            "moments": 2 * trained * way.stepped,
            "gradients": trained * way.stepped,
        },
    )


# -- the three phases ------------------------------------------------------------------------------------------------------------------


def accumulate(shape: Shape, way: Way, lengths: Sequence[int], trained: int, *, fresh: bool = True) -> Moment:
    """The most that one pack takes beyond what was held before: sequences of these `lengths`, `trained` of their tokens with a gradient.

    `fresh`: there are no gradients yet, so they are part of it. Pulls over the whole vocabulary take further desks, which are not in it.
    """
    tokens, layers, hidden = sum(lengths), shape.num_hidden_layers, shape.hidden_size
    layer = _layer(shape, way, lengths)
    throughout = {
        "positions and ids": _places(shape, way, tokens),
        "numbers a token": trained * (2 * LONG + 8 * way.logit),
        "states and their gradient": 2 * trained * hidden * way.number,
        "head's gradient": _table(shape) * way.stepped if fresh else 0,
    }
    kept = {"none": layer.saved, "light": layer.light, "full": layer.input}[way.recompute]
    again = 0 if way.recompute == "none" or way.number == SINGLE else layer.input  # a norm in single precision keeps its input itself
    grads = layer.gradients if fresh else 0
    states = tokens * hidden * way.number
    table = _table(shape) * (way.number + (SINGLE if fresh and way.masters and not shape.tie_word_embeddings else 0))
    top = {"kept by layers": layers * kept, "kept by the last norm": tokens * _norm(hidden, way)}
    bottom = {"gradients": layers * grads, "gradient of the states": states, "embedding's gradient": table}
    moments = [
        Moment(when="head", terms={**throughout, **top, **_desks(shape, way, trained, trains=True)}),
        Moment(when="embedding", terms={**throughout, **bottom}),
    ]
    for moment in layer.moments(fresh=fresh):
        own = {**throughout, **moment.terms, "kept again": again, "gradient of the states": states}
        last = {**own, "kept by layers": (layers - 1) * kept}
        first = {**own, "gradients": own.get("gradients", 0) + (layers - 1) * grads}
        moments += [Moment(when=f"{which} layer, {moment.when}", terms=terms) for which, terms in (("last", last), ("first", first))]
    return max(moments, key=lambda moment: moment.bytes)


def apply(shape: Shape, way: Way, *, first: bool = True) -> Moment:
    """The most that an update takes beyond weights and gradients: the `first` one makes the moments. The optimizer steps in one kernel."""
    return Moment(when="update", terms={"moments": 2 * parameters(shape) * way.stepped if first else 0})


def score(shape: Shape, way: Way, lengths: Sequence[int], scored: int, *, hidden: bool = False) -> Moment:
    """The most that reading one pack takes: a layer at work, or the head at the `scored` tokens. `hidden`: its states are part of the answer."""
    tokens = sum(lengths)
    places = {"positions and ids": _places(shape, way, tokens), "numbers a token": scored * (2 * LONG + 6 * way.logit)}
    stream = tokens * shape.hidden_size * way.number
    states = scored * shape.hidden_size * way.number
    layer = _layer(shape, way, lengths)
    return max(
        Moment(
            when="products", terms={**places, "stream": 3 * stream, "gate, up and their product": 3 * tokens * shape.intermediate_size * way.number}
        ),
        Moment(when="attention", terms={**places, "stream": 2 * stream, **layer.attending}),
        Moment(when="head", terms={**places, "states": states, **_desks(shape, way, scored, trains=False)}),
        Moment(when="answer", terms={**places, "states": 2 * states if hidden else 0}),
        key=lambda moment: moment.bytes,
    )


# -- a layer --------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """A decoder layer over a pack, in bytes."""

    input: int
    attention: int
    """What autograd keeps of the first half: its norm, the products' input, queries, keys and values as attention takes them, its answer."""
    mlp: int
    """And of the second: its norm, the products' input, gate, activation, up, and what they make."""
    light: int
    """What selective recomputation keeps of a layer: its input, every product but the last, and fused attention."""
    gradients: int
    """Of all its weights."""
    gate: int
    """One tensor of tokens × intermediate."""
    attended: int
    """What attention needs in the backward pass beyond what it kept: fused, four tensors like the queries; written out, its scores' gradients."""
    attending: Mapping[str, int]
    """What attention holds at once where nothing is kept."""
    product: int
    """The gradient of the last product's matrix as it is formed."""
    copied: int
    """And its single-precision copy, where there is one."""
    outer: int
    """The gradients of the mlp's three matrices, once formed."""

    @property
    def saved(self) -> int:
        return self.attention + self.mlp

    def moments(self, *, fresh: bool) -> list[Moment]:
        """When most is held while a layer goes backward."""
        kept = {"layer": self.saved}
        got = self.outer if fresh else 0
        return [
            Moment(
                when="last product",
                terms={**kept, "gradient of the product": self.gate, "weight's gradient": self.product + (self.copied if fresh else 0)},
            ),
            Moment(when="gated product", terms={**kept, "gradients of the gates": 2 * self.gate, "gradients": got // 3}),
            Moment(when="attention", terms={"layer": self.attention, "gradients of attention": self.attended, "gradients": got}),
        ]


def _layer(shape: Shape, way: Way, lengths: Sequence[int]) -> _Layer:
    tokens, hidden, wide, narrow = sum(lengths), shape.hidden_size, _queries(shape), _keys(shape)
    heads, number = shape.num_attention_heads, way.number
    runs = [(len(list(same)), length) for length, same in groupby(sorted(lengths, reverse=True))]  # as packs lay them
    pairs = [heads * count * length**2 for count, length in runs]
    written = way.attention == "eager"
    laid = way.attention == "sdpa" and len(runs) > 1  # the runs' answers are laid end to end once more
    sums = 0 if written else tokens * heads * way.logit
    by_head = tokens * (_norm(wide, way) + _norm(narrow, way) + (heads + shape.num_key_value_heads - 2) * SINGLE) if way.head_norms else 0
    by_pair = SINGLE if number == SINGLE else SINGLE + number
    of_attention = by_head + tokens * number * (4 + laid) * wide + sums + (sum(pairs) * by_pair if written else 0)
    norm_and_input = tokens * (_norm(hidden, way) + hidden * number)
    mlp = hidden * shape.intermediate_size
    back, forth = {2: (6, 10), SINGLE: (8, 8)}.get(number, (8, 16))  # softmax in single precision, and what it is turned into
    # the runs go backward from the last one on, each letting go of what it had kept
    scores = max((reached - sum(pairs)) * by_pair + run * back for reached, run in zip(running(pairs), pairs, strict=True))
    return _Layer(
        input=tokens * hidden * number,
        attention=norm_and_input + of_attention,
        mlp=norm_and_input + (3 if way.fused else 4) * tokens * shape.intermediate_size * number,
        light=tokens * number * (2 * hidden + wide + 2 * narrow + 2 * shape.intermediate_size + (0 if written else wide)) + sums,
        gradients=(sum(matrices(shape).values()) + 2 * hidden) * way.stepped,
        gate=tokens * shape.intermediate_size * number,
        attended=tokens * wide * number + scores if written else 4 * tokens * wide * number,
        attending={"queries, keys, values": 4 * tokens * wide * number, "scores": max(pairs) * forth if written else 0},
        product=mlp * number,
        copied=mlp * SINGLE if way.masters else 0,
        outer=3 * mlp * way.stepped,
    )


def _norm(width: int, way: Way) -> int:
    """What a norm keeps of a token beyond its answer: its input in single precision, one factor, and what it made before its weight. A kernel keeps
    the input as it is, and the factor."""
    if way.fused:
        return width * way.number + SINGLE
    return width * (SINGLE + way.number) + SINGLE


# -- the head -------------------------------------------------------------------------------------------------------------------------


def _desks(shape: Shape, way: Way, count: int, *, trains: bool) -> dict[str, int]:
    """Logits and their exponentials of one chunk, and what half precision is turned into on the way."""
    chunk, rows = min(way.chunk, max(1, count)), min(WIDENED_ROWS, shape.vocab_size)
    widened = (chunk * shape.hidden_size + rows * (chunk + shape.hidden_size)) * SINGLE if way.half and way.widens else 0
    slopes = chunk * shape.vocab_size * way.number if way.half and trains else 0
    return {
        "logits and exponentials": (1 if way.fused else 2) * chunk * shape.vocab_size * way.logit,
        "widened": max(widened, slopes + (chunk * (shape.hidden_size + rows) * SINGLE if slopes and way.widens else 0)),
    }


def _places(shape: Shape, way: Way, tokens: int) -> int:
    """Ids, positions, and the rotary sines and cosines that all layers share."""
    return tokens * (2 * LONG + 2 * shape.head_dim * way.number)


def _table(shape: Shape) -> int:
    return shape.vocab_size * shape.hidden_size


def _queries(shape: Shape) -> int:
    return shape.num_attention_heads * shape.head_dim


def _keys(shape: Shape) -> int:
    return shape.num_key_value_heads * shape.head_dim
