"""What a model of the laptop world can do: its score on each lesson, and word by word inside a chain it is led through."""

from collections.abc import Sequence
from random import Random

import torch

from vold.adapters.engines.transformers import TransformersEngine
from vold.adapters.models import LanguageModel
from vold.adapters.problems.tiny import tiny_problem
from vold.adapters.templates import Template
from vold.adapters.vocabulary import banned_ids
from vold.base.seeds import seed_for
from vold.base.types import Problem
from vold.core.answers import last_boxed
from vold.ports import Sampling
from vold.tiny.drawing import draw
from vold.tiny.grammar import chain_a, draw_facts, draw_question
from vold.tiny.lessons import REASON, Task, ask_calc, ask_copy, ask_list, ask_read, ask_read_expression

LESSONS: dict[str, Task] = {"list": ask_list, "read": ask_read, "copy": ask_copy, "read expression": ask_read_expression, "calc": ask_calc}
GREEDY = Sampling(max_new_tokens=96, temperature=0.0)
DIFFICULTIES = (1, 3, 5)


def skills_of(model: LanguageModel, *, seed: int = 5, size: int = 200) -> dict[str, float]:
    """Every skill that applies: lessons and led chains for a model that sees, whole chains at each difficulty for every model."""
    found = answer_skills(model, seed=seed, size=size)
    return found | lesson_skills(model, seed=seed, size=size) | chain_skills(model, seed=seed, size=size // 2) if model.tower is not None else found


def answer_skills(model: LanguageModel, *, seed: int, size: int) -> dict[str, float]:
    """Greedy accuracy on `find` questions under the reasoning suffix, and without it for a model that sees."""
    found: dict[str, float] = {}
    for modality in ("text", "image") if model.tower is not None else ("text",):
        for name, suffix in (("find", f" {REASON}"), ("find direct", "")) if model.tower is not None else (("find", f" {REASON}"),):
            engine = TransformersEngine(speaker=model, template=Template(of=model, suffix=suffix), banned_V=banned_ids(model), seed=seed)
            for k in DIFFICULTIES:
                problems = [tiny_problem(seed, "skills", place, k, image=modality == "image") for place in range(size)]
                rollouts = engine.sample(problems, per_problem=1, sampling=GREEDY, place=("skills",))
                found[f"{name} k{k}/{modality}"] = sum(last_boxed(r.text) == r.problem.answer for r in rollouts) / size
    return found


def lesson_skills(model: LanguageModel, *, seed: int, size: int) -> dict[str, float]:
    """The share of lessons answered to the letter, named `read/text`, `list/image` and so on."""
    engine = TransformersEngine(speaker=model, template=Template(of=model), banned_V=banned_ids(model), seed=seed)
    found: dict[str, float] = {}
    for name, task in LESSONS.items():
        for modality in ("text", "image"):
            if (modality == "image" and model.tower is None) or (name, modality) == ("list", "text"):
                continue
            problems = [_lesson_problem(task, seed, place, modality) for place in range(size)]
            rollouts = engine.sample(problems, per_problem=1, sampling=GREEDY, place=("skills", name))
            found[f"{name}/{modality}"] = sum(_same(name, r.text, str(r.problem.answer)) for r in rollouts) / size
    return found


def _same(name: str, said: str, wanted: str) -> bool:
    """To the letter; a sum may be given as an equation or in a box, so only its result counts."""
    if name != "calc":
        return said == wanted
    return [w for w in said.split() if w.isdigit()][-1:] == [w for w in wanted.split() if w.isdigit()][-1:]


def _lesson_problem(task: Task, seed: int, place: int, modality: str) -> Problem:
    random = Random(seed_for(seed, "skills", place, modality))
    facts = draw_facts(random)
    picture = draw(random, facts) if modality == "image" else None
    request, answer = task(random, facts, picture)
    shown = "" if picture else " ".join(f"{letter} {digit}" for letter, digit in facts) + " "
    return Problem(id=f"skill/{place}", prompt=f"{shown}{request}", answer=answer, source="skills", images=(picture.png,) if picture else ())


@torch.no_grad()
def chain_skills(model: LanguageModel, *, seed: int, size: int, difficulty: int = 3) -> dict[str, float]:
    """Led through a right chain word by word: how often its next word is right, for what is copied, looked up and reckoned."""
    found: dict[str, float] = {}
    for modality in ("text", "image") if model.tower is not None else ("text",):
        hits: dict[str, list[bool]] = {"copy": [], "look-up": [], "result": []}
        for place in range(size):
            for kind, hit in _led(model, seed, place, difficulty, modality):
                hits[kind].append(hit)
        found |= {f"chain {kind}/{modality}": sum(flags) / len(flags) for kind, flags in hits.items()}
    return found


def _led(model: LanguageModel, seed: int, place: int, difficulty: int, modality: str) -> Sequence[tuple[str, bool]]:
    random = Random(seed_for(seed, "led", place))
    question = draw_question(random, difficulty)
    picture = draw(random, question.facts) if modality == "image" else None
    asked = f"find {question.expression} ?" if picture else f"{question.text_facts} find {question.expression} ?"
    problem = Problem(id=str(place), prompt=asked, answer=None, source="led", images=(picture.png,) if picture else ())
    prompt = Template(of=model, suffix=f" {REASON}").render(problem)
    words = chain_a(question, question.results).split()
    ids = torch.tensor([[*prompt.ids, *model.tokenizer(" ".join(words), add_special_tokens=False).input_ids]])
    seen = {}
    if prompt.patches is not None:
        seen = {"pixel_values": prompt.patches, "image_grid_thw": prompt.grids, "mm_token_type_ids": (ids == model.model.config.image_token_id).int()}
    guesses = model.model(input_ids=ids, **seen).logits[0, len(prompt.ids) - 1 : -1].argmax(-1).tolist()
    return [(kind, guess == wanted) for kind, guess, wanted in zip(kinds_of(words), guesses, ids[0, len(prompt.ids) :].tolist(), strict=True) if kind]


def kinds_of(words: Sequence[str]) -> list[str]:
    """For each word of a style A chain: copied from the question, looked up in the facts, reckoned, or (empty) mere form."""
    kinds: list[str] = []
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        if word in "+-" or (word.isalpha() and len(word) == 1):
            kinds.append("copy")
        elif word.isdigit():
            kinds.append("result" if before == "=" else "look-up" if before.isalpha() else "")
        else:
            kinds.append("")
    return kinds
