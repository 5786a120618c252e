"""Builds the laptop world's base VLM and its teachers from scratch, in one seeded pass.

The base: (1) its language part learns the lessons on text, drill and copy included; (2) its vision tower is aligned to the embeddings the
language part has learned, so that a picture's tokens mean what the words of the same fact mean; (3) both learn the lessons together. The
order matters: a tower trained jointly from scratch is ignored. The teachers learn chains, each in its style and with its arithmetic.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen3ForCausalLM

from vold.adapters.tiny_models.architectures import image_processor, student, teacher, word_id
from vold.adapters.tiny_models.images import Pixels, pixels_of
from vold.base.seeds import seed_for
from vold.tiny import words as w
from vold.tiny.drawing import Picture
from vold.tiny.grammar import STYLES, TRUE_SUMS, Sums, draw_question, flawed_sums
from vold.tiny.lessons import EVERYTHING, LOOK_UPS, REASON, Lesson, Mix, draw_lesson, draw_picture, user_turn

Progress = Callable[[str, int, int], None]
"""Told (phase, step, steps) after every step."""

BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One stretch of pre-training."""

    name: str
    steps: int
    lr: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainPlan:
    """How long each phase takes and how fast it learns."""

    text: Phase = Phase(name="text", steps=1000, lr=3e-3)
    tower: Phase = Phase(name="tower", steps=450, lr=3e-3)
    joint: Phase = Phase(name="joint", steps=2200, lr=2e-3)
    teacher: Phase = Phase(name="teacher", steps=900, lr=3e-3)
    look_ups_first: int = 300
    """Steps of the text phase that teach nothing but looking up: learned late, it is not learned at all."""
    mix: Mix = field(default_factory=lambda: dict(EVERYTHING))
    pictures: int = 6000
    image_share: float = 0.6
    tower_lr_scale: float = 0.2
    slip_share: float = 0.15


def decoupled_adamw(groups: Sequence[tuple[Sequence[nn.Parameter], float, float]]) -> torch.optim.AdamW:
    """AdamW over (parameters, learning rate, weight decay); vectors are not decayed."""
    split = []
    for parameters, lr, decay in groups:
        split.append({"params": [p for p in parameters if p.ndim > 1], "lr": lr, "weight_decay": decay})
        split.append({"params": [p for p in parameters if p.ndim <= 1], "lr": lr, "weight_decay": 0.0})
    return torch.optim.AdamW(split, betas=(0.9, 0.98))


def shape_of_lr(step: int, steps: int, warmup: int = 100) -> float:
    """Linear warm-up, constant to the middle, then linear to 2 %."""
    rise = min(1.0, (step + 1) / warmup)
    fall = min(1.0, 0.02 + 0.98 * 2 * (1 - (step + 1) / steps))
    return rise * fall


@dataclass(slots=True)
class Drill:
    """One model in training: its optimizer, and a schedule over `phase`."""

    phase: Phase
    optimizer: torch.optim.AdamW
    progress: Progress

    def run(self, loss_at: Callable[[int], Tensor]) -> None:
        base = [group["lr"] for group in self.optimizer.param_groups]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for step in range(self.phase.steps):
            scale = shape_of_lr(step, self.phase.steps)
            for group, lr in zip(self.optimizer.param_groups, base, strict=True):
                group["lr"] = lr * scale
            self.optimizer.zero_grad(set_to_none=True)
            loss_at(step).backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            self.optimizer.step()
            self.progress(self.phase.name, step + 1, self.phase.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A padded batch of lessons: ids and which tokens are trained, plus the positions when pictures shift them."""

    ids_BT: Tensor
    trained_BT: Tensor


def sheet_of(lessons: Sequence[Lesson]) -> Sheet:
    width = max(len(lesson.words) for lesson in lessons)
    ids_BT = torch.full((len(lessons), width), word_id(w.PAD))
    trained_BT = torch.zeros((len(lessons), width), dtype=torch.bool)
    for row, lesson in enumerate(lessons):
        ids_BT[row, : len(lesson.words)] = torch.tensor([word_id(word) for word in lesson.words])
        trained_BT[row, : len(lesson.words)] = torch.tensor(lesson.trained)
    return Sheet(ids_BT=ids_BT, trained_BT=trained_BT)


def next_word_loss(hidden_BTH: Tensor, head_VH: Tensor, sheet: Sheet) -> Tensor:
    """Mean cross-entropy of the trained words, each predicted from the hidden state before it."""
    wanted = sheet.trained_BT[:, 1:]
    return cross_entropy(hidden_BTH[:, :-1][wanted] @ head_VH.T, sheet.ids_BT[:, 1:][wanted])


def _text_positions(ids_BT: Tensor) -> Tensor:
    return torch.arange(ids_BT.shape[1]).expand(3, *ids_BT.shape)


def teach_text(model: Qwen2_5_VLForConditionalGeneration, plan: PretrainPlan, seed: int, progress: Progress) -> None:
    """Phase 1: the language part alone, on text lessons."""
    language = model.model.language_model
    optimizer = decoupled_adamw([(list(language.parameters()), plan.text.lr, 0.05)])

    def loss_at(step: int) -> Tensor:
        random = Random(seed_for(seed, "text", step))
        mix = LOOK_UPS if step < plan.look_ups_first else plan.mix
        sheet = sheet_of([draw_lesson(random, mix) for _ in range(BATCH)])
        hidden = language(input_ids=sheet.ids_BT, position_ids=_text_positions(sheet.ids_BT), use_cache=False).last_hidden_state
        return next_word_loss(hidden, model.lm_head.weight, sheet)

    Drill(plan.text, optimizer, progress).run(loss_at)


def align_tower(model: Qwen2_5_VLForConditionalGeneration, plan: PretrainPlan, pool: "Pool", seed: int, progress: Progress) -> None:
    """Phase 2: each merged token of a picture learns to look like the sum of the embeddings of its fact's two words."""
    tower = model.model.visual
    table = model.model.language_model.embed_tokens.weight.detach()
    letters = table[[word_id(x) for x in (*w.LETTERS, ".")]]
    digits = table[[word_id(x) for x in (*w.DIGITS, ".")]]
    scale = table.var()
    optimizer = decoupled_adamw([(list(tower.parameters()), plan.tower.lr, 0.0)])

    def loss_at(step: int) -> Tensor:
        chosen = Random(seed_for(seed, "tower", step)).choices(range(len(pool.pictures)), k=BATCH)
        pixels = pool.batch(chosen)
        seen = tower(pixels.patches, grid_thw=pixels.grids).pooler_output
        cells = [cell for place in chosen for cell in pool.pictures[place].cells]
        letter = torch.tensor([6 if cell is None else w.LETTERS.index(cell[0]) for cell in cells])
        digit = torch.tensor([10 if cell is None else cell[1] for cell in cells])
        # A cell may show letter and digit in any superposition; which letter and which digit must be tellable by direction.
        distance = (seen - letters[letter] - digits[digit]).square().mean() / scale
        unit = normalize(seen, dim=-1)
        telling = cross_entropy(12 * unit @ normalize(letters, dim=-1).T, letter) + cross_entropy(12 * unit @ normalize(digits, dim=-1).T, digit)
        return distance + 0.5 * telling

    Drill(plan.tower, optimizer, progress).run(loss_at)


def teach_jointly(model: Qwen2_5_VLForConditionalGeneration, plan: PretrainPlan, pool: "Pool", seed: int, progress: Progress) -> None:
    """Phase 3: tower and language part together, on lessons with and without pictures."""
    tower = list(model.model.visual.parameters())
    language = list(model.model.language_model.parameters())
    optimizer = decoupled_adamw([(language, plan.joint.lr, 0.05), (tower, plan.joint.lr * plan.tower_lr_scale, 0.0)])
    seeing = round(BATCH * plan.image_share)

    def loss_at(step: int) -> Tensor:
        random = Random(seed_for(seed, "joint", step))
        chosen = random.choices(range(len(pool.pictures)), k=seeing)
        lessons = [draw_lesson(random, plan.mix, picture=pool.pictures[place]) for place in chosen]
        lessons += [draw_lesson(random, plan.mix) for _ in range(BATCH - seeing)]
        sheet = sheet_of(lessons)
        pixels = pool.batch(chosen)
        hidden = model.model(
            input_ids=sheet.ids_BT,
            attention_mask=(sheet.ids_BT != word_id(w.PAD)).long(),
            pixel_values=pixels.patches,
            image_grid_thw=pixels.grids,
            mm_token_type_ids=(sheet.ids_BT == word_id(w.IMAGE_PAD)).int(),
            use_cache=False,
        ).last_hidden_state
        return next_word_loss(hidden, model.lm_head.weight, sheet)

    Drill(plan.joint, optimizer, progress).run(loss_at)


def teach_chains(model: Qwen3ForCausalLM, plan: PretrainPlan, *, style: str, sums: Sums, seed: int, progress: Progress) -> None:
    """A teacher: chains of every difficulty in one style; some carry an untrained slip, so that it can go on from a wrong result."""
    optimizer = decoupled_adamw([(list(model.parameters()), plan.teacher.lr, 0.05)])

    def loss_at(step: int) -> Tensor:
        random = Random(seed_for(seed, "chains", style, step))
        sheet = sheet_of([chain_lesson(random, style=style, sums=sums, slips=plan.slip_share) for _ in range(BATCH)])
        hidden = model.model(input_ids=sheet.ids_BT, use_cache=False).last_hidden_state
        return next_word_loss(hidden, model.lm_head.weight, sheet)

    Drill(plan.teacher, optimizer, progress).run(loss_at)


def chain_lesson(random: Random, *, style: str, sums: Sums, slips: float) -> Lesson:
    """A question with its chain; with probability `slips` one intermediate result is a random digit, not trained, and the rest follows."""
    question = draw_question(random, random.randint(1, 6))
    results = list(question.results_by(sums))
    slipped: int | None = None
    if len(results) > 1 and random.random() < slips:
        slipped = random.randrange(len(results) - 1)
        results[slipped] = random.randrange(10)
        values = question.values
        for place in range(slipped + 1, len(results)):
            results[place] = sums[results[place - 1], question.operators[place], values[question.letters[place + 1]]]
    asked = user_turn(f"{question.text_facts} find {question.expression} ? {REASON}")
    chain = [*STYLES[style](question, tuple(results)).split(), w.TURN_END]
    trained = [True] * len(chain)
    if slipped is not None:
        marks = [place for place, word in enumerate(chain) if word in ("=", "gives")]
        trained[marks[slipped] + 1] = False
    return Lesson(words=tuple(asked + chain), trained=tuple([False] * len(asked) + trained), picture=None)


class Pool:
    """Pictures drawn and processed once, dealt out in batches."""

    def __init__(self, seed: int, size: int) -> None:
        processor = image_processor()
        self.pictures: list[Picture] = [draw_picture(Random(seed_for(seed, "picture", place))) for place in range(size)]
        self.pixels: list[Pixels] = [pixels_of(processor, [picture.png]) for picture in self.pictures]

    def batch(self, chosen: Sequence[int]) -> Pixels:
        return Pixels(
            patches=torch.cat([self.pixels[place].patches for place in chosen]),
            grids=torch.cat([self.pixels[place].grids for place in chosen]),
        )


def build_base(seed: int, plan: PretrainPlan, progress: Progress) -> Qwen2_5_VLForConditionalGeneration:
    """The base VLM: reads text and pictures, does single steps, does not reason in chains."""
    model = student(seed_for(seed, "base"))
    pool = Pool(seed, plan.pictures)
    teach_text(model, plan, seed, progress)
    align_tower(model, plan, pool, seed, progress)
    teach_jointly(model, plan, pool, seed, progress)
    return model


def build_teacher(name: str, seed: int, plan: PretrainPlan, progress: Progress) -> Qwen3ForCausalLM:
    """Teacher `a` (clean), `b` (another style) or `flawed` (style A, 5 % of its arithmetic wrong)."""
    model = teacher(seed_for(seed, "teacher", name))
    sums = flawed_sums(Random(seed_for(seed, "flaws"))) if name == "flawed" else TRUE_SUMS
    teach_chains(model, plan, style="b" if name == "b" else "a", sums=sums, seed=seed_for(seed, name), progress=progress)
    return model
