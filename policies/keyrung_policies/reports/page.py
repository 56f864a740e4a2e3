"""A comparison as one HTML page that needs nothing else: no script, no font, no address is loaded."""

from importlib import resources

from jinja2 import Environment, StrictUndefined

from keyrung_policies.analysis.differences import PolicyDiff
from keyrung_policies.reports import wording


def diff_page(diff: PolicyDiff, *, base: str, head: str) -> str:
    """Return a comparison as an HTML page; texts from the policies are escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(
        {name: getattr(wording, name) for name in ("because", "decision_words", "effects", "request_lines")}
    )
    folder = resources.files(__package__)
    template = environment.from_string((folder / "diff.html.j2").read_text(encoding="utf-8"))
    return template.render(
        diff=diff,
        base=base,
        head=head,
        headline=wording.HEADLINES[diff.verdict],
        style=(folder / "page.css").read_text(encoding="utf-8"),
    )
