"""The estimators of a pull, on log-probabilities of the student's own tokens. Elementwise; no reduction, no masking."""

from jaxtyping import Float
from torch import Tensor

from vold.core.objective import Estimator

PerToken = Float[Tensor, " N"]


def k2_student_to_teacher(student: PerToken, teacher: PerToken) -> PerToken:
    """Half the squared log-ratio. On the student's own tokens its gradient is that of KL(student ‖ teacher); its value is not a KL."""
    return 0.5 * (student - teacher).square()


def k3_teacher_to_student(student: PerToken, teacher: PerToken) -> PerToken:
    """φ/π - 1 - log(φ/π). Its value is an unbiased KL(student ‖ teacher); as a loss its gradient is that of KL(teacher ‖ student)."""
    log_ratio = teacher - student
    return log_ratio.expm1() - log_ratio


def k2_slope(student: PerToken, teacher: PerToken) -> PerToken:
    """∂k2 / ∂ log π = log π - log φ."""
    return student - teacher


def k3_slope(student: PerToken, teacher: PerToken) -> PerToken:
    """∂k3 / ∂ log π = 1 - φ/π."""
    return -(teacher - student).expm1()


VALUE = {Estimator.K2: k2_student_to_teacher, Estimator.K3: k3_teacher_to_student}
SLOPE = {Estimator.K2: k2_slope, Estimator.K3: k3_slope}
