"""Multiple choice: the letter of an option."""

from vold.adapters.judges.alone import AloneJudge
from vold.core.answers import find_answer
from vold.core.choices import declared_in, gold_letters, letters_in


class ChoiceJudge(AloneJudge):
    """Compares the option an answer names with the reference's; sets of options where the reference has several.

    Where no format finds an answer, the option the response declares at its end (`The answer is B`) is taken. An answer that names no option, or
    several where one is wanted, is wrong.
    """

    def found(self, text: str) -> str | None:
        found = find_answer(text, self.formats)
        return declared_in(text) if found is None else found

    def reason(self, gold: str) -> str | None:
        if not gold.strip():
            return "the reference is empty"
        return None if gold_letters(gold) else f"the reference names no option: {gold[:60]!r}"

    def right(self, found: str, gold: str) -> tuple[bool, str]:
        wanted = gold_letters(gold)
        assert wanted is not None
        options = letters_in(found, several=len(wanted) > 1)
        return options == wanted, "" if options else "no option or several in the answer"
