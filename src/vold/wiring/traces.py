"""The corpus in the student's ids: examples for alignment, and groups for steps of stage 2 that train on traces instead of rollouts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from torch import Tensor

from vold.adapters.corpora import ShardedCorpus
from vold.adapters.models import LanguageModel, table_at
from vold.adapters.vocabulary import banned_ids
from vold.base.errors import DataError
from vold.base.files import write_json
from vold.base.seeds import seed_for
from vold.base.types import Finish, Group, Rollout, Ruling, ScoredRollout, Trace, Verdict
from vold.core.vocabulary import agree
from vold.ports import Example
from vold.wiring.parts import Parts


def examples_of(parts: Parts, student: LanguageModel, folder: Path) -> list[tuple[Trace, Example]]:
    """Every trace with the teacher's own ids where the student can say every one of them, else encoded from the words.

    What was made of the corpus is written to `examples.json` in `folder`.
    """
    cap, template, banned_V = parts.settings.sft.max_tokens, parts.student_template(student), banned_ids(student)
    shared = parts.settings.corpus.origin == "teacher" and agree(student.table, table_at(parts.teacher_folder))
    counts = {"traces": 0, "in the teacher's ids": 0, "over sft.max_tokens": 0}
    examples: list[tuple[Trace, Example]] = []
    for trace in ShardedCorpus(folder=parts.root / "corpus").traces():
        ids = said_in(trace, banned_V) if shared else None
        example = Example(
            prompt_ids=template.render(trace.problem).ids,
            response_ids=ids or template.ids_of(trace.response),
            images=trace.problem.images,
            name=trace.problem.id,
        )
        fits = len(example.prompt_ids) + len(example.response_ids) <= cap
        counts["traces"] += 1
        counts["in the teacher's ids"] += ids is not None
        counts["over sft.max_tokens"] += not fits
        if fits:
            examples.append((trace, example))
    write_json(folder / "examples.json", counts)
    return examples


def corpus_groups(parts: Parts, student: LanguageModel, folder: Path, banned_V: Tensor) -> Callable[[int], list[Group]]:
    """For a step, as many of the corpus' traces as a step has prompts, each a group of its own that nobody judges.

    Traces with an id that not both models may say are left out: neither would give it a probability. Raises DataError where none is left.
    """
    examples = [(trace, example) for trace, example in examples_of(parts, student, folder) if can_say(example.response_ids, banned_V)]
    if not examples:
        raise DataError("the corpus holds no trace that student and teacher can both say, so no step can train on it. Set on_corpus = 0.")
    seed, size = parts.settings.seed, min(parts.settings.joint.prompts_per_step, len(examples))

    def at_step(step: int) -> list[Group]:
        chosen = Random(seed_for(seed, "joint", "corpus", step)).sample(range(len(examples)), size)
        return [traced(*examples[place], sample=place) for place in chosen]

    return at_step


def traced(trace: Trace, example: Example, *, sample: int) -> Group:
    """A trace as a group of one unjudged rollout: what a pull alone can train on. It was sampled by nobody here: its log-probabilities are NaN."""
    ids = example.response_ids
    rollout = Rollout(
        problem=trace.problem,
        sample=sample,
        prompt_ids=example.prompt_ids,
        response_ids=ids,
        logprobs=(float("nan"),) * len(ids),
        sampled=(True,) * len(ids),
        policy_version=-1,
        finish=Finish.STOP,
        text=trace.response,
    )
    verdict = Verdict(ruling=Ruling.UNJUDGED, extracted=None, note="a trace of the corpus")
    return Group(problem=trace.problem, members=(ScoredRollout(rollout=rollout, verdict=verdict),))


def said_in(trace: Trace, banned_V: Tensor) -> tuple[int, ...] | None:
    """A trace in the teacher's own ids, where the student can say every one of them; None where it must be encoded from its words."""
    ids = trace.response_ids
    return ids if ids is not None and can_say(ids, banned_V) else None


def can_say(ids: Sequence[int], banned_V: Tensor) -> bool:
    """Whether every id has a row and is not banned."""
    return all(i < len(banned_V) and not banned_V[i] for i in ids)
