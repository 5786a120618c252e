"""The numbers of the alignment check against dense computations in float64, and the stage that takes them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from support.records import problem, rollout
from torch import Tensor

from vold.base.errors import DataError, Diverged, SettingsError
from vold.base.types import Finish, Problem, Rollout, View
from vold.core.closeness import NAMES, QUANTILES, TOPS, Tokens, at_states, closeness_of, joined, read
from vold.core.objective import Want
from vold.core.scale import Scale
from vold.ports import Place, Sampling, Weights
from vold.stages import align as stage

N, V, W, H, K = 23, 40, 46, 8, 12
BANNED = (0, 7, 8, 31)


@dataclass(frozen=True)
class Drawn:
    student_NH: Tensor
    head_VH: Tensor
    teacher_NK: Tensor
    head_WK: Tensor
    targets_N: Tensor
    banned_V: Tensor


def drawn(seed: int = 0, *, v: int = V, w: int = W, banned: Sequence[int] = BANNED) -> Drawn:
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    banned_V = torch.zeros(v, dtype=torch.bool)
    banned_V[list(banned)] = True
    said = [i for i in range(min(v, w)) if i not in banned]
    targets_N = torch.tensor(said)[torch.randint(len(said), (N,), generator=draw)]
    return Drawn(normal(N, H), normal(v, H), normal(N, K), normal(w, K), targets_N, banned_V)


def numbers(d: Drawn, *, chunk: int | None = None, temperature: float = 1.0) -> Tokens:
    given = (d.student_NH, d.head_VH, d.teacher_NK, d.head_WK, d.targets_N)
    return read(*given, banned_V=d.banned_V, temperature=temperature, chunk=chunk)


def dense(d: Drawn, temperature: float = 1.0) -> dict[str, list[float]]:
    """Every number as it is written down, a token at a time, over plain lists of the ids both may say."""
    said = [i for i in range(min(len(d.head_VH), len(d.head_WK))) if not d.banned_V[i]]
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for n in range(N):
        p = softmax([float(d.student_NH[n] @ d.head_VH[i]) / temperature for i in said])
        q = softmax([float(d.teacher_NK[n] @ d.head_WK[i]) / temperature for i in said])
        y = said.index(int(d.targets_N[n]))
        found["log_ratio"].append(math.log(p[y] / q[y]))
        found["teacher_nll"].append(-math.log(q[y]))
        found["kl"].append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
        found["teacher_entropy"].append(-sum(b * math.log(b) for b in q))
        found["student_entropy"].append(-sum(a * math.log(a) for a in p))
        for k in TOPS:
            both = set(likeliest(p, k)) & set(likeliest(q, k))
            found[f"overlap@{k}"].append(len(both) / min(k, len(said)))
            found[f"shared_mass@{k}"].append(sum(p[i] for i in both))
    return found


def softmax(logits: list[float]) -> list[float]:
    exps = [math.exp(x) for x in logits]
    return [e / math.fsum(exps) for e in exps]


def likeliest(probabilities: list[float], k: int) -> list[int]:
    return sorted(range(len(probabilities)), key=lambda i: -probabilities[i])[:k]


def columns(tokens: Tokens) -> dict[str, list[float]]:
    found = {name: getattr(tokens, f"{name}_N").tolist() for name in NAMES if "@" not in name}
    for place, k in enumerate(TOPS):
        found |= {f"overlap@{k}": tokens.overlap_NK[:, place].tolist(), f"shared_mass@{k}": tokens.shared_mass_NK[:, place].tolist()}
    return found


# -- numbers --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize(("v", "w"), [(V, W), (W, V), (V, V)], ids=["a wider teacher", "a wider student", "equal widths"])
def test_every_number_is_that_of_a_dense_computation(v: int, w: int, temperature: float) -> None:
    d = drawn(v=v, w=w)
    found, expected = columns(numbers(d, temperature=temperature)), dense(d, temperature)
    for name in NAMES:
        assert found[name] == pytest.approx(expected[name], abs=1e-12), name


@pytest.mark.parametrize("chunk", [1, 2, 7, N, 100])
def test_how_states_are_cut_changes_nothing(chunk: int) -> None:
    d = drawn()
    whole, cut = columns(numbers(d)), columns(numbers(d, chunk=chunk))
    for name in NAMES:
        assert cut[name] == pytest.approx(whole[name], abs=1e-14), name


def test_nothing_wider_than_a_chunk_is_kept() -> None:
    tokens = numbers(drawn(), chunk=4)
    for name in Tokens.__slots__:
        kept = getattr(tokens, name)
        assert kept.shape in ((N,), (N, len(TOPS)))
        assert kept.untyped_storage().nbytes() == kept.nbytes, f"{name} holds on to what it was cut from"


def test_what_is_banned_or_has_no_row_in_one_model_is_out_of_both_softmaxes() -> None:
    d = drawn(v=V, w=W)
    loud_V, loud_W = d.head_VH.clone(), d.head_WK.clone()
    loud_V[list(BANNED)] *= 50
    loud_W[list(BANNED)] *= 50
    loud_W[V:] *= 50
    told = columns(numbers(replace(d, head_VH=loud_V, head_WK=loud_W)))
    assert told == columns(numbers(d))
    freed = columns(numbers(replace(d, head_VH=loud_V, head_WK=loud_W, banned_V=torch.zeros(V, dtype=torch.bool))))
    assert freed["teacher_nll"] != pytest.approx(told["teacher_nll"])


def test_a_teacher_that_is_the_student_is_at_no_distance() -> None:
    d = drawn(w=V)
    same = columns(numbers(replace(d, teacher_NK=d.student_NH, head_WK=d.head_VH)))
    assert same["log_ratio"] == [0.0] * N
    assert same["kl"] == [0.0] * N
    assert same["teacher_entropy"] == same["student_entropy"]
    for k in TOPS:
        assert same[f"overlap@{k}"] == [1.0] * N
    assert same["shared_mass@20"] == pytest.approx([sum(sorted(p, reverse=True)[:20]) for p in distributions(d)])


def distributions(d: Drawn) -> list[list[float]]:
    said = [i for i in range(V) if not d.banned_V[i]]
    return [softmax([float(state @ d.head_VH[i]) for i in said]) for state in d.student_NH]


def test_with_fewer_ids_than_k_all_of_them_are_shared() -> None:
    d = drawn(banned=range(3, V))
    found = columns(numbers(d))
    assert found["overlap@5"] == found["overlap@20"] == [1.0] * N
    assert found["shared_mass@20"] == pytest.approx([1.0] * N)
    assert {round(share, 6) for share in found["overlap@1"]} == {0.0, 1.0}


def test_half_precision_logits_are_summed_in_single() -> None:
    d = drawn()
    student, teacher = (d.student_NH @ d.head_VH.T).bfloat16(), (d.teacher_NK @ d.head_WK.T).bfloat16()
    found = at_states(student, teacher, d.targets_N, banned_V=d.banned_V)
    expected = at_states(student.double(), teacher.double(), d.targets_N, banned_V=d.banned_V)
    assert found.kl_N.dtype == torch.float32
    assert torch.allclose(found.kl_N.double(), expected.kl_N, atol=1e-5)


# -- means ----------------------------------------------------------------------------------------------------------------------------


def test_means_errors_and_spread_by_hand() -> None:
    log_ratio = torch.tensor([1.0, 3.0, 0.0, 0.0, 6.0, -1.0], dtype=torch.float64)
    tokens = of_log_ratios(log_ratio)
    found = closeness_of(tokens, [2, 1, 3])
    assert (found.rollouts, found.tokens) == (3, 6)
    assert found.means["log_ratio"].mean == pytest.approx(1.5)
    # sums apart from the mean: 4 - 3, 0 - 1.5, 5 - 4.5; their squares 1 + 2.25 + 0.25, times 3/2, over 36
    assert found.means["log_ratio"].error == pytest.approx(math.sqrt(1.5 * 3.5 / 36))
    assert found.spread["std"] == pytest.approx(math.sqrt((1 + 9 + 36 + 1) / 6 - 2.25))
    quantiles = {f"q{round(100 * q):02d}": float(torch.quantile(log_ratio, q)) for q in QUANTILES}
    assert {name: found.spread[name] for name in quantiles} == pytest.approx(quantiles)
    assert set(found.means) == set(NAMES)


def of_log_ratios(values_N: Tensor) -> Tokens:
    columns_NK = torch.zeros(len(values_N), len(TOPS), dtype=torch.float64)
    plain = {name: values_N for name in Tokens.__slots__ if name.endswith("_N")}
    return Tokens(**plain, overlap_NK=columns_NK, shared_mass_NK=columns_NK)


def test_tokens_of_one_rollout_hang_together() -> None:
    """Doubling each token halves no error: the same rollouts tell the same."""
    values_N = torch.randn(60, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    once = closeness_of(of_log_ratios(values_N), [3] * 20).means["log_ratio"]
    twice = closeness_of(of_log_ratios(values_N.repeat_interleave(2)), [6] * 20).means["log_ratio"]
    assert (twice.mean, twice.error) == (pytest.approx(once.mean), pytest.approx(once.error))


def test_one_rollout_has_no_error_to_tell() -> None:
    found = closeness_of(of_log_ratios(torch.tensor([1.0, 2.0])), [2]).means["kl"]
    assert found.mean == 1.5
    assert math.isnan(found.error)


def test_chunks_join_in_order_and_none_is_empty() -> None:
    parts = [of_log_ratios(torch.tensor([1.0])), of_log_ratios(torch.tensor([2.0, 3.0]))]
    assert joined(parts).log_ratio_N.tolist() == [1.0, 2.0, 3.0]
    assert joined([]).overlap_NK.shape == (0, len(TOPS))


# -- the stage ------------------------------------------------------------------------------------------------------------------------


@dataclass
class Engine:
    """Answers problem n with n + 1 tokens, of which the second was inserted."""

    d: Drawn
    asked: list[tuple[int, int, Place]]

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        self.asked.append((len(problems), per_problem, place))
        return [self._answer(p, sample, sampling) for p in problems for sample in range(per_problem)]

    def _answer(self, of: Problem, sample: int, sampling: Sampling) -> Rollout:
        length = min(int(of.id) + 1, sampling.max_new_tokens)
        ids = self.d.targets_N[:length].tolist()
        finish = Finish.LENGTH if length == sampling.max_new_tokens else Finish.STOP
        return rollout(of, sample, (5,), ids, sampled=[place != 1 for place in range(length)], finish=finish)

    def adopt(self, weights: Weights, *, version: int) -> None:
        raise AssertionError(f"a check changes no weights, but {len(weights)} of version {version} were given")


@dataclass
class Scorer:
    """Hands out the first states of a drawn model for every rollout."""

    states_NH: Tensor

    @property
    def gives(self) -> Want:
        return Want.HIDDEN

    def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> list[View]:
        assert want is Want.HIDDEN
        assert not top
        return [View(logprobs=(0.0,) * len(r.response_ids), hidden=self.states_NH[: len(r.response_ids)]) for r in rollouts]


@dataclass
class Seen:
    told: list[tuple[int, int]]

    def update(self, done: int, total: int, note: str = "") -> None:
        del note
        self.told.append((done, total))


SCALE = Scale(number="kl", low=None, high=1e9, seen=(0.0, 1e9), margin=0.03)


def checked(d: Drawn, problems: int = 5, *, batch: int = 2, samples: int = 1, **sampling: float) -> tuple[stage.Measured, Engine, Seen]:
    engine, seen = Engine(d, []), Seen([])
    at = stage.Ports(
        problems=[problem(str(n)) for n in range(problems)],
        engine=engine,
        student=stage.Reader(scorer=Scorer(d.student_NH), head_VH=d.head_VH),
        teacher=stage.Reader(scorer=Scorer(d.teacher_NK), head_VH=d.head_WK),
        banned_V=d.banned_V,
        progress=seen,
    )
    drawing = Sampling(**{"max_new_tokens": 5, "temperature": 0.8} | sampling)  # type: ignore[arg-type]
    return stage.align(stage.AlignRun(samples=samples, sampling=drawing, batch=batch, scale=SCALE), at), engine, seen


def test_the_stage_reads_the_sampled_tokens_alone_at_the_temperature_they_were_drawn_with() -> None:
    d = drawn()
    found, engine, seen = checked(d)
    every = dense(d, temperature=0.8)
    read_at = [place for length in (1, 2, 3, 4, 5) for place in range(length) if place != 1]
    for name in NAMES:
        assert found.closeness.means[name].mean == pytest.approx(sum(every[name][place] for place in read_at) / len(read_at)), name
    assert (found.closeness.tokens, found.closeness.rollouts, found.problems) == (11, 5, 5)
    assert (found.truncated, found.mean_length) == (0.2, 11 / 5)
    assert engine.asked == [(2, 1, ("align",)), (2, 1, ("align",)), (1, 1, ("align",))]
    assert seen.told == [(2, 5), (4, 5), (5, 5)]
    assert found.verdict.value == found.closeness.means["kl"]


def test_how_many_are_read_at_a_time_changes_nothing() -> None:
    d = drawn()
    one, all_at_once = checked(d, batch=1, samples=2)[0], checked(d, batch=100, samples=2)[0]
    for name in NAMES:
        assert one.closeness.means[name].mean == pytest.approx(all_at_once.closeness.means[name].mean, abs=1e-12), name
        assert one.closeness.means[name].error == pytest.approx(all_at_once.closeness.means[name].error, abs=1e-12), name
    assert one.closeness.spread == pytest.approx(all_at_once.closeness.spread, abs=1e-12)
    assert (one.closeness.rollouts, one.problems, one.truncated) == (10, 5, 0.2)


def test_a_check_that_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="at least one problem"):
        checked(drawn(), problems=0)
    for cut in ({"temperature": 0.0}, {"top_p": 0.9}, {"top_k": 5}):
        with pytest.raises(SettingsError, match="whole policy"):
            checked(drawn(), **cut)


@pytest.mark.parametrize("broken", ["student_NH", "teacher_NK"])
def test_weights_that_are_no_numbers_are_told(broken: str) -> None:
    d = drawn()
    getattr(d, broken)[1] = float("nan")  # where a token was inserted: nothing is read there
    checked(d)
    getattr(d, broken)[2] = float("nan")
    with pytest.raises(Diverged, match="not finite"):
        checked(d)
