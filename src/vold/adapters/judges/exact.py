"""The paper's words: the content of the box is the reference."""

from vold.adapters.judges.alone import AloneJudge


class ExactJudge(AloneJudge):
    """Right to the letter, blanks at the ends apart."""

    def right(self, found: str, gold: str) -> tuple[bool, str]:
        return found.strip() == gold.strip(), ""
