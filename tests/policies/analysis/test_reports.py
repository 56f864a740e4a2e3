"""Reports: what they say, that programs can read them, and that no text of a policy can break out of them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.policies import HEAD, compiled

from keyrung_policies.analysis.diff import diff
from keyrung_policies.analysis.differences import PolicyDiff
from keyrung_policies.analysis.lints import LINTS, lint
from keyrung_policies.compile import Compiled
from keyrung_policies.errors import Place
from keyrung_policies.reports.document import diff_document
from keyrung_policies.reports.markdown import code, diff_markdown
from keyrung_policies.reports.page import diff_page
from keyrung_policies.reports.sarif import diff_sarif, findings_sarif
from keyrung_policies.reports.summary import summary

RULES = """
- {id: small, actions: [pay], when: {resource.amount: {lt: 100}}, allow: true}
- id: large
  actions: [pay]
  when: {resource.amount: {gte: 100}}
  require: {level: phr, max_age: 5m}
  display: "Pay {resource.amount}"
- {id: read, actions: ["doc.*"], allow: true}
"""
HOSTILE = "</code><script>alert(1)</script>|`x`\\u202E{0}"
NAMES = {"base": "main:policies", "head": "policies"}


def changed(edit: tuple[str, str], *, head: str = HEAD) -> tuple[PolicyDiff, Compiled]:
    after = compiled(RULES.replace(*edit), head=head)
    return diff(compiled(RULES).policy, after.policy), after


@pytest.fixture(
    params=[
        ("x", "x"),
        ("100", "200"),
        ("max_age: 5m", "max_age: 9m"),
        ("phr, max_age: 5m", "otp, max_age: 1m"),
        ("Pay", "Send"),
    ],
    ids=["equal", "weaker", "older", "both", "display"],
)
def found(request: pytest.FixtureRequest) -> tuple[PolicyDiff, Compiled]:
    return changed(request.param)


@pytest.fixture
def hostile() -> PolicyDiff:
    texts = json.dumps(HOSTILE)
    rule = f"- {{id: bad, actions: [x.read], when: {{resource.path: {texts}}}, allow: true}}\n"
    longer = HEAD.replace("max_length: 20", "max_length: 200")
    return diff(compiled(RULES, head=longer).policy, compiled(RULES + rule, head=longer).policy)


def test_the_json_document_is_as_its_schema_says(found: tuple[PolicyDiff, Compiled]) -> None:
    schema = json.loads((resources.files("keyrung_policies.reports") / "policy-diff.v1.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    document = json.loads(json.dumps(diff_document(found[0], **NAMES)))
    Draft202012Validator(schema).validate(document)
    assert document["verdict"] == found[0].verdict


def test_a_sarif_log_has_what_the_format_demands(found: tuple[PolicyDiff, Compiled]) -> None:
    check_sarif(diff_sarif(found[0], places=found[1].rule_places, version="1.2.3"))


def test_a_sarif_result_stands_at_the_rule_that_decides_now() -> None:
    difference, after = changed(("max_age: 5m", "max_age: 9m"))
    (result,) = sarif_results(diff_sarif(difference, places=after.rule_places, version="1.2.3"))
    assert (result["ruleId"], result["level"]) == ("policy-weaker", "error")
    region = result["locations"][0]["physicalLocation"]["region"]
    assert region["startLine"] == after.rule_places["large"].line
    assert "the step-up may be older" in result["message"]["text"]


def test_the_fingerprint_of_a_finding_outlives_moved_lines() -> None:
    first, after = changed(("max_age: 5m", "max_age: 9m"))
    moved = compiled("\n\n" + RULES.replace("max_age: 5m", "max_age: 9m"))
    again = diff(compiled(RULES).policy, moved.policy)
    one, other = (
        sarif_results(diff_sarif(difference, places=places.rule_places, version="1.2.3"))[0]
        for difference, places in ((first, after), (again, moved))
    )
    assert one["locations"] != other["locations"]
    assert one["partialFingerprints"] == other["partialFingerprints"]


def test_no_text_of_a_policy_becomes_a_link_or_a_placeholder_of_sarif() -> None:
    rule = '- {id: bad, actions: [x.read], when: {resource.path: "[here](evil.example) {0}"}, allow: true}\n'
    longer = HEAD.replace("max_length: 20", "max_length: 200")
    after = compiled(RULES + rule, head=longer)
    found = diff(compiled(RULES, head=longer).policy, after.policy)
    text = sarif_results(diff_sarif(found, places=after.rule_places, version="1.2.3"))[0]["message"]["text"]
    assert r"\[here\](evil.example) {{0}}" in text


def test_a_place_in_sarif_is_a_relative_address_whatever_the_file_is_called() -> None:
    places = {"large": Place(file="data:x y/a#b.yaml", line=1, column=1)}
    (result,) = sarif_results(diff_sarif(changed(("max_age: 5m", "max_age: 9m"))[0], places=places, version="1.2.3"))
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "data%3Ax%20y/a%23b.yaml"


def test_lint_findings_are_a_sarif_log_too() -> None:
    found = lint(compiled(RULES + "- {id: x, actions: [pay], when: {resource.amount: {gt: 1, lt: 2}}, deny: true}\n"))
    log = findings_sarif(found, rules=LINTS, version="1.2.3")
    check_sarif(log)
    assert "dead-rule" in {result["ruleId"] for result in sarif_results(log)}


def sarif_results(log: dict[str, object]) -> list[Any]:
    document = json.loads(json.dumps(log))
    results: list[Any] = document["runs"][0]["results"]
    return results


def check_sarif(log: dict[str, object]) -> None:
    """Check the members that SARIF 2.1.0 requires (sections 3.13, 3.14, 3.18 to 3.30)."""
    document = json.loads(json.dumps(log))
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = document["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "keyrung"
    declared = [rule["id"] for rule in driver["rules"]]
    assert len(declared) == len(set(declared))
    assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
    for result in run["results"]:
        assert result["ruleId"] in declared
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"].endswith(".")
        assert all(isinstance(value, str) for value in result["partialFingerprints"].values())
        for location in result["locations"]:
            physical = location["physicalLocation"]
            assert not re.match(r"/|[a-z]+:", physical["artifactLocation"]["uri"])
            assert physical["region"]["startLine"] >= 1
            assert physical["region"]["startColumn"] >= 1


def test_markdown_shows_every_difference_in_a_row_of_its_table(found: tuple[PolicyDiff, Compiled]) -> None:
    text = diff_markdown(found[0], **NAMES)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len(list(found[0].differences()))
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows)


def test_markdown_says_where_no_text_was_shown() -> None:
    text = diff_markdown(changed(('  display: "Pay {resource.amount}"\n', ""))[0], **NAMES)
    assert "shows no text |" in text


def test_no_text_of_a_policy_breaks_out_of_the_markdown(hostile: PolicyDiff) -> None:
    text = diff_markdown(hostile, **NAMES)
    (row,) = [line for line in text.splitlines() if "script" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 6
    assert "<script>" not in re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", row)
    assert "\u202e" not in text


@pytest.mark.parametrize("text", ["plain", "a`b", "``", "`a` ``b``", "a|b"])
def test_a_code_span_ends_where_the_text_ends(text: str) -> None:
    span = code(text).replace("\\|", "|")
    fence = re.match("`+", span)
    assert fence is not None
    inner = span[len(fence[0]) : -len(fence[0])]
    assert inner.strip() == text.strip()
    assert max((len(run) for run in re.findall("`+", text)), default=0) < len(fence[0])


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_runs_nothing_and_loads_nothing(found: tuple[PolicyDiff, Compiled], hostile: PolicyDiff) -> None:
    for difference in (found[0], hostile):
        page = Page(diff_page(difference, **NAMES))
        assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
        assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
        assert "url(" not in page.words
        assert difference.verdict in page.words.lower() or "weaker and stronger" in page.words.lower()


def test_the_page_shows_a_hostile_text_as_it_is(hostile: PolicyDiff) -> None:
    page = Page(diff_page(hostile, **NAMES))
    assert "<script>alert(1)</script>" in page.words
    assert "\u202e" not in page.words


def test_one_sentence_says_the_verdict_and_the_gravest_difference() -> None:
    assert summary(changed(("x", "x"))[0]) == "equal: every possible request gets the same answer"
    assert summary(changed(("100", "200"))[0]).startswith(
        "weaker: pay: no step-up is asked for any more, for example [pay; resource.amount: 100], before step-up: phr"
    )
