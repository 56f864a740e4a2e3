"""Findings as one HTML page that needs nothing else: no script, no font, no address is loaded."""

from importlib import resources

from jinja2 import Environment, StrictUndefined

from keyrung_policies.analysis.differences import PolicyDiff
from keyrung_policies.reports import wording
from keyrung_policies.reports.chart import chart
from keyrung_policies.simulation import Simulation


def diff_page(diff: PolicyDiff, *, base: str, head: str) -> str:
    """Return a comparison as an HTML page; texts from the policies are escaped."""
    return _page("diff.html.j2", diff=diff, base=base, head=head, headline=wording.HEADLINES[diff.verdict])


def simulation_page(found: Simulation, *, log: str, policy: str, group_by: str | None) -> str:
    """Return a simulation as an HTML page with a chart; texts from the log and the policy are escaped."""
    headline = wording.change_words(found.total.change)
    drawn = chart(found.by_day)
    return _page(
        "simulation.html.j2", found=found, log=log, policy=policy, group_by=group_by, headline=headline, chart=drawn
    )


def _page(name: str, **values: object) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(
        {name: getattr(wording, name) for name in ("because", "decision_words", "effects", "request_lines")}
    )
    folder = resources.files(__package__)
    template = environment.from_string((folder / name).read_text(encoding="utf-8"))
    return template.render(**values, style=(folder / "page.css").read_text(encoding="utf-8"))
