"""Mistakes that are easy to make in what an objective can say: each a changed line or two, and the checks that must catch it.

The names of the checks are those of `planted/test_planted_objectives.py`.
"""

from dataclasses import dataclass

from support.planting import Edit

from vold.adapters import checkpoints
from vold.adapters.learners.single import SingleLearner
from vold.core import advantage, batching, head, plan, reading, render, terms
from vold.core.plan import Plan
from vold.core.weights import Adaptive, Schedule
from vold.stages import joint
from vold.wiring.parts import Parts


@dataclass(frozen=True)
class Mistake:
    """What is written differently, and the checks each of which must catch it."""

    edits: tuple[Edit, ...]
    caught_by: tuple[str, ...]


def mistake(*edits: tuple[object, str, str, str], caught_by: tuple[str, ...]) -> Mistake:
    return Mistake(tuple(Edit(*edit) for edit in edits), caught_by)


LOAD = "load(folder, dtype=settings.dtype, attention=settings.attention, device=settings.device, pixels=settings.pixels)"

BESIDE = """\
    if pull.by is Estimator.K1_ADVANTAGE:
        return _slope(pull, batch, weight_N, _old(batch, reading.logprobs_N)) * reading.logprobs_N
"""

# fmt: off
CREDIT = {
    "a biased deviation where an unbiased one is declared": mistake(
        (advantage, "advantages", "len(rewards) - 1 if credit.unbiased", "len(rewards) if credit.unbiased"),
        caught_by=("z-score",)),
    "epsilon forgotten": mistake(
        (advantage, "advantages", "(std + credit.epsilon)", "std"),
        caught_by=("biased z-score",)),
    "leave one out without G/(G-1)": mistake(
        (advantage, "advantages", "c * len(rewards) / (len(rewards) - 1)", "c"),
        caught_by=("leave one out",)),
    "raw rewards centred": mistake(
        (advantage, "advantages", "return list(rewards)", "return [r - sum(rewards) / len(rewards) for r in rewards]"),
        caught_by=("raw", "credit by perplexity")),
    "the mean over right answers where credit goes to them alone": mistake(
        (Plan, "advantages", "if m.judged], credit", "if m.judged and lets_through(credit.on, m, group)], credit"),
        (Plan, "advantages", "next(of_judged) if m.judged else", "next(of_judged) if m.judged and lets_through(credit.on, m, group) else"),
        caught_by=("credit on right",)),
    "what nobody judged counts as wrong in the mean": mistake(
        (Plan, "advantages", " if m.judged], credit", "], credit"),
        (Plan, "advantages", "next(of_judged) if m.judged else 0.0", "next(of_judged)"),
        caught_by=("z-score", "leave one out")),
    "perplexity of the student inverted": mistake(
        (plan, "factors_of", "_nll(m, m.rollout.logprobs)", "-_nll(m, m.rollout.logprobs)"),
        caught_by=("credit by perplexity",)),
    "teacher ratio without the advantage's sign": mistake(
        (render, "token_advantages", " * advantage_N.sign()", ""),
        caught_by=("teacher ratio",)),
    "teacher ratio not held": mistake(
        (render, "token_advantages", ".clamp(1 - by_teacher.epsilon, 1 + by_teacher.epsilon)", ""),
        caught_by=("teacher ratio",)),
    "soft penalty by a wrong slope": mistake(
        (advantage, "overlong_penalty", ") / buffer", ") / cap"),
        caught_by=("overlong soft",)),
    "soft penalty over a buffer from the start": mistake(
        (Plan, "_reward", "self.objective.soft_buffer * self.length_cap", "self.length_cap"),
        caught_by=("overlong soft",)),
}

CLIP = {
    "low and high swapped": mistake(
        (render, "surrogate", "clamp(1 - clip.low, 1 + clip.high)", "clamp(1 - clip.high, 1 + clip.low)"),
        caught_by=("z-score", "k1 as an advantage", "clip by sequence")),
    "maximum for minimum": mistake(
        (render, "surrogate", "torch.minimum(gain_N", "torch.maximum(gain_N"),
        caught_by=("z-score", "clip by sequence")),
    "dual clip on advantages that are not negative": mistake(
        (render, "surrogate", "torch.where(advantage_N < 0", "torch.where(advantage_N > 0"),
        caught_by=("dual clip",)),
    "sequence ratio with each token's gradient twice": mistake(
        (render, "ratio_of", "whole_N + logprobs_N - logprobs_N.detach()", "whole_N + 2 * (logprobs_N - logprobs_N.detach())"),
        caught_by=("clip by sequence", "sequence, token advantages")),
    "sequence ratio with one gradient for all its tokens": mistake(
        (render, "ratio_of", "(whole_N + logprobs_N - logprobs_N.detach())", "over_sequences(logprobs_N - old_N, batch.lengths)"),
        caught_by=("sequence, token advantages",)),
    "sequence ratio of a sum": mistake(
        (render, "over_sequences", "part.mean()", "part.sum()"),
        caught_by=("clip by sequence", "weight by sequence")),
    "sequence ratio clipped by token": mistake(
        (render, "ratio_of", "clip.level is Level.TOKEN", "True"),
        caught_by=("clip by sequence",)),
}

PULLS = {
    "k1 as a loss": mistake(
        (terms, "value_of", "value = VALUE[pull.by]", "value = k2_slope"),
        (terms, "slope_of", "slope = SLOPE[pull.by]", "slope = lambda s, t: torch.ones_like(s)"),
        caught_by=("masked k2", "k3 to the reference")),
    "k3 for k2, and k2 for k3": mistake(
        (terms, "value_of", "VALUE[pull.by]", "VALUE[{Estimator.K2: Estimator.K3, Estimator.K3: Estimator.K2}[pull.by]]"),
        (terms, "slope_of", "SLOPE[pull.by]", "SLOPE[{Estimator.K2: Estimator.K3, Estimator.K3: Estimator.K2}.get(pull.by, pull.by)]"),
        caught_by=("masked k2", "k3 to the reference")),
    "k1-advantage with the wrong sign": mistake(
        (render, "folded_advantages", "advantage_N = advantage_N - _corrected", "advantage_N = advantage_N + _corrected"),
        caught_by=("k1 as an advantage",)),
    "k1-advantage beside the clip": mistake(
        (render, "folded_advantages", "if pull.by is Estimator.K1_ADVANTAGE", "if False"),
        (render, "pull_loss", "if pull.by is not Estimator.K1_ADVANTAGE", "if True"),
        (render, "_value", "    if not pull.by.vocabulary_wide", BESIDE + "    if not pull.by.vocabulary_wide"),
        caught_by=("k1 as an advantage",)),
    "reference and teacher taken for one another": mistake(
        (render, "_partner", "batch.of_partner(pull.toward)", "batch.teacher_N"),
        caught_by=("k3 to the reference", "two pulls")),
    "over all tokens where over pulled ones is declared": mistake(
        (Plan, "pull_scales", "if pull.over is Over.PULLED and pulled", "if False"),
        caught_by=("over pulled tokens", "two pulls")),
    "over the group's tokens where over its pulled ones is declared": mistake(
        (Plan, "_weight", "if weight and pull.over is Over.PULLED", "if False and pull.over is Over.PULLED"),
        caught_by=("over each group's pulled",)),
    "over pulled tokens where over all is declared": mistake(
        (Plan, "pull_scales", "if pull.over is Over.PULLED and pulled", "if pulled"),
        caught_by=("masked k2", "full", "top-k")),
    "all-wrong mask on every wrong answer": mistake(
        (plan, "lets_through", "member.wrong and not any(other.right for other in group.members)", "member.wrong"),
        caught_by=("k2 where all failed", "who is asked")),
    "rate of right answers for that of wrong ones": mistake(
        (plan, "_rate", "weigh is Weigh.FAIL_RATE", "weigh is Weigh.PASS_RATE"),
        caught_by=("by fail rate", "credit by pass rate")),
    "perplexity of the teacher inverted": mistake(
        (plan, "factors_of", "-_nll(m, m.teacher_logprobs)", "_nll(m, m.teacher_logprobs)"),
        caught_by=("by teacher perplexity",)),
    "perplexities to a mean of 1 over the whole group": mistake(
        (plan, "_to_mean_one", "r * sum(placed) / total", "r * len(placed) / total"),
        caught_by=("by teacher perplexity", "credit by perplexity")),
    "pull on truncated answers all the same": mistake(
        (Plan, "acts", "not self.objective.pull_truncated", "False"),
        caught_by=("no pull on truncated",)),
    "a clamp that stops acts as one that saturates": mistake(
        (terms, "value_of", "pull.clamp.beyond is Beyond.STOP", "False"),
        (terms, "slope_of", "pull.clamp.beyond is Beyond.STOP", "False"),
        caught_by=("clamp that stops",)),
    "a clamp that saturates acts as one that stops": mistake(
        (terms, "value_of", "pull.clamp.beyond is Beyond.STOP", "True"),
        (terms, "slope_of", "pull.clamp.beyond is Beyond.STOP", "True"),
        caught_by=("clamp that saturates",)),
    "a clamp on one side": mistake(
        (terms, "slope_of", "gap.clamp(-pull.clamp.limit, pull.clamp.limit)", "gap.clamp(max=pull.clamp.limit)"),
        caught_by=("clamp that stops", "clamp that saturates")),
}

VOCABULARY = {
    "banned ids left in the partner's softmax": mistake(
        (reading, "divergence_of", '.masked_fill(out_V, float("-inf")).log_softmax(1)\n', ".log_softmax(1)\n"),
        caught_by=("full, other direction", "jsd", "top-k")),
    "banned ids left in the student's softmax": mistake(
        (reading, "divergence_of", 'student_CV.masked_fill(_tail(banned_V, student_CV, both), float("-inf"))', "student_CV"),
        (head, "_ban", "banned or ()", "()"),
        caught_by=("full", "full, other direction", "jsd", "top-k")),
    "temperature of the partner forgotten": mistake(
        (reading, "partner_logits", "partner_WK, None, temperature", "partner_WK, None, 1.0"),
        caught_by=("full", "full, other direction", "jsd", "top-k")),
    "full KL in the other direction": mistake(
        (reading, "divergence_of", "(pi_CV * (log_pi_CV - log_phi_CV)).sum(1)", "(phi_CV * (log_phi_CV - log_pi_CV)).sum(1)"),
        caught_by=("full", "two pulls")),
    "jsd's mixture with the shares swapped": mistake(
        (reading, "_jsd", "logaddexp(log_phi_CV + math.log(mix), log_pi_CV + math.log(1 - mix))",
                          "logaddexp(log_pi_CV + math.log(mix), log_phi_CV + math.log(1 - mix))"),
        caught_by=("jsd",)),
    "jsd's two divergences with the shares swapped": mistake(
        (reading, "_jsd", "mix * phi_CV * (log_phi_CV - log_m_CV) + (1 - mix) * pi_CV", "(1 - mix) * phi_CV * (log_phi_CV - log_m_CV) + mix * pi_CV"),
        caught_by=("jsd",)),
    "top-k without the tail": mistake(
        (reading, "_top_k", "exact_C + torch.where(tail_C, sampled_C, 0.0)", "exact_C"),
        caught_by=("top-k",)),
    "top-k with the sampled token twice": mistake(
        (reading, "_top_k", "torch.where(tail_C, sampled_C, 0.0)", "sampled_C"),
        caught_by=("top-k",)),
    "top-k of the partner": mistake(
        (reading, "_top_k", "pi_CV.topk", "log_phi_CV.topk"),
        caught_by=("top-k",)),
    "the partner's likeliest ids without the others": mistake(
        (reading, "partner_top_k", "value_C + torch.xlogy(rest_C, rest_C) - rest_C * log_pi_rest_C", "value_C"),
        caught_by=("partner-top-k",)),
    "the student's likeliest ids for the partner's": mistake(
        (reading, "partner_top_k", "ids_Ck, log_phi_Ck = ids_Ck.long(),", "ids_Ck, log_phi_Ck = student_CV.topk(given).indices,"),
        caught_by=("partner-top-k",)),
    "likeliest ids of inserted tokens not left out": mistake(
        (batching, "_tops_of", "(of_row.ids[row.kept], of_row.logprobs[row.kept])",
                               "(of_row.ids[: len(row.kept)], of_row.logprobs[: len(row.kept)])"),
        caught_by=("partner-top-k",)),
    "hidden states of inserted tokens not left out": mistake(
        (batching, "_hidden_of", "of_row[row.kept]", "of_row[: len(row.kept)]"),
        caught_by=("full", "jsd", "two pulls")),
    "entropy punished": mistake(
        (render, "loss_sum", "per_token_N - plan.entropy", "per_token_N + plan.entropy"),
        caught_by=("entropy",)),
}

CORRECTION = {
    "not detached": mistake(
        (render, "surrogate", "folded_advantages(plan, batch, old_N)", "folded_advantages(plan, batch, logprobs_N)"),
        (render, "corrections", "(old_N - batch.sampler_N).detach()", "old_N - batch.sampler_N"),
        caught_by=("truncated weight", "weight on the credit")),
    "on the credit alone where all is declared": mistake(
        (render, "_corrected", "correction.on not in (Terms.ALL, term)", "term is Terms.PULL or correction.on is Terms.PULL"),
        caught_by=("truncated weight", "masked weight", "weight on the pull")),
    "on everything whatever is declared": mistake(
        (render, "_corrected", "correction.on not in (Terms.ALL, term)", "False"),
        caught_by=("weight on the credit", "weight on the pull")),
    "masked acts as truncated": mistake(
        (render, "corrections", "correction.how is How.TRUNCATED", "True"),
        caught_by=("masked weight",)),
    "floor forgotten": mistake(
        (render, "corrections", "& (ratio_N >= correction.floor)", ""),
        caught_by=("masked weight",)),
    "sampler over trainer": mistake(
        (render, "corrections", "old_N - batch.sampler_N", "batch.sampler_N - old_N"),
        (render, "with_sequences", "old_N - batch.sampler_N", "batch.sampler_N - old_N"),
        caught_by=("truncated weight", "masked weight", "weight by sequence")),
    "by token where by sequence is declared": mistake(
        (render, "corrections", "correction.level is Level.SEQUENCE", "False"),
        caught_by=("weight by sequence",)),
}

SHARES = {
    "Z counts trained rollouts alone": mistake(
        (Plan, "counts", "if self.in_objective(member)]", "if self.touches(group)[group.members.index(member)]]"),
        caught_by=("masked k2", "per sequence", "z-score")),
    "per group by its rollouts": mistake(
        (Plan, "share_of", "tokens_in(m for m in group.members if self.in_objective(m))", "sum(self.in_objective(m) for m in group.members)"),
        caught_by=("per group",)),
    "per group over all rollouts": mistake(
        (Plan, "_size", "return 1 if members else 0", "return len(members)"),
        caught_by=("per group",)),
    "per sequence with inserted tokens": mistake(
        (Plan, "share_of", "tokens_in([member])", "len(member.rollout.response_ids)"),
        caught_by=("per sequence",)),
    "fixed length by the rollout's own": mistake(
        (Plan, "share_of", "1.0 / self.length_cap", "1.0 / len(member.rollout.response_ids)"),
        caught_by=("fixed length",)),
    "what is overlong keeps its place in Z": mistake(
        (Plan, "counts", "if self.in_objective(member)]", "if member.judged or not self.objective.reads_verdict]"),
        caught_by=("overlong out",)),
    "each rank by its own counts": mistake(
        (SingleLearner, "accumulate", "rows_of(groups, plan, counts,", "rows_of(groups, plan, plan.counts(groups),"),
        caught_by=("cut, order and ranks",)),
    "each micro-batch by its own size": mistake(
        (SingleLearner, "accumulate", "descent.grad_NH, chosen", "descent.grad_NH / len(chosen), chosen"),
        caught_by=("cut, order and ranks", "masked k2")),
}

STAGE = {
    "the teacher asked about every answer": mistake(
        (Plan, "wants", "self.acts(place, member, group)", "True"),
        caught_by=("who is asked",)),
    "a teacher ratio's teacher not asked": mistake(
        (Plan, "wants", "self.teacher_ratio > 0", "False"),
        caught_by=("who is asked",)),
    "refills drop all-wrong groups": mistake(
        (Plan, "keeps", " or any(self._pulled(member, group) for member in group.members)", ""),
        caught_by=("refills keep what a pull needs",)),
    "refills keep every group": mistake(
        (Plan, "keeps", "(self.credit_weight > 0 and teaches)", "True"),
        caught_by=("refills keep what a pull needs", "refills stop")),
    "one refill too many": mistake(
        (joint, "sampled", "refill < run.max_refills", "refill <= run.max_refills"),
        caught_by=("refills stop",)),
    "a problem drawn again": mistake(
        (joint, "sampled", " if problem.id not in seen", ""),
        caught_by=("no problem twice",)),
    "what refills drew forgotten": mistake(
        (joint, "sampled", "seen |= {problem.id for problem in more}", "pass"),
        caught_by=("no problem twice",)),
    "a schedule off by one": mistake(
        (Schedule, "at", "(step - self.begin)", "(step + 1 - self.begin)"),
        caught_by=("schedules", "scheduled")),
    "the plan of the next step": mistake(
        (joint.JointRun, "plan_at", "step=step", "step=step + 1"),
        caught_by=("schedules",)),
    "the controller inverted": mistake(
        (Adaptive, "after", "kl / self.target - 1.0", "1.0 - kl / self.target"),
        caught_by=("a strength follows the KL",)),
    "a strength that does not move": mistake(
        (joint.JointRun, "plan_at", "betas=betas", "betas={}"),
        caught_by=("a strength follows the KL",)),
    "the KL of a batch not divided by its tokens": mistake(
        (joint.stats, "kl_of", " / tokens if tokens", " if tokens"),
        caught_by=("a strength follows the KL",)),
    "a strength not brought back": mistake(
        (checkpoints.FolderCheckpoints, "restore", 'self.kept.update(state["kept"])', "pass"),
        caught_by=("a strength is saved",)),
    "a strength not saved": mistake(
        (checkpoints.FolderCheckpoints, "after", "dict(self.kept)", "{}"),
        caught_by=("a strength is saved",)),
    "steps on the corpus rounded up": mistake(
        (joint.JointRun, "reads_corpus", "floor((step + 1) * self.on_corpus + 1e-9) > math.floor", "ceil((step + 1) * self.on_corpus) > math.ceil"),
        caught_by=("the share of steps on the corpus",)),
    "the reference is the student": mistake(
        (Parts, "load", f"return {LOAD}", f"return vars(self).setdefault('read', {{}}).get(folder) or self.read.setdefault(folder, {LOAD})"),
        caught_by=("the reference stays where it was",)),
}
# fmt: on
FAMILIES = (CREDIT, CLIP, PULLS, VOCABULARY, CORRECTION, SHARES, STAGE)
MISTAKES = {name: found for family in FAMILIES for name, found in family.items()}
