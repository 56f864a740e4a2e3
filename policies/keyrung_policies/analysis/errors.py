"""What keeps an analysis from an answer; each denies, for no answer is never a pass."""

from keyrung_policies.errors import PolicyError


class AnalysisError(PolicyError):
    """Base of what an analysis can fail with."""


class SolverMissingError(AnalysisError):
    """The solver is not installed."""

    def __init__(self) -> None:
        super().__init__("comparing and proving policies needs z3; install it with `pip install 'keyrung[analysis]'`.")


class AnalysisLimitError(AnalysisError):
    """A part of a policy is too large or too entangled to decide."""


class WitnessError(AnalysisError):
    """The solver named a request on which the evaluator disagrees: a defect in the analysis, so nothing is claimed."""

    def __init__(self) -> None:
        super().__init__("the solver and the evaluator disagree on a request; report this as a defect.")
