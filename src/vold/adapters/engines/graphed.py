"""The decoding loop on a GPU: a step is captured once as a CUDA graph and replayed, so that the GPU never waits for Python.

A row owns a slot, and its keys and values lie in the slot's first columns, so that a group that waits takes the slots of rows that have ended
without anything being moved. Slots and columns are as many as a capture was made for; both change a few times a call, and the step is captured anew.

Nothing else depends on this module: without it `decoding` runs its own loop on GPUs too.
"""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from vold.adapters.engines.decoding import FEWEST_ENDED, Decoded, Loop
from vold.adapters.engines.draws import PlacedSampling
from vold.adapters.models import LanguageModel
from vold.adapters.packed import attending
from vold.adapters.templates import Prompt

NAME = "vold_graphed"
TURNS = 8
"""Steps between two looks at which rows have ended."""
COLUMNS = 256
"""Columns come in multiples of this."""
FEWEST_SLOTS = 8
BLOCK = 64
"""Columns that a program of the attention holds at a time."""
PART, PARTS = 256, 8
"""A row's columns are dealt to a program for each PART of them, and to no more than PARTS."""
STEADY_ROTATIONS = {"default", "linear", "llama3", "yarn", None}
"""Rotary embeddings whose frequencies do not turn on how long a sequence is, which Python would have to look at."""


def serves(speaker: LanguageModel) -> bool:
    """Whether a step of this model can be captured: on a GPU, and unless VOLD_GRAPHS=0."""
    kind = getattr(speaker.body.rotary_emb, "rope_type", None)
    return speaker.device.type == "cuda" and os.environ.get("VOLD_GRAPHS") != "0" and kind in STEADY_ROTATIONS


@torch.no_grad()
def decode(
    speaker: LanguageModel, prompts: Sequence[Prompt], copies: int, picker: PlacedSampling, *, cap: int, slots: int, capture: bool = True
) -> Decoded:
    """As `decoding.decode`. `capture`: whether steps are replayed; without it they run one by one, on any device, with the same result."""
    return _Slots(speaker=speaker, prompts=prompts, copies=copies, picker=picker, cap=cap, slots=slots, capture=capture).run()


class Slots(Cache):
    """Keys and values, one pair of tensors a layer, [slots, heads, columns, width]. A slot's next token goes to its own column `columns_N`."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.pairs: list[tuple[Tensor, Tensor]] = []
        self.columns_N = self.slots_N = torch.empty(0, dtype=torch.long)

    @property
    def capacity(self) -> int:
        return self.pairs[0][0].shape[2] if self.pairs else 0

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        keys, values = self.pairs[layer_idx]
        keys[self.slots_N, :, self.columns_N] = key_states[:, :, 0]
        values[self.slots_N, :, self.columns_N] = value_states[:, :, 0]
        return keys, values

    def get_seq_length(self, layer_idx: int = 0) -> int:
        del layer_idx
        return self.capacity

    def resize(self, kept: Tensor, like: Sequence[tuple[Tensor, Tensor]], *, slots: int, capacity: int) -> None:
        """The slots `kept` come first among so many, of so many columns. Layer by layer: the old ones are let go of one after the other."""
        olds: list[tuple[Tensor, ...]] = list(self.pairs) or [()] * len(like)
        width = min(capacity, self.capacity)
        self.pairs = []
        for layer in range(len(olds)):
            moved = []
            for place in range(2):
                of = olds[layer][place] if olds[layer] else like[layer][place]
                states = of.new_zeros(slots, of.shape[1], capacity, of.shape[3])  # never seen, but numbers: 0 times what is not one is not 0
                if len(kept):
                    states[: len(kept), :, :width] = olds[layer][place][kept, :, :width]
                moved.append(states)
            self.pairs.append((moved[0], moved[1]))
            olds[layer] = ()

    def put(self, slots: Tensor, fresh: Sequence[tuple[Tensor, Tensor]], group_N: Tensor, padding_N: Tensor) -> None:
        """What was read of a prompt, padded on the left, into the first columns of these slots."""
        width = fresh[0][0].shape[2]
        from_NW = (padding_N[:, None] + torch.arange(width, device=padding_N.device)).clamp_(max=width - 1)
        for own, new in zip(self.pairs, fresh, strict=True):
            for kept, read in zip(own, new, strict=True):
                chosen = read[group_N]
                kept[slots, :, :width] = chosen.gather(2, from_NW[:, None, :, None].expand(-1, chosen.shape[1], -1, chosen.shape[3]))


@dataclass(kw_only=True)
class _Slots(Loop):
    capture: bool
    rows_N: Tensor = field(init=False)
    tokens_N: Tensor = field(init=False)
    places_N: Tensor = field(init=False)
    positions_N: Tensor = field(init=False)
    done_N: Tensor = field(init=False)
    held: Slots = field(default_factory=Slots, init=False)
    graph: torch.cuda.CUDAGraph | None = field(default=None, init=False)

    def run(self) -> Decoded:
        self.begin()
        device = self.speaker.device
        self.picker.banned_V, self.picker.uniform_BT = self.picker.banned_V.to(device), self.picker.uniform_BT.to(device)
        self.bad = torch.zeros((), dtype=torch.bool, device=device)
        self._idle(min(self.slots, len(self.prompts) * self.copies))
        while True:
            self.picker.broken = self.bad
            self.picker.refuse_broken()
            going = (~self.done_N).nonzero().squeeze(1)
            free = len(self.done_N) - len(going)
            if self.waiting and (not len(going) or free >= max(self.copies, len(self.done_N) * FEWEST_ENDED)):
                self._admit(max(free // self.copies, 0 if len(going) else 1))
                continue
            if not len(going):
                return self.found()
            self._fit(going)
            for _ in range(TURNS):
                self._turn()

    # -- slots --------------------------------------------------------------------------------------------------------------------------

    def _idle(self, slots: int) -> None:
        """So many slots that hold nothing: what they say goes behind the end of row 0."""
        device = self.speaker.device
        names = ("rows_N", "tokens_N", "positions_N", "columns_N")
        self._state = {name: torch.zeros(slots, dtype=torch.long, device=device) for name in names}
        self._state["places_N"] = torch.full((slots,), self.cap, dtype=torch.long, device=device)
        self._show()
        self.done_N = torch.ones(slots, dtype=torch.bool, device=device)

    def _show(self) -> None:
        for name, value in self._state.items():
            setattr(self, name, value)
        self.held.columns_N = self._state["columns_N"]
        self.held.slots_N = torch.arange(len(self.held.columns_N), device=self.held.columns_N.device)

    def _admit(self, prompts: int) -> None:
        """Read so many waiting prompts and give the copies that did not end at once a slot each."""
        chosen = [self.waiting.popleft() for _ in range(min(prompts, len(self.waiting)))]
        fresh, group_N, began = self.begun(chosen)
        if not len(group_N):
            return
        width = fresh[0][0].shape[2]
        free = self.done_N.nonzero().squeeze(1)
        short = len(group_N) - len(free)  # a group of more copies than there are slots
        going = (~self.done_N).nonzero().squeeze(1)
        if short > 0 or self.held.capacity <= width + TURNS:
            self._resize(going, fresh, slots=len(self.done_N) + max(0, short), capacity=max(self.held.capacity, width + TURNS + 1))
            free = self.done_N.nonzero().squeeze(1)
        slots = free[: len(group_N)]
        self.held.put(slots, fresh, group_N, began["padding"])
        began["columns_N"] = width - began.pop("padding")
        for name, value in began.items():
            self._state[name][slots] = value
        self.done_N[slots] = False

    def _fit(self, going: Tensor) -> None:
        """Room for the next turns, and no more slots than a few times the rows, once nobody waits."""
        needed = int(self.held.columns_N[going].max()) + TURNS + 1  # the last is where those that have ended go on writing
        shrinks = not self.waiting and len(going) * 4 <= len(self.done_N) and len(self.done_N) > FEWEST_SLOTS
        if needed > self.held.capacity or shrinks:
            slots = max(FEWEST_SLOTS, len(going)) if shrinks else len(self.done_N)
            grown = max(needed, self.held.capacity * 3 // 2) if needed > self.held.capacity else self.held.capacity
            self._resize(going, [], slots=slots, capacity=min(grown, max(needed, self._most)))

    @property
    def _most(self) -> int:
        """Columns of the longest prompt and the longest answer to it."""
        return max(len(prompt.ids) for prompt in self.prompts) + self.cap + TURNS + 1

    def _resize(self, going: Tensor, like: Sequence[tuple[Tensor, Tensor]], *, slots: int, capacity: int) -> None:
        self.graph = None  # what was captured holds the tensors of before
        self.held.resize(going, like, slots=slots, capacity=-(-capacity // COLUMNS) * COLUMNS)
        before, count = self._state, len(going)
        self._idle(slots)
        for name, value in before.items():
            self._state[name][:count] = value[going]
        self.done_N[:count] = False

    # -- steps --------------------------------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """One token of every slot. The first after a change runs as it is, and is then captured."""
        self.pushed += len(self.done_N)
        self.steps += 1
        if self.graph is None:
            self._alone()
            if self.capture:
                self._captured()
            return
        self.graph.replay()
        if self.picker.closer is not None:
            self._settle()

    def _alone(self) -> None:
        """A step without a capture; where one follows, aside from the stream that is captured, so that libraries have what they need."""
        if not self.capture:
            self._read()
            self._settle()
            return
        side, here = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            self._read()
            self._settle()
        here.wait_stream(side)

    def _captured(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._read()
                if self.picker.closer is None:  # what is put into an answer is decided in Python
                    self._settle()
        except RuntimeError as error:
            warnings.warn(f"a step of this model cannot be captured, so it runs at the speed of Python: {error}", stacklevel=2)
            self.capture = False
            torch.cuda.synchronize()
            return
        self.graph = graph

    def _read(self) -> None:
        positions_N1 = self.positions_N[:, None]
        seen_N = torch.where(self.done_N, 1, self.held.columns_N + 1).to(torch.int32)
        with attending(self.speaker.body, NAME):
            hidden_NH = self.speaker.body(
                input_ids=self.tokens_N[:, None],
                position_ids=positions_N1 if self.speaker.tower is None else positions_N1.expand(3, *positions_N1.shape),
                attention_mask=seen_N[:, None, None, None],
                past_key_values=self.held,
                use_cache=True,
            ).last_hidden_state[:, 0]
        self.logits_NV = nn.functional.linear(hidden_NH, self.speaker.head)

    def _settle(self) -> None:
        """Pick, write down, move on: in place, for a graph holds these very tensors."""
        self.picker.broken = self.bad
        tokens_N, done_N = self.pick(self.logits_NV, self.rows_N, self.places_N)
        assert self.picker.broken is not None
        self.bad.copy_(self.picker.broken)
        self.tokens_N.copy_(tokens_N)
        self.done_N.logical_or_(done_N)
        self.places_N.add_(1).clamp_(max=self.cap)
        self.positions_N.add_(1)
        self.held.columns_N.add_(1).clamp_(max=self.held.capacity - 1)


# -- attention ------------------------------------------------------------------------------------------------------------------------


def attend(
    module: nn.Module, query_NH1D: Tensor, key_NKTD: Tensor, value_NKTD: Tensor, attention_mask: Tensor, *, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    """One query a slot over its first columns; `attention_mask` says how many, [slots, 1, 1, 1]."""
    del module
    slots, heads, queries, width = query_NH1D.shape
    assert queries == 1, "prompts are read with the attention that the model came with"
    query_NKSD = query_NH1D.reshape(slots, key_NKTD.shape[1], heads // key_NKTD.shape[1], width)
    seen_N = attention_mask.reshape(slots)
    if query_NH1D.is_cuda and _kernels() is not None and query_NH1D.dtype != torch.float64:
        return by_kernels(query_NKSD, key_NKTD, value_NKTD, seen_N, scaling).view(slots, 1, heads, width), None
    there_NT = torch.arange(key_NKTD.shape[2], device=seen_N.device) < seen_N[:, None]
    mixed = nn.functional.scaled_dot_product_attention(query_NKSD, key_NKTD, value_NKTD, attn_mask=there_NT[:, None, None], scale=scaling)
    return mixed.reshape(slots, 1, heads, width), None


def by_kernels(query_NKSD: Tensor, key_NKTD: Tensor, value_NKTD: Tensor, seen_N: Tensor, scale: float) -> Tensor:
    """The mixed values, as `query_NKSD`, reading `seen_N` columns of each slot."""
    slots, heads, shared, width = query_NKSD.shape
    capacity = key_NKTD.shape[2]
    parts = max(1, min(PARTS, capacity // PART))
    query, out = query_NKSD.contiguous(), torch.empty(query_NKSD.shape, dtype=query_NKSD.dtype, device=query_NKSD.device)
    partial = torch.empty(slots, heads, parts, shared, width, dtype=torch.float32, device=query.device)
    top, total = (torch.empty(slots, heads, parts, shared, dtype=torch.float32, device=query.device) for _ in range(2))
    block = 1 << (width - 1).bit_length()
    kernels = _kernels()
    kernels.partly[(slots, heads, parts)](
        query, key_NKTD, value_NKTD, seen_N, partial, top, total, heads, capacity, parts, scale,
        shared=shared, shared_block=max(16, 1 << (shared - 1).bit_length()), width=width, width_block=max(16, block), block=BLOCK, num_warps=4,
    )  # fmt: skip
    kernels.together[(slots * heads, shared)](
        partial, top, total, out, parts, shared=shared, width=width, width_block=block, parts_block=1 << (parts - 1).bit_length(), num_warps=1
    )
    return out


@cache
def _kernels() -> Any:
    if os.environ.get("VOLD_TRITON") == "0":
        return None
    try:
        from vold.adapters.engines import triton_columns
    except ImportError:
        return None
    return triton_columns


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
