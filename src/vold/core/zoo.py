"""The named methods. A reader compares them by comparing lines.

Every number is the one its source prints; where the source leaves one open, `Method.note` says what was taken. An objective whose pull is as
long as a step and whose data is one stream of the student's own rollouts is an `Objective`; what needs a sequence of stages or a second
stream of data is a `Recipe` made of objectives.
"""

from dataclasses import dataclass

from vold.core.objective import (
    ALL_WRONG,
    CENTRED,
    EVERY,
    FIXED_LENGTH,
    JSD,
    K1_ADVANTAGE,
    K2,
    K3,
    LEAVE_ONE_OUT,
    NO_CREDIT,
    PER_GROUP,
    PER_SEQUENCE,
    PER_TOKEN,
    REFERENCE,
    RIGHT,
    TEACHER,
    WRONG,
    Z_SCORE,
    Adaptive,
    Baseline,
    Clip,
    Credit,
    Estimator,
    Level,
    Objective,
    Overlong,
    Pull,
    Schedule,
    TeacherRatio,
    Weigh,
)

# fmt: off
# reward alone
VOLD_RL       = Objective(Z_SCORE, Clip(0.2, 0.3), share=PER_TOKEN)
GRPO          = Objective(Z_SCORE, Clip(0.2, 0.2), pulls=(Pull(REFERENCE, 0.04, K3),), share=PER_SEQUENCE)
DR_GRPO       = Objective(CENTRED, Clip(0.2, 0.2), share=FIXED_LENGTH)
RLOO          = Objective(LEAVE_ONE_OUT, None, share=FIXED_LENGTH)
DAPO          = Objective(Z_SCORE, Clip(0.2, 0.28), share=PER_TOKEN, overlong=Overlong.SOFT, dynamic=True)
GSPO          = Objective(Z_SCORE, Clip(3e-4, 4e-4, level=Level.SEQUENCE), share=PER_SEQUENCE)
X_REASONER    = Objective(Z_SCORE, Clip(0.2, 0.2), pulls=(Pull(REFERENCE, 0.01, K3),), share=PER_TOKEN)
VLM_R1        = Objective(Z_SCORE, Clip(0.2, 0.2), pulls=(Pull(REFERENCE, 0.04, K3),), share=PER_SEQUENCE)
VLAA_THINKER  = Objective(Z_SCORE, Clip(0.2, 0.2), pulls=(Pull(REFERENCE, Adaptive(1e-3, target=5e-4), K3),), share=PER_SEQUENCE)

# reward and teacher
VOLD          = Objective(Z_SCORE, Clip(0.2, 0.3), pulls=(Pull(TEACHER, 0.1, K2, WRONG),), share=PER_TOKEN)
VOLD_UNMASKED = Objective(Z_SCORE, Clip(0.2, 0.3), pulls=(Pull(TEACHER, 0.1, K2, EVERY),), share=PER_TOKEN)
VOLD_FULL     = Objective(Z_SCORE, Clip(0.2, 0.3), pulls=(Pull(TEACHER, 0.1, Estimator.FULL_STUDENT_TO_PARTNER, WRONG),), share=PER_TOKEN)
VOLD_GSPO     = Objective(Z_SCORE, Clip(3e-4, 4e-4, level=Level.SEQUENCE), pulls=(Pull(TEACHER, 0.1, K2, WRONG),), share=PER_SEQUENCE)
KDRL          = Objective(Z_SCORE, Clip(0.2, 0.2), pulls=(Pull(TEACHER, 2e-3, K2, EVERY),), share=PER_GROUP)
KDRL_ANNEALED = Objective(Z_SCORE, Clip(0.2, 0.2), pulls=(Pull(TEACHER, Schedule(5e-3, 1e-3, until=80), K2, EVERY),), share=PER_GROUP)
KDRL_RESPONSE = Objective(Z_SCORE, Clip(0.2, 0.2), pulls=(Pull(TEACHER, 2e-3, K2, WRONG),), share=PER_GROUP)
KDRL_GROUP    = Objective(Z_SCORE, Clip(0.2, 0.2), pulls=(Pull(TEACHER, 2e-3, K2, ALL_WRONG),), share=PER_GROUP)
SRPO          = Objective(Credit(Baseline.Z_SCORE, on=RIGHT), Clip(0.2, 0.2), pulls=(Pull(TEACHER, 1.0, K1_ADVANTAGE, WRONG),), share=PER_TOKEN)
HDPO          = Objective(Z_SCORE, Clip(0.2, 0.2), pulls=(Pull(TEACHER, 2e-3, K1_ADVANTAGE, ALL_WRONG),), share=PER_TOKEN)
RLSD          = Objective(Credit(Baseline.Z_SCORE, by_teacher=TeacherRatio(1.0, 0.2)), Clip(0.2, 0.2), share=PER_TOKEN)
SCOPE         = Objective(Credit(Baseline.RAW, weigh=Weigh.HIGH_STUDENT_PERPLEXITY, on=RIGHT), None,
                          pulls=(Pull(TEACHER, 1.0, K2, WRONG, weigh=Weigh.LOW_TEACHER_PERPLEXITY),), share=PER_TOKEN)

# teacher alone
OPD           = Objective(NO_CREDIT, None, pulls=(Pull(TEACHER, 1.0, K2, EVERY),), share=PER_TOKEN)
OPD_ADVANTAGE = Objective(NO_CREDIT, None, pulls=(Pull(TEACHER, 1.0, K1_ADVANTAGE, EVERY),), share=PER_TOKEN)
QWEN3_OPD     = Objective(NO_CREDIT, None, pulls=(Pull(TEACHER, 1.0, Estimator.FULL_STUDENT_TO_PARTNER, EVERY),), share=PER_TOKEN)
GKD           = Objective(NO_CREDIT, None, pulls=(Pull(TEACHER, 1.0, JSD, EVERY, mix=0.5),), share=PER_TOKEN)
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A named objective, what it optimises in one line, and where that is from."""

    objective: Objective
    equation: str
    """The loss per rollout token in plain signs: A advantage, ρ ratio of new to old, π student, φ teacher, π₀ reference, r reward."""
    source: str
    note: str = ""
    """What the source leaves open and what was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A method that is a sequence of objectives, or mixes two streams of data."""

    phases: tuple[tuple[str, str], ...]
    """(name of an objective, how long or on what), in order."""
    source: str
    note: str


SURROGATE = "-min(ρA, clip(ρ)A)"

METHODS: dict[str, Method] = {
    "VOLD": Method(
        objective=VOLD,
        equation=f"{SURROGATE} + β(1 - r)·½(log π - log φ)²",
        source="VOLD, arXiv 2510.23497, eq. 6",
        note="β = 0.1 as in the main text; token mean with one count over the step, which has the printed sums' direction at ratio 1.",
    ),
    "VOLD_UNMASKED": Method(
        objective=VOLD_UNMASKED,
        equation=f"{SURROGATE} + β·½(log π - log φ)²",
        source="VOLD, arXiv 2510.23497, eq. 5",
    ),
    "VOLD_FULL": Method(
        objective=VOLD_FULL,
        equation=f"{SURROGATE} + β(1 - r)·Σ_v π(log π - log φ)",
        source="VOLD, arXiv 2510.23497, eq. 6 with the sum it writes before estimating it",
        note="Another objective than VOLD: under the mask, sampled and full-vocabulary KL differ.",
    ),
    "VOLD_GSPO": Method(
        objective=VOLD_GSPO,
        equation="-min(sA, clip(s)A) + β(1 - r)·½(log π - log φ)²,  s = exp(mean log ρ)·π/sg π",
        source="VOLD, arXiv 2510.23497, fig. 6; GSPO, arXiv 2507.18071",
        note="The paper gives no clip for it; GSPO's is taken.",
    ),
    "VOLD_RL": Method(
        objective=VOLD_RL,
        equation=SURROGATE,
        source="VOLD, arXiv 2510.23497, eq. 1 without the reference term, clip 0.2/0.3",
        note="VOLD without its teacher: the paper's SFT + GRPO row.",
    ),
    "GRPO": Method(
        objective=GRPO,
        equation=f"{SURROGATE} + β·(π₀/π - 1 - log π₀/π)",
        source="DeepSeekMath, arXiv 2402.03300, eq. 3-4; β = 0.04",
        note="A clip of 0.2 is the field's usual one. Without a reference and with every token alike it is VOLD_RL or DAPO's loss.",
    ),
    "DR_GRPO": Method(
        objective=DR_GRPO,
        equation=f"{SURROGATE},  A = r - mean r, divided by the length cap",
        source="Understanding R1-Zero, arXiv 2503.20783",
    ),
    "RLOO": Method(
        objective=RLOO,
        equation="-ρA,  A = r - mean of the other rewards",
        source="Back to Basics, arXiv 2402.14740",
        note="The sequence's log-probability is a sum over tokens: no length in the normaliser.",
    ),
    "DAPO": Method(
        objective=DAPO,
        equation=f"{SURROGATE},  groups with 0 < right < G, soft penalty on length",
        source="DAPO, arXiv 2503.14476, eq. 8-13",
        note="Token mean over the step, as in its released code; the printed sum is per group (share = per-group).",
    ),
    "GSPO": Method(
        objective=GSPO,
        equation="-min(sA, clip(s)A),  s = exp(mean log ρ)",
        source="GSPO, arXiv 2507.18071; clip 3e-4/4e-4",
    ),
    "X_REASONER": Method(
        objective=X_REASONER,
        equation=f"{SURROGATE} + β·(π₀/π - 1 - log π₀/π)",
        source="X-Reasoner, arXiv 2505.03981; KL 0.01 and clip 0.2 from its appendix",
        note="Its text also speaks of a higher upper clip and a smaller KL without numbers.",
    ),
    "VLM_R1": Method(
        objective=VLM_R1,
        equation=f"{SURROGATE} + β·(π₀/π - 1 - log π₀/π)",
        source="VLM-R1, github.com/om-ai-lab/VLM-R1, example scripts; β = 0.04",
        note="The clip is not in its scripts; 0.2 is GRPO's.",
    ),
    "VLAA_THINKER": Method(
        objective=VLAA_THINKER,
        equation=f"{SURROGATE} + β(t)·(π₀/π - 1 - log π₀/π),  β follows the measured KL",
        source="VLAA-Thinker, arXiv 2504.11468; adaptive KL from 1e-3 towards 5e-4",
        note="Horizon 10,000, estimator k3 and clip 0.2 are not printed and were taken.",
    ),
    "KDRL": Method(
        objective=KDRL,
        equation=f"{SURROGATE} + β·½(log π - log φ)²",
        source="KDRL, arXiv 2506.02208, eq. 8; β = 2e-3",
        note="Normalised over all tokens of a group, as printed. One update a batch, so its clip (GRPO's) is inert.",
    ),
    "KDRL_ANNEALED": Method(
        objective=KDRL_ANNEALED,
        equation=f"{SURROGATE} + β(t)·½(log π - log φ)²,  β(t) = max(5e-3 - 5e-5 t, 1e-3)",
        source="KDRL, arXiv 2506.02208",
    ),
    "KDRL_RESPONSE": Method(
        objective=KDRL_RESPONSE,
        equation=f"{SURROGATE} + β(1 - r)·½(log π - log φ)²",
        source="KDRL, arXiv 2506.02208, response-level mask",
    ),
    "KDRL_GROUP": Method(
        objective=KDRL_GROUP,
        equation=f"{SURROGATE} + β·[no answer of the group is right]·½(log π - log φ)²",
        source="KDRL, arXiv 2506.02208, group-level mask",
    ),
    "SRPO": Method(
        objective=SRPO,
        equation=f"{SURROGATE} with A = r·Â + (1 - r)·log φ/π",
        source="as tabulated in arXiv 2609.04108",
    ),
    "HDPO": Method(
        objective=HDPO,
        equation=f"{SURROGATE} with A = Â + β·[no answer of the group is right]·log φ/π",
        source="as tabulated in arXiv 2609.04108; β = 0.002 (mathematics)",
    ),
    "RLSD": Method(
        objective=RLSD,
        equation=f"{SURROGATE} with A = ((1 - λ) + λ·clip((φ/π)^sign Â, 1 ± ε))·Â",
        source="as tabulated in arXiv 2609.04108; λ = 1, ε = 0.2",
    ),
    "SCOPE": Method(
        objective=SCOPE,
        equation="-w_S·r·log π + w_T(1 - r)·½(log π - log φ)²",
        source="after SCOPE, arXiv 2604.10688",
        note="SCOPE-like: weights are perplexities scaled to a mean of 1 in the group, without its temperature.",
    ),
    "OPD": Method(
        objective=OPD,
        equation="½(log π - log φ)²",
        source="on-policy distillation with the k2 loss (KDRL's KD-RKL, arXiv 2506.02208)",
    ),
    "OPD_ADVANTAGE": Method(
        objective=OPD_ADVANTAGE,
        equation="-ρ·sg(log φ - log π)",
        source="On-Policy Distillation, thinkingmachines.ai, October 2025: discount 0, coefficient 1",
        note="At one update a batch it is OPD, gradient for gradient. Its importance weight against the sampler is a correction to be added.",
    ),
    "QWEN3_OPD": Method(
        objective=QWEN3_OPD,
        equation="Σ_v π(log π - log φ)",
        source="Qwen3, arXiv 2505.09388, §4.5, on-policy phase",
        note="The report does not name the direction of the KL; student to teacher was taken.",
    ),
    "GKD": Method(
        objective=GKD,
        equation="Σ_v mix·φ log(φ/M) + (1 - mix)·π log(π/M),  M = mix·φ + (1 - mix)·π",
        source="GKD, arXiv 2306.13649, on-policy part (λ = 1), mix = 0.5",
    ),
}

RECIPES: dict[str, Recipe] = {
    "OPD_THEN_RL": Recipe(
        phases=(("OPD_ADVANTAGE", "first 60 steps"), ("VOLD_RL", "the rest")),
        source="Sequential beats joint, arXiv 2609.04108",
        note="Two phases of one stage: arms.NAME.phases. The comparison clips both at 0.2 and makes several updates a batch, where clips act.",
    ),
    "QWEN3_STRONG_TO_WEAK": Recipe(
        phases=(("SFT on the teacher's traces", "off-policy phase"), ("QWEN3_OPD", "on-policy phase")),
        source="Qwen3, arXiv 2505.09388, §4.5",
        note="The first phase is this package's own SFT stage.",
    ),
    "GKD_MIXED": Recipe(
        phases=(("GKD", "a share λ of the steps, on the student's rollouts"), ("GKD", "the other steps, on the teacher's traces")),
        source="GKD, arXiv 2306.13649, eq. 4; λ = 0.5",
        note="Two streams of data: arms.NAME.on_corpus = 1 - λ mixes steps on the corpus into the stage.",
    ),
    "VOLD_PIPELINE": Recipe(
        phases=(("SFT on the teacher's traces", "alignment"), ("VOLD", "joint stage")),
        source="VOLD, arXiv 2510.23497",
        note="What `vold run` does by default.",
    ),
}

ZOO: dict[str, Objective] = {name: method.objective for name, method in METHODS.items()}
