"""Any objective, read field by field as its declarations say, and its gradient on one step of an enumerable world.

Shares no code with the program.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from support.enumeration import Step, World
from support.oracle import centred, leave_one_out, soft_penalty

from vold.base.types import Ruling
from vold.core.objective import (
    Adaptive,
    Baseline,
    Beyond,
    Estimator,
    How,
    Level,
    Mask,
    Objective,
    Over,
    Overlong,
    Pull,
    Schedule,
    Share,
    Terms,
    Weigh,
)
from vold.core.pulls import Partner

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Member:
    """One rollout: what every policy says of its tokens, and where its prefixes are."""

    ruling: Ruling
    cut: bool
    states: list[int]
    ids: list[int]
    new: Array
    sampler: Array
    behaviour: Array
    teacher: Array
    reference: Array

    def partner(self, pull: Pull) -> Array:
        return self.teacher if pull.toward is Partner.TEACHER else self.reference


def at(weight: float | Schedule | Adaptive, step: int) -> float:
    if isinstance(weight, Adaptive):
        return weight.start
    if not isinstance(weight, Schedule):
        return weight
    part = min(1.0, max(0.0, (step - weight.begin) / (weight.until - weight.begin)))
    return (1 - part) * weight.start + part * weight.end


@dataclass(frozen=True, eq=False)
class Interpreter:
    """`objective` at step number `number` of a world whose cap is the length cap."""

    world: World
    objective: Objective
    number: int = 0

    @cached_property
    def tables(self) -> dict[str, Array]:
        w = self.world
        voices = {"new": w.student, "sampler": w.old, "behaviour": w.behaviour or w.student, "teacher": w.teacher, "reference": w.reference}
        return {name: w.logprobs(voice) for name, voice in voices.items()}

    def gradient(self, step: Step) -> tuple[Array, int]:
        """The step's gradient, and what it was divided by (0: no update, and a gradient of 0)."""
        groups = [self._members(problem, answers) for problem, answers in enumerate(step)]
        total_SV = np.zeros_like(self.tables["new"])
        inside = [[m for m in group if self._inside(m)] for group in groups]
        z = self._count(inside)
        if not z:
            return total_SV, 0
        pulled = [
            self._count([[m for m in g if self._acts(p, m, group)] for g, group in zip(inside, groups, strict=True)]) for p in self.objective.pulls
        ]
        for group in groups:
            advantages = self._advantages(group)
            for m, advantage in zip(group, advantages, strict=True):
                if not self._inside(m):
                    continue
                share = self._share(m, group) / z
                factors = [
                    self._factor(p, m, group) * (z / count * self._own_part(p, group) if p.over is Over.PULLED and count else 1.0)
                    for p, count in zip(self.objective.pulls, pulled, strict=True)
                ]
                total_SV += share * self._of_member(m, advantage, factors)
        return total_SV, z

    def _own_part(self, pull: Pull, group: Sequence[Member]) -> float:
        """Under a share per group, how many times fewer of the group's tokens the pull acts on."""
        if self.objective.share is not Share.PER_GROUP:
            return 1.0
        inside = [m for m in group if self._inside(m)]
        acted = sum(len(m.ids) for m in inside if self._acts(pull, m, group))
        return sum(len(m.ids) for m in inside) / acted if acted else 1.0

    def _members(self, problem: int, answers: Sequence[tuple[int, ...]]) -> list[Member]:
        out = []
        for answer in answers:
            states = self.world.states(problem, answer)
            said = {name: table[states, list(answer)] for name, table in self.tables.items()}
            out.append(Member(ruling=self.world.judge(problem, answer), cut=answer[-1] != 0, states=states, ids=list(answer), **said))
        return out

    # -- who counts -----------------------------------------------------------------------------------------------------------------

    @cached_property
    def _reads_verdict(self) -> bool:
        rates = (Weigh.FAIL_RATE, Weigh.PASS_RATE)
        pulls = [p for p in self.objective.pulls if p.beta != 0]  # one that never acts reads nothing
        return self.objective.credit.by is not Baseline.NONE or any(p.on is not Mask.EVERY or p.weigh in rates for p in pulls)

    def _inside(self, m: Member) -> bool:
        return not (m.cut and self.objective.overlong is Overlong.MASK) and not (m.ruling is Ruling.UNJUDGED and self._reads_verdict)

    def _count(self, groups: Sequence[Sequence[Member]]) -> int:
        match self.objective.share:
            case Share.PER_TOKEN:
                return sum(len(m.ids) for g in groups for m in g)
            case Share.PER_GROUP:
                return sum(1 for g in groups if g)
            case Share.PER_SEQUENCE | Share.FIXED_LENGTH:
                return sum(len(g) for g in groups)

    def _share(self, m: Member, group: Sequence[Member]) -> float:
        match self.objective.share:
            case Share.PER_TOKEN:
                return 1.0
            case Share.PER_GROUP:
                return 1 / sum(len(o.ids) for o in group if self._inside(o))
            case Share.PER_SEQUENCE:
                return 1 / len(m.ids)
            case Share.FIXED_LENGTH:
                return 1 / self.world.cap

    def _passes(self, mask: Mask, m: Member, group: Sequence[Member]) -> bool:
        return {
            Mask.EVERY: True,
            Mask.WRONG: m.ruling is Ruling.WRONG,
            Mask.RIGHT: m.ruling is Ruling.RIGHT,
            Mask.ALL_WRONG: m.ruling is Ruling.WRONG and all(o.ruling is not Ruling.RIGHT for o in group),
        }[mask]

    def _rate(self, weigh: Weigh, group: Sequence[Member]) -> float:
        judged = [m for m in group if m.ruling is not Ruling.UNJUDGED]
        looked_for = Ruling.WRONG if weigh is Weigh.FAIL_RATE else Ruling.RIGHT
        return sum(m.ruling is looked_for for m in judged) / len(judged) if judged else 0.0

    def _group_weight(self, weigh: Weigh, m: Member, placed: Sequence[Member], group: Sequence[Member]) -> float:
        if weigh is Weigh.EVEN:
            return 1.0
        if weigh in (Weigh.FAIL_RATE, Weigh.PASS_RATE):
            return self._rate(weigh, group)

        def raw(o: Member) -> float:
            return math.exp(o.teacher.mean()) if weigh is Weigh.LOW_TEACHER_PERPLEXITY else math.exp(-o.sampler.mean())

        return raw(m) / (sum(raw(o) for o in placed) / len(placed))

    # -- credit and pulls -----------------------------------------------------------------------------------------------------------

    def _advantages(self, group: Sequence[Member]) -> list[float]:
        credit = self.objective.credit
        judged = [m for m in group if m.ruling is not Ruling.UNJUDGED]
        soft = self.objective.overlong is Overlong.SOFT
        buffer = self.objective.soft_buffer * self.world.cap
        rewards = [float(m.ruling is Ruling.RIGHT) + (soft_penalty(len(m.ids), self.world.cap, buffer) if soft else 0.0) for m in judged]
        match credit.by:
            case Baseline.Z_SCORE if len(rewards) > 1:
                apart = centred(rewards)
                free = len(rewards) - 1 if credit.unbiased else len(rewards)
                values = [a / (math.sqrt(math.fsum(b * b for b in apart) / free) + credit.epsilon) for a in apart]
            case Baseline.CENTRED:
                values = centred(rewards) if rewards else []
            case Baseline.LEAVE_ONE_OUT:
                values = leave_one_out(rewards)
            case Baseline.RAW:
                values = rewards
            case _:
                values = [0.0] * len(rewards)
        of_judged = iter(values)
        raw = [next(of_judged) if m in judged else 0.0 for m in group]
        placed = [m for m in judged if self._inside(m) and self._passes(credit.on, m, group)]
        strength = at(credit.weight, self.number)
        return [strength * a * self._group_weight(credit.weigh, m, placed, group) if m in placed else 0.0 for m, a in zip(group, raw, strict=True)]

    def _acts(self, pull: Pull, m: Member, group: Sequence[Member]) -> bool:
        if at(pull.beta, self.number) == 0 or not self._inside(m) or (m.cut and not self.objective.pull_truncated):
            return False
        rate = self._rate(pull.weigh, group) if pull.weigh in (Weigh.FAIL_RATE, Weigh.PASS_RATE) else 1.0
        return self._passes(pull.on, m, group) and rate > 0

    def _factor(self, pull: Pull, m: Member, group: Sequence[Member]) -> float:
        placed = [o for o in group if self._acts(pull, o, group)]
        return at(pull.beta, self.number) * self._group_weight(pull.weigh, m, placed, group) if m in placed else 0.0

    # -- one rollout's gradient -----------------------------------------------------------------------------------------------------

    def _of_member(self, m: Member, advantage: float, factors: Sequence[float]) -> Array:
        credit_weight, pull_weight = self._corrected(m, Terms.CREDIT), self._corrected(m, Terms.PULL)
        a = credit_weight * advantage * self._teacher_ratio(m, advantage)
        slope = np.zeros(len(m.ids))
        out_SV = np.zeros_like(self.tables["new"])
        for pull, factor in zip(self.objective.pulls, factors, strict=True):
            if not factor:
                continue
            if pull.by is Estimator.K1_ADVANTAGE:
                a = a - pull_weight * factor * self._slope(pull, m.behaviour - m.partner(pull))
            elif pull.by.vocabulary_wide:
                table_SV, sampled_SV = self._wide(pull)
                for t, s in enumerate(m.states):
                    out_SV[s] += pull_weight[t] * factor * table_SV[s]
                slope += pull_weight * factor * sampled_SV[m.states, m.ids]
            else:
                slope += pull_weight * factor * self._slope(pull, m.new - m.partner(pull))
        slope += self._surrogate(m, a)
        pi_SV = np.exp(self.tables["new"])
        for t, (s, i) in enumerate(zip(m.states, m.ids, strict=True)):
            rise_V = -pi_SV[s]
            rise_V[i] += 1
            out_SV[s] += slope[t] * rise_V / self.world.temperature - at(self.objective.entropy, self.number) * self._entropy[s]
        return out_SV

    def _corrected(self, m: Member, term: Terms) -> Array:
        correction = self.objective.correction
        if correction is None or correction.on not in (term, Terms.ALL):
            return np.ones(len(m.ids))
        gap = m.behaviour - m.sampler
        ratio = np.exp(gap if correction.level is Level.TOKEN else np.full(len(gap), gap.mean()))
        if correction.how is How.TRUNCATED:
            return np.minimum(ratio, correction.cap)
        return ratio * (ratio <= correction.cap) * (ratio >= correction.floor)

    def _teacher_ratio(self, m: Member, advantage: float) -> Array:
        ratio = self.objective.credit.by_teacher
        if ratio is None:
            return np.ones(len(m.ids))
        part = at(ratio.strength, self.number)
        moved = np.exp(np.sign(advantage) * (m.teacher - m.behaviour))
        return 1 - part + part * np.minimum(np.maximum(moved, 1 - ratio.epsilon), 1 + ratio.epsilon)

    def _surrogate(self, m: Member, advantage: Array) -> Array:
        clip = self.objective.clip
        gap = m.new - m.behaviour
        rho = np.exp(gap if clip is None or clip.level is Level.TOKEN else np.full(len(gap), gap.mean()))
        if clip is None:
            return -rho * advantage
        gone = ((advantage > 0) & (rho > 1 + clip.high)) | ((advantage < 0) & (rho < 1 - clip.low))
        if clip.dual is not None:
            gone |= (advantage < 0) & (rho > clip.dual)
        return np.where(gone, 0.0, -rho * advantage)

    def _slope(self, pull: Pull, gap: Array) -> Array:
        held = gap if pull.clamp is None else np.clip(gap, -pull.clamp.limit, pull.clamp.limit)
        inside = 1 - np.exp(-held) if pull.by is Estimator.K3 else held
        if pull.clamp is not None and pull.clamp.beyond is Beyond.STOP:
            return np.where(abs(gap) > pull.clamp.limit, 0.0, inside)
        return inside

    def _wide(self, pull: Pull) -> tuple[Array, Array]:
        """∂ of a divergence by the logits of each prefix; and for `top-k` the slope of a sampled token outside the k."""
        partner_SA = self._spoken("teacher" if pull.toward is Partner.TEACHER else "reference")
        logits_SV, log_pi_SA = self._leaf()
        pi_SA, phi_SA = log_pi_SA.exp(), partner_SA.exp()
        sampled_SV = np.zeros_like(self.tables["new"])
        if pull.by is Estimator.FULL_STUDENT_TO_PARTNER:
            value_SA = pi_SA * (log_pi_SA - partner_SA)
        elif pull.by is Estimator.FULL_PARTNER_TO_STUDENT:
            value_SA = phi_SA * (partner_SA - log_pi_SA)
        elif pull.by is Estimator.JSD:
            assert pull.mix is not None
            log_m_SA = (pull.mix * phi_SA + (1 - pull.mix) * pi_SA).log()
            value_SA = pull.mix * phi_SA * (partner_SA - log_m_SA) + (1 - pull.mix) * pi_SA * (log_pi_SA - log_m_SA)
        elif pull.by is Estimator.PARTNER_TOP_K:
            assert pull.top is not None
            first_SA = phi_SA.argsort(1, descending=True).argsort(1) < pull.top
            value_SA = torch.where(first_SA, phi_SA * (partner_SA - log_pi_SA), 0.0)
            if pull.top < len(self.world.allowed):  # the others are one outcome
                rest_phi_S, rest_pi_S = ((p_SA * ~first_SA).sum(1, keepdim=True) for p_SA in (phi_SA, pi_SA))
                value_SA = torch.cat([value_SA, rest_phi_S * (rest_phi_S / rest_pi_S).log()], 1)
        else:
            assert pull.top is not None
            gap_SA = (log_pi_SA - partner_SA).detach()
            rank_SA = log_pi_SA.detach().argsort(1, descending=True).argsort(1)
            value_SA = torch.where(rank_SA < pull.top, pi_SA * gap_SA, 0.0)
            sampled_SV[:, list(self.world.allowed)] = torch.where(rank_SA < pull.top, 0.0, gap_SA).numpy()
        return torch.autograd.grad(value_SA.sum(), logits_SV)[0].numpy(), sampled_SV

    @cached_property
    def _entropy(self) -> Array:
        logits_SV, log_pi_SA = self._leaf()
        return torch.autograd.grad(-(log_pi_SA.exp() * log_pi_SA).sum(), logits_SV)[0].numpy()

    def _spoken(self, name: str) -> torch.Tensor:
        return torch.tensor(self.tables[name][:, list(self.world.allowed)])

    def _leaf(self) -> tuple[torch.Tensor, torch.Tensor]:
        logits_SV = torch.tensor(self.world.student.logits, requires_grad=True)
        return logits_SV, (logits_SV[:, list(self.world.allowed)] / self.world.temperature).log_softmax(1)
