"""What the base VLM is taught: single steps, rightly answered, and never a chain."""

import io
import re
from random import Random

import pytest
from PIL import Image

from vold.tiny.drawing import Picture
from vold.tiny.lessons import EVERYTHING, LOOK_UPS, Lesson, draw_lesson, draw_picture, drill
from vold.tiny.words import DIGITS, IMAGE_PAD, THINK, THINK_END, TURN_END, WORDS

LESSONS = 2500


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [draw_picture(Random(seed)) for seed in range(40)]


@pytest.fixture(scope="module")
def lessons(pictures: list[Picture]) -> list[Lesson]:
    out = []
    for seed in range(LESSONS):
        random = Random(seed)
        out.append(draw_lesson(random, EVERYTHING if seed % 5 else LOOK_UPS, picture=random.choice(pictures) if seed % 2 and seed % 5 else None))
    return out


def turns_of(lesson: Lesson) -> list[tuple[str, list[str], list[bool]]]:
    """(who, words, trained) of each turn, the opening two words and the closing one cut off."""
    out = []
    text = " ".join(lesson.words)
    assert text.startswith("<|im_start|> user ")
    place = 0
    for part in text.split("<|im_start|> ")[1:]:
        words = part.split()
        start = place + 1
        place += 1 + len(words)
        assert words[-1] == TURN_END or words == ["assistant", *words[1:-1], TURN_END]
        out.append((words[0], words[1:-1], list(lesson.trained[start + 1 : place - 1])))
    assert place == len(lesson.words)
    return out


def test_every_word_is_in_the_vocabulary(lessons: list[Lesson]) -> None:
    assert {word for lesson in lessons for word in lesson.words} <= set(WORDS)
    assert all(len(lesson.words) == len(lesson.trained) for lesson in lessons)


def test_only_the_assistants_words_are_trained(lessons: list[Lesson]) -> None:
    for lesson in lessons:
        speaker = ""
        for word, trained in zip(lesson.words, lesson.trained, strict=True):
            if word in ("user", "assistant"):
                speaker = word
                assert not trained
            elif trained:
                assert speaker == "assistant", " ".join(lesson.words)
        drilled = lesson.words[2:4] == ("calc", "?")
        for who, words, trained_words in turns_of(lesson):
            if who == "assistant" and not drilled:
                assert all(trained_words), " ".join(words)


def test_drills_train_results_alone() -> None:
    for seed in range(50):
        lesson = drill(Random(seed))
        for place, (word, trained) in enumerate(zip(lesson.words, lesson.trained, strict=True)):
            is_result = word in DIGITS and lesson.words[place - 1] == "="
            is_end = place == len(lesson.words) - 1
            assert trained == (is_result or is_end), (place, word)
        assert lesson.words.count("=") == 9


def test_no_lesson_holds_a_chain(lessons: list[Lesson]) -> None:
    """Nothing is thought aloud, and what follows `=` is never used again: no result of a step is an operand of another."""
    equations = 0
    for lesson in lessons:
        assert not {THINK, THINK_END} & set(lesson.words)
        for who, words, _ in turns_of(lesson):
            if who == "user":
                continue
            for sum_ in " ".join(words).split(" , "):
                if "=" in sum_:
                    equations += 1
                    found = re.fullmatch(r"(\d) ([+-]) (?:[a-f] )?(\d) = (\d)", sum_)
                    assert found, " ".join(lesson.words)
                    left, operator, right, result = found.groups()
                    assert (int(left) + int(right) * (1 if operator == "+" else -1)) % 10 == int(result)
    assert equations > 500


def facts_of(lesson: Lesson) -> dict[str, int]:
    if lesson.picture is not None:
        return dict(lesson.picture.facts)
    first = " ".join(turns_of(lesson)[0][1])
    shown = re.match(r"((?:[a-f] \d )+)", first)
    pairs = shown.group(1).split() if shown else []
    return {pairs[i]: int(pairs[i + 1]) for i in range(0, len(pairs), 2)}


def test_every_lesson_is_answered_rightly(lessons: list[Lesson]) -> None:
    """Read back from the words with an evaluator of its own: a task asked, and what its answer must be."""
    seen: set[str] = set()
    for lesson in lessons:
        facts, turns = facts_of(lesson), turns_of(lesson)
        for (_, asked, _), (_, said, _) in zip(turns[::2], turns[1::2], strict=True):
            request = re.search(r"(find|read|value|calc|copy|list)\b(.*) \?", " ".join(asked))
            assert request, asked
            task, about = request.group(1), request.group(2).split()
            answer = " ".join(said)
            if task == "read":
                assert answer == " ".join(f"{word} {facts[word]}" if word in facts else word for word in about)
            elif task == "copy":
                assert said == about
            elif task == "value":
                assert answer == rf"\boxed{{ {facts[about[0]]} }}"
            elif task == "list":
                assert lesson.picture is not None
                assert answer == " ".join(". ." if cell is None else f"{cell[0]} {cell[1]}" for cell in lesson.picture.cells)
            elif task == "find" or (task == "calc" and "boxed" in answer):
                total, sign = 0, 1
                for word in about:
                    total += 0 if word in "+-" else sign * (facts[word] if word in facts else int(word))
                    sign = {"+": 1, "-": -1}.get(word, sign)
                assert answer == rf"\boxed{{ {total % 10} }}", " ".join(lesson.words)
            seen.add(task)
    assert seen == {"find", "read", "value", "calc", "copy", "list"}


def test_a_picture_lesson_shows_one_placeholder_a_cell_and_no_fact_in_words(lessons: list[Lesson]) -> None:
    shown = [lesson for lesson in lessons if lesson.picture is not None]
    assert shown
    for lesson in shown:
        assert lesson.picture is not None
        first = turns_of(lesson)[0][1]
        assert first.count(IMAGE_PAD) == len(lesson.picture.cells) == lesson.picture.columns * lesson.picture.rows
        assert not re.search(r"\b[a-f] \d", " ".join(first))


def test_pictures_show_each_fact_in_its_own_cell(pictures: list[Picture]) -> None:
    for picture in pictures:
        image = Image.open(io.BytesIO(picture.png))
        assert image.mode == "RGB"
        assert image.size == (picture.columns * 28, picture.rows * 28)
        assert len(picture.cells) == picture.columns * picture.rows
        for place, cell in enumerate(picture.cells):
            x, y = place % picture.columns * 28, place // picture.columns * 28
            colours = image.crop((x, y, x + 28, y + 28)).getcolors(1000)
            assert colours is not None
            assert (len(colours) > 1) == (cell is not None)  # an empty cell is nothing but paper
            assert cell is None or min(min(rgb) for _, rgb in colours) < 150  # ink can be told from paper
    assert {(p.columns, p.rows) for p in pictures} == {(2, 2), (3, 2), (2, 3), (4, 2), (3, 3)}


def test_a_picture_depends_on_its_seed_alone() -> None:
    assert draw_picture(Random(5)).png == draw_picture(Random(5)).png
    assert draw_picture(Random(5)).png != draw_picture(Random(6)).png
