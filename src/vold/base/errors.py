"""The family of errors.

    VoldError
    ├── Refusal             (exit code 2: refused before anything expensive; also a ValueError)
    │   ├── SettingsError       a recipe, an overlay or a key=value that cannot be
    │   ├── DataError           problems, traces or images that cannot be read
    │   ├── ModelError          a checkpoint folder, tokenizer or pair of models that cannot work
    │   └── ObjectiveError      an objective that contradicts itself or its surroundings
    └── RunError            (exit code 1: failed while running, resumable; also a RuntimeError)
        ├── FrozenMoved         something frozen changed
        ├── Diverged            a loss or gradient that is not finite
        ├── NothingJudged       a step of which no rollout could be judged
        ├── StaleEngine         an engine that does not sample from the weights it was given
        ├── LyingTeacher        a teacher whose numbers are not those of the tokens it was asked about
        ├── Unserved            a server that left too many requests without a usable reply
        └── Unanswered          questions to a judging model that nobody answered

Every message says what was found, what was expected and what to do next.
"""


class VoldError(Exception):
    """Everything this package raises on purpose."""

    exit_code = 1


class Refusal(VoldError, ValueError):
    """Refused before anything expensive started."""

    exit_code = 2


class SettingsError(Refusal):
    """A recipe, an overlay or a key=value that cannot be."""


class DataError(Refusal):
    """Problems, traces or images that cannot be read."""


class ModelError(Refusal):
    """A checkpoint folder, tokenizer or pair of models that cannot work."""


class ObjectiveError(Refusal):
    """An objective that contradicts itself or what surrounds it."""


class RunError(VoldError, RuntimeError):
    """Failed while running; the run can be resumed."""


class FrozenMoved(RunError):
    """Something that was frozen changed."""


class Diverged(RunError):
    """A loss or gradient that is not finite."""


class NothingJudged(RunError):
    """A step of which no rollout could be judged."""


class StaleEngine(RunError):
    """An engine that does not sample from the weights it was given."""


class LyingTeacher(RunError):
    """A teacher whose numbers are not those of the tokens it was asked about."""


class Unserved(RunError):
    """A server that left too many requests without a usable reply."""


class Unanswered(RunError):
    """Questions to a judging model that nobody answered."""
