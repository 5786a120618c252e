"""A decoding loop of our own over the same parameters: an answer that has ended makes room at once, for a waiting one or for nobody.

Keys and values lie in columns of one time line. A row owns the columns from its start to now, so rows that began later stand beside older ones, and
every step adds one column. Keys and values are repeated for no head, and copied only when enough rows have ended or the columns are full.

Nothing else depends on this module: without it the engine calls `generate`.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from vold.adapters.engines.draws import PlacedSampling
from vold.adapters.models import LanguageModel
from vold.adapters.packed import attending
from vold.adapters.templates import Prompt, shown_by

NAME = "vold_decoding"
GRAPHED = "vold.adapters.engines.graphed"
"""The same on a GPU, where it is there and can run the model."""
FEWEST_ENDED = 1 / 8
"""The share of rows that must have ended before the others are moved together."""
GROWTH = 64
"""Columns that are free after keys and values were moved, or a half of those in use where that is more."""


def serves(speaker: LanguageModel) -> bool:
    """Whether this loop can run a model: every layer attends to everything before it, and keeps keys and values of it."""
    config: Any = speaker.body.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return kinds == {"full_attention"} and hasattr(speaker.body, "layers") and hasattr(speaker.body, "rotary_emb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Ids and log-probabilities of each row up to its end, and what it took: `pushed` tokens went through the layers while decoding."""

    ids: list[list[int]]
    logprobs: list[list[float]]
    pushed: int
    steps: int


@torch.no_grad()
def decode(speaker: LanguageModel, prompts: Sequence[Prompt], copies: int, picker: PlacedSampling, *, cap: int, slots: int) -> Decoded:
    """`copies` answers to each prompt, at most `slots` side by side, each up to an end token or `cap` tokens. Row i · copies + c is copy c of
    prompt i."""
    if speaker.device.type == "cuda" and find_spec(GRAPHED) is not None:
        graphed = import_module(GRAPHED)
        if graphed.serves(speaker):
            done: Decoded = graphed.decode(speaker, prompts, copies, picker, cap=cap, slots=slots)
            return done
    return Columned(speaker=speaker, prompts=prompts, copies=copies, picker=picker, cap=cap, slots=slots).run()


class Columns(Cache):
    """Keys and values of all rows, one pair of tensors a layer, [rows, heads, columns, width]. The next token's go to column `now`."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.pairs: list[tuple[Tensor, Tensor]] = []
        self.now = 0

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        keys, values = self.pairs[layer_idx]
        keys[:, :, self.now] = key_states[:, :, 0]
        values[:, :, self.now] = value_states[:, :, 0]
        return keys[:, :, : self.now + 1], values[:, :, : self.now + 1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        del layer_idx
        return self.now

    def move(self, kept: Tensor, fresh: Sequence[tuple[Tensor, Tensor]], copied: Tensor, *, first: int, capacity: int) -> None:
        """Rows `kept` from column `first` on, then rows `copied` of what was just read, in tensors of so many columns. Layer by layer: the old
        ones are let go of one after the other."""
        width = fresh[0][0].shape[2] if fresh else 0
        now = self.now - first if len(kept) else width
        olds: list[tuple[Tensor, ...]] = list(self.pairs) if len(kept) else [()] * len(fresh)
        self.pairs = []
        for layer in range(len(olds)):
            old, new = olds[layer], fresh[layer] if fresh else ()
            moved = []
            for place in range(2):
                of = old[place] if old else new[place]
                states = of.new_empty(len(kept) + len(copied), of.shape[1], capacity, of.shape[3])
                if len(kept):
                    states[: len(kept), :, :now] = old[place][kept, :, first : self.now]
                if len(copied):
                    states[len(kept) :, :, : now - width] = 0  # never seen, but a number: 0 times what is not one is not 0
                    states[len(kept) :, :, now - width : now] = new[place][copied]
                moved.append(states)
            self.pairs.append((moved[0], moved[1]))
            olds[layer] = ()
        self.now = now


@dataclass(kw_only=True)
class Loop:
    """What a loop knows of the answers, whatever it keeps keys and values in."""

    speaker: LanguageModel
    prompts: Sequence[Prompt]
    copies: int
    picker: PlacedSampling
    cap: int
    slots: int
    pushed: int = field(default=0, init=False)
    steps: int = field(default=0, init=False)

    def begin(self) -> None:
        device, rows = self.speaker.device, len(self.prompts) * self.copies
        self.ends = torch.tensor(self.speaker.end_ids, device=device)
        self.ids_RT = torch.zeros(rows, self.cap + 1, dtype=torch.long, device=device)  # the last column is for rows that have ended
        self.logprobs_RT = torch.zeros(rows, self.cap + 1, device=device)
        # the longest prompts first: whoever comes later then has room in the columns
        self.waiting = deque(sorted(range(len(self.prompts)), key=lambda i: (-len(self.prompts[i].ids), i)))

    def begun(self, chosen: Sequence[int]) -> tuple[list[tuple[Tensor, Tensor]], Tensor, dict[str, Tensor]]:
        """These prompts read once each, and the first tokens of their copies: keys and values, which of them each new row has, and the rows."""
        prompts = [self.prompts[i] for i in chosen]
        hidden_GH, pairs, offsets_G = read(self.speaker, prompts)
        device, copies = hidden_GH.device, self.copies
        group_N = torch.arange(len(chosen), device=device).repeat_interleave(copies)
        rows = [i * copies + copy for i in chosen for copy in range(copies)]
        rows_N, places_N = torch.tensor(rows, device=device), torch.zeros(len(rows), dtype=torch.long, device=device)
        tokens_N, done_N = self.pick(nn.functional.linear(hidden_GH, self.speaker.head)[group_N], rows_N, places_N)
        self.picker.refuse_broken()
        lengths_G = torch.tensor([len(prompt.ids) for prompt in prompts], device=device)
        began = {
            "rows_N": rows_N,
            "tokens_N": tokens_N,
            "places_N": places_N + 1,
            "positions_N": (lengths_G + offsets_G)[group_N],
            "padding": (pairs[0][0].shape[2] - lengths_G)[group_N],
        }
        going = (~done_N).nonzero().squeeze(1)
        return pairs, group_N[going], {name: of[going] for name, of in began.items()}

    def pick(self, logits_NV: Tensor, rows_N: Tensor, places_N: Tensor) -> tuple[Tensor, Tensor]:
        """The next tokens, written down; and which rows end with them. What a row that has ended says until it is dropped stands behind its end."""
        put_in: dict[int, int] = {}
        if self.picker.closer is not None:
            rows, places = rows_N.tolist(), places_N.tolist()
            put_in = self.picker.put_in(rows, places, lambda at: self.ids_RT[rows[at], : places[at]].tolist())
        chosen_N, logprobs_N = self.picker.pick(logits_NV, rows_N, places_N.clamp(max=self.cap - 1), put_in)
        self.ids_RT[rows_N, places_N] = chosen_N
        self.logprobs_RT[rows_N, places_N] = logprobs_N
        return chosen_N, torch.isin(chosen_N, self.ends) | (places_N + 1 >= self.cap)

    def found(self) -> Decoded:
        ended_RT = torch.isin(self.ids_RT[:, : self.cap], self.ends)
        first_R = torch.where(ended_RT.any(1), ended_RT.int().argmax(1) + 1, self.cap).tolist()
        ids, logprobs = self.ids_RT.cpu(), self.logprobs_RT.cpu()
        return Decoded(
            ids=[ids[row, :length].tolist() for row, length in enumerate(first_R)],
            logprobs=[logprobs[row, :length].tolist() for row, length in enumerate(first_R)],
            pushed=self.pushed,
            steps=self.steps,
        )


@dataclass(kw_only=True)
class Columned(Loop):
    cache: Columns = field(default_factory=Columns, init=False)

    def run(self) -> Decoded:
        self.begin()
        device = self.speaker.device
        self.rows_N = self.starts_N = self.tokens_N = self.places_N = self.positions_N = torch.empty(0, dtype=torch.long, device=device)
        self.done_N = torch.empty(0, dtype=torch.bool, device=device)
        while True:
            alive = int((~self.done_N).sum())
            if self._moves(alive):
                self._move(alive)
            if len(self.rows_N):
                self._step()
            elif not self.waiting:
                break
        return self.found()

    def _moves(self, alive: int) -> bool:
        """Whether rows are to be moved together now: enough have ended, the columns are full, or a group that waits has room and is worth it."""
        count = len(self.rows_N)
        if not count:
            return bool(self.waiting)
        full = self.cache.now == self.cache.pairs[0][0].shape[2]
        room = self.slots - alive
        refill = bool(self.waiting) and room >= max(self.copies, self.slots * FEWEST_ENDED)
        return full or refill or count - alive >= max(1, count * FEWEST_ENDED)

    def _move(self, alive: int) -> None:
        kept = (~self.done_N).nonzero().squeeze(1)
        admitted = max((self.slots - alive) // self.copies, 0 if alive else 1)
        chosen = [self.waiting.popleft() for _ in range(min(admitted, len(self.waiting)))]
        fresh, copied, began = self.begun(chosen) if chosen else ([], kept[:0], {})
        width = fresh[0][0].shape[2] if fresh else 0
        first = int(self.starts_N[kept].min()) if alive else 0
        now = self.cache.now - first if alive else width
        starts = torch.cat([self.starts_N[kept] - first, began["padding"] + now - width]) if began else self.starts_N[kept] - first
        for name in ("rows_N", "tokens_N", "places_N", "positions_N"):
            own = getattr(self, name)[kept]
            setattr(self, name, torch.cat([own, began[name]]) if began else own)
        self.starts_N = starts
        self.done_N = torch.zeros(len(starts), dtype=torch.bool, device=starts.device)
        if not len(starts):
            self.cache = Columns()
            return
        left = self.cap - int(self.places_N.min())
        capacity = now + min(left, max(GROWTH, now // 2))
        self.cache.move(kept, fresh, copied, first=first, capacity=capacity)
        lowest = torch.finfo(self.speaker.head.dtype).min
        hidden = torch.arange(capacity, device=starts.device)[None] < starts[:, None]
        self.mask_N11C = torch.zeros(hidden.shape, dtype=self.speaker.head.dtype, device=starts.device).masked_fill_(hidden, lowest)[:, None, None]

    def _step(self) -> None:
        cache = self.cache
        positions_N1 = self.positions_N[:, None]
        with attending(self.speaker.body, NAME):
            hidden_NH = self.speaker.body(
                input_ids=self.tokens_N[:, None],
                position_ids=positions_N1 if self.speaker.tower is None else positions_N1.expand(3, *positions_N1.shape),
                attention_mask=self.mask_N11C[..., : cache.now + 1],
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state[:, 0]
        self.tokens_N, done_N = self.pick(nn.functional.linear(hidden_NH, self.speaker.head), self.rows_N, self.places_N)
        self.picker.refuse_broken()
        self.done_N |= done_N
        self.places_N = (self.places_N + 1).clamp_(max=self.cap)
        self.positions_N = self.positions_N + 1
        cache.now += 1
        self.pushed += len(self.rows_N)
        self.steps += 1


# -- prompts and attention ------------------------------------------------------------------------------------------------------------


def read(speaker: LanguageModel, prompts: Sequence[Prompt]) -> tuple[Tensor, list[tuple[Tensor, Tensor]], Tensor]:
    """Each prompt read once, padded on the left: the last hidden state, keys and values a layer, and how far pictures shift what follows."""
    width = max(len(prompt.ids) for prompt in prompts)
    device = speaker.device
    ids_GT = torch.tensor([[speaker.pad_id] * (width - len(p.ids)) + list(p.ids) for p in prompts], device=device)
    mask_GT = torch.tensor([[0] * (width - len(p.ids)) + [1] * len(p.ids) for p in prompts], device=device)
    shown = shown_by(speaker, prompts, ids_GT)
    if shown:
        speaker.model.model.rope_deltas = None  # the last call's picture offsets must not reach this one
        found = speaker.model.model(input_ids=ids_GT, attention_mask=mask_GT, use_cache=True, **shown)
        offsets_G = speaker.model.model.rope_deltas.reshape(-1).to(device)
        speaker.model.model.rope_deltas = None
    else:
        positions_GT = (mask_GT.cumsum(-1) - 1).clamp(min=0)
        found = speaker.body(
            input_ids=ids_GT,
            attention_mask=mask_GT,
            position_ids=positions_GT if speaker.tower is None else positions_GT.expand(3, *positions_GT.shape),
            use_cache=True,
        )
        offsets_G = torch.zeros(len(prompts), dtype=torch.long, device=device)
    return found.last_hidden_state[:, -1], [(layer.keys, layer.values) for layer in found.past_key_values.layers], offsets_G


def attend(
    module: nn.Module, query_NH1D: Tensor, key_NKTD: Tensor, value_NKTD: Tensor, attention_mask: Tensor | None, *, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    """One query a row over its columns, the heads that share keys and values side by side, so that these are not repeated."""
    del module
    count, heads, queries, width = query_NH1D.shape
    shared = heads // key_NKTD.shape[1]
    assert queries == 1, "prompts are read with the attention that the model came with"
    query_NKSD = query_NH1D.reshape(count, key_NKTD.shape[1], shared, width)
    if query_NH1D.dtype in (torch.bfloat16, torch.float16):  # the fused kernel adds up in single precision
        mixed = nn.functional.scaled_dot_product_attention(query_NKSD, key_NKTD, value_NKTD, attn_mask=attention_mask, scale=scaling)
    else:
        scores = torch.matmul(query_NKSD, key_NKTD.transpose(2, 3)).mul_(scaling)
        scores = scores if attention_mask is None else scores.add_(attention_mask)
        mixed = torch.matmul(nn.functional.softmax(scores, dim=-1), value_NKTD)
    return mixed.reshape(count, 1, heads, width), None


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
