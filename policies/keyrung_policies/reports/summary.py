"""A comparison in one sentence."""

from keyrung_policies.analysis.differences import Difference, PolicyDiff
from keyrung_policies.reports.wording import decision_words, effects, request_lines


def summary(diff: PolicyDiff) -> str:
    """Return the verdict, and where something differs the gravest difference with its request."""
    undecided = next((one for one in diff.actions if one.undecided is not None), None)
    if undecided is not None:
        return f"{diff.verdict}, which counts as weaker: {undecided.action.title}, {undecided.undecided}"
    # Sorting is stable: of equally grave differences the first is shown.
    found = sorted(diff.differences(), key=lambda one: not one[1].comparison.verdict.may_be_weaker)
    if not found:
        return f"{diff.verdict}: every possible request gets the same answer"
    title, gravest = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{diff.verdict}: {_told(title, gravest)}{more}"


def _told(title: str, difference: Difference) -> str:
    said = ", ".join(effect.sentence for effect in effects(difference))
    before, after = decision_words(difference.base), decision_words(difference.head)
    example = "; ".join(request_lines(difference.request, difference.now))
    return f"{title}: {said}, for example [{example}], before {before}, after {after}"
