"""A check of an objective before it costs anything: a few milliseconds on a toy with the run's own options.

The toy is a policy over seven ids (two of them banned) whose next token depends on the last one, judged rollouts of every kind of group, and
partners with a wider head. The same functions form its gradient that will form the run's. Four things must hold:

1. a partner equal to the student pulls with exactly no force (banned ids leave both softmaxes);
2. another partner gives another gradient (a log-ratio used as a loss fails here: its partner drops out);
3. over all next tokens, the estimator's expected gradient is that of the divergence it names;
4. both renderings have the same gradient.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vold.base.errors import ObjectiveError
from vold.base.types import Finish, Group, Likeliest, Problem, Rollout, Ruling, ScoredRollout, Verdict
from vold.core.batching import Batch, Row, batch_of, rows_of
from vold.core.objective import Estimator, Objective, Partner, Pull
from vold.core.plan import Plan, plan_of
from vold.core.reading import Reading, read
from vold.core.render import Rendered, loss, rendering
from vold.core.weights import ends_of

VOCABULARY, WIDER, WIDTH, LENGTH = 7, 9, 4, 3
BANNED = (2, 5)
EXACT = 1e-9

Rendering = Callable[[Plan, Batch, Reading], Rendered]


@dataclass(frozen=True, slots=True)
class Toy:
    """A bigram student, and partners given by the logits they have at each last token."""

    embedding_VH: Tensor
    head_VH: Tensor
    banned_V: Tensor
    temperature: float

    def partner(self, scale: float, seed: int) -> Tensor:
        """Logits of a partner `scale` nats away from the student at the toy's temperature, over a wider vocabulary."""
        noise = torch.randn(VOCABULARY, WIDER, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        logits = torch.zeros(VOCABULARY, WIDER, dtype=torch.float64)
        logits[:, :VOCABULARY] = (self.embedding_VH @ self.head_VH.T).detach()
        return logits + noise * scale * self.temperature

    def logprobs(self, logits: Tensor) -> Tensor:
        """log-probabilities [last token, next token] of a student or partner, over the ids both may say."""
        return (logits[:, :VOCABULARY] / self.temperature).masked_fill(self.banned_V, float("-inf")).log_softmax(1)

    @property
    def own(self) -> Tensor:
        return self.logprobs(self.embedding_VH @ self.head_VH.T)


def self_check(objective: Objective, *, temperature: float = 1.0, group_size: int = 5) -> None:
    """Raise ObjectiveError when the gradient this installation forms for an objective is not the one its declaration names."""
    toy = _toy(temperature if temperature > 0 else 1.0)
    scale = min([0.3, *(pull.clamp.limit / 8 for pull in objective.pulls if pull.clamp is not None)])
    plan = _at_full_strength(objective)
    for partner in Partner:
        if objective.wants(partner) is not None:
            _equal_partner_is_silent(toy, plan, partner, scale, group_size)
            _another_partner_speaks(toy, plan, partner, scale, group_size)
    for place, pull in enumerate(objective.pulls):
        if plan.betas[place] > 0:
            _expected_gradient_is_named(toy, plan, place, pull, scale)


def _toy(temperature: float) -> Toy:
    draw = torch.Generator().manual_seed(0)
    banned_V = torch.zeros(VOCABULARY, dtype=torch.bool)
    banned_V[list(BANNED)] = True
    embedding_VH = torch.randn(VOCABULARY, WIDTH, generator=draw, dtype=torch.float64).requires_grad_()
    head_VH = torch.randn(VOCABULARY, WIDTH, generator=draw, dtype=torch.float64).requires_grad_()
    return Toy(embedding_VH, head_VH, banned_V, temperature)


def _at_full_strength(objective: Objective) -> Plan:
    """Every schedule at its largest value, so that what only acts later is checked too. Without a correction: the toy's sampler is the student
    itself, and rounding alone would take its weights of 1 over a cap of 1."""
    ratio = objective.credit.by_teacher
    return replace(
        plan_of(replace(objective, correction=None), step=0, length_cap=4 * LENGTH),
        betas=tuple(max(ends_of(pull.beta)) for pull in objective.pulls),
        credit_weight=max(ends_of(objective.credit.weight)) if objective.credit.present else 0.0,
        teacher_ratio=0.0 if ratio is None else max(ends_of(ratio.strength)),
    )


def _equal_partner_is_silent(toy: Toy, plan: Plan, partner: Partner, scale: float, group_size: int) -> None:
    same = {other: toy.partner(0.0 if other is partner else scale, seed=1) for other in Partner}
    muted = tuple(0.0 if pull.toward is partner else beta for pull, beta in zip(plan.objective.pulls, plan.betas, strict=True))
    without = replace(plan, betas=muted, teacher_ratio=0.0 if partner is Partner.TEACHER else plan.teacher_ratio)
    gap = _distance(_of_groups(toy, plan, same, group_size), _of_groups(toy, without, same, group_size))
    if not gap < _exact(toy, max([0.0, *plan.betas])):
        raise ObjectiveError(
            f"self-check: a {partner} equal to the student changes the gradient by {gap:.1e}, and must not change it at all. "
            "The two softmaxes do not run over the same ids, or an estimator is not 0 where the models agree."
        )


def _another_partner_speaks(toy: Toy, plan: Plan, partner: Partner, scale: float, group_size: int) -> None:
    one = {other: toy.partner(scale, seed=1) for other in Partner}
    other = {**one, partner: toy.partner(scale, seed=2)}
    of_partner = [beta for pull, beta in zip(plan.objective.pulls, plan.betas, strict=True) if pull.toward is partner]
    strength = max([*of_partner, plan.teacher_ratio if partner is Partner.TEACHER else 0.0])
    if strength > 0 and not _distance(_of_groups(toy, plan, one, group_size), _of_groups(toy, plan, other, group_size)) > EXACT * strength:
        raise ObjectiveError(
            f"self-check: another {partner} gives the same gradient, so the {partner} teaches nothing. A log-ratio used as a loss does that, "
            "and so do a mask and a weight that never meet (all-wrong groups weighed by their pass rate), or a ratio on a credit that is always 0."
        )


def _expected_gradient_is_named(toy: Toy, plan: Plan, place: int, pull: Pull, scale: float) -> None:
    partner = toy.partner(scale, seed=3)
    alone = replace(plan, credit_weight=0.0, teacher_ratio=0.0, entropy=0.0)
    probabilities = toy.own.detach().exp()
    rows = [
        replace(_row(toy, (last,), (token,), {pull.toward: partner}), share=float(probabilities[last, token]), weights=_only(plan, place))
        for last in range(VOCABULARY)
        for token in range(VOCABULARY)
        if token not in BANNED
    ]
    found = _gradient(toy, alone, rows, {pull.toward: partner})
    named = plan.betas[place] * _divergence(pull, toy.own, toy.logprobs(partner)).sum()
    gap = _distance(found, torch.autograd.grad(named, (toy.embedding_VH, toy.head_VH)))
    if not gap < _exact(toy, plan.betas[place]):
        raise ObjectiveError(
            f'self-check: the expected gradient of "{pull.by}" is {gap:.1e} away from that of the divergence it estimates. '
            "Compare vold.core.terms and vold.core.reading with the equations page."
        )


def _divergence(pull: Pull, own: Tensor, partner: Tensor) -> Tensor:
    """The divergence an estimator belongs to at each last token, written out."""
    allowed = [i for i in range(VOCABULARY) if i not in BANNED]
    log_pi, log_phi = own[:, allowed], partner[:, allowed]
    pi, phi = log_pi.exp(), log_phi.exp()
    if pull.mix is not None:
        middle = (pull.mix * phi + (1 - pull.mix) * pi).log()
        return (pull.mix * phi * (log_phi - middle) + (1 - pull.mix) * pi * (log_pi - middle)).sum(1)
    if pull.by in (Estimator.K3, Estimator.FULL_PARTNER_TO_STUDENT):
        return (phi * (log_phi - log_pi)).sum(1)
    if pull.by is Estimator.PARTNER_TOP_K:
        order = phi.argsort(1, descending=True)
        log_pi, log_phi = (_with_the_rest(logprobs.gather(1, order), pull.top) for logprobs in (log_pi, log_phi))
        return (log_phi.exp() * (log_phi - log_pi)).sum(1)
    return (pi * (log_pi - log_phi)).sum(1)


def _with_the_rest(logprobs: Tensor, top: int | None) -> Tensor:
    """The first `top` log-probabilities, and that of all others together where there are any."""
    first, others = logprobs[:, :top], logprobs[:, top:]
    return torch.cat([first, others.logsumexp(1, keepdim=True)], 1) if others.shape[1] else first


def _of_groups(toy: Toy, plan: Plan, partners: Mapping[Partner, Tensor], group_size: int) -> tuple[Tensor, ...]:
    """The gradient of one step on an all-wrong, a mixed and an all-right group."""
    size = min(8, max(2, group_size))
    kinds = [[False] * size, [place % 2 == 0 for place in range(size)], [True] * size]
    groups = [_group(toy, f"toy/{place}", rights, partners) for place, rights in enumerate(kinds)]
    return _gradient(toy, plan, rows_of(groups, plan, plan.counts(groups)), partners)


def _group(toy: Toy, name: str, rights: Sequence[bool], partners: Mapping[Partner, Tensor]) -> Group:
    problem = Problem(id=name, prompt="", answer="", source="toy")
    allowed = [i for i in range(VOCABULARY) if i not in BANNED]
    members: list[ScoredRollout] = []
    for sample, right in enumerate(rights):
        ids = tuple(allowed[(sample * 2 + place + len(name)) % len(allowed)] for place in range(LENGTH))
        row = _row(toy, (allowed[sample % len(allowed)],), ids, partners)
        assert row.sampler_logprobs is not None
        rollout = Rollout(
            problem=problem,
            sample=sample,
            prompt_ids=row.prompt_ids,
            response_ids=ids,
            logprobs=row.sampler_logprobs,
            sampled=row.sampled,
            policy_version=0,
            finish=Finish.STOP,
            text="",
        )
        verdict = Verdict(ruling=Ruling.RIGHT if right else Ruling.WRONG, extracted=None)
        members.append(
            ScoredRollout(
                rollout=rollout,
                verdict=verdict,
                teacher_logprobs=row.teacher_logprobs,
                teacher_hidden=row.teacher_hidden,
                reference_logprobs=row.reference_logprobs,
                reference_hidden=row.reference_hidden,
                teacher_likeliest=row.teacher_likeliest,
                reference_likeliest=row.reference_likeliest,
            )
        )
    return Group(problem=problem, members=tuple(members))


def _row(toy: Toy, prompt_ids: tuple[int, ...], response_ids: tuple[int, ...], partners: Mapping[Partner, Tensor]) -> Row:
    before = [*prompt_ids, *response_ids][: len(response_ids)]

    def said(logprobs: Tensor) -> tuple[float, ...]:
        return tuple(logprobs[before, list(response_ids)].tolist())

    told = {partner: said(toy.logprobs(logits)) for partner, logits in partners.items()}
    return Row(
        prompt_ids=prompt_ids,
        response_ids=response_ids,
        sampled=(True,) * len(response_ids),
        sampler_logprobs=said(toy.own.detach()),
        teacher_logprobs=told.get(Partner.TEACHER),
        reference_logprobs=told.get(Partner.REFERENCE),
        teacher_hidden=partners[Partner.TEACHER][before] if Partner.TEACHER in partners else None,
        reference_hidden=partners[Partner.REFERENCE][before] if Partner.REFERENCE in partners else None,
        teacher_likeliest=_likeliest(toy, partners[Partner.TEACHER][before]) if Partner.TEACHER in partners else None,
        reference_likeliest=_likeliest(toy, partners[Partner.REFERENCE][before]) if Partner.REFERENCE in partners else None,
    )


def _likeliest(toy: Toy, logits: Tensor) -> Likeliest:
    """Every id that may be said: as many as any pull asks for."""
    best = toy.logprobs(logits).topk(VOCABULARY - len(BANNED), dim=1)
    return Likeliest(ids=best.indices, logprobs=best.values)


def _only(plan: Plan, place: int) -> tuple[float, ...]:
    return tuple(beta if other == place else 0.0 for other, beta in enumerate(plan.betas))


def _gradient(toy: Toy, plan: Plan, rows: Sequence[Row], partners: Mapping[Partner, Tensor]) -> tuple[Tensor, ...]:
    """Of the rendering one update a batch takes, which must be that of the loss: several updates take the loss."""
    parameters = (toy.embedding_VH, toy.head_VH)
    if not rows:
        return tuple(torch.zeros_like(p) for p in parameters)
    batch = batch_of(rows, pulls=len(plan.betas), dtype=torch.float64)
    heads = {partner: torch.eye(WIDER, dtype=torch.float64) for partner in partners}

    def of(form: Rendering) -> tuple[Tensor, ...]:
        hidden_NH = toy.embedding_VH[batch.ids_T[batch.before_N]]
        reading = read(plan, batch, hidden_NH, toy.head_VH, heads=heads, banned_V=toy.banned_V, temperature=toy.temperature)
        return torch.autograd.grad(form(plan, batch, reading).loss, parameters)

    form = rendering(plan, only_update=True)
    found = of(form)
    if form is loss:
        return found
    by_loss = of(loss)
    gap = _distance(found, by_loss)
    if not gap < _exact(toy, *(float(g.abs().max()) for g in by_loss)):
        raise ObjectiveError(
            f"self-check: the gradient for one update a batch is {gap:.1e} away from that of the loss, which several updates take. "
            "An estimator's value and its slope do not belong together: see vold.core.terms."
        )
    return found


def _exact(toy: Toy, *strengths: float) -> float:
    """How far two gradients may be apart by rounding: it grows with the strength of what they sum and with the sharpness of the softmax."""
    return EXACT * max(1.0, *strengths) / min(1.0, toy.temperature) ** 2


def _distance(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(left, right, strict=True))
