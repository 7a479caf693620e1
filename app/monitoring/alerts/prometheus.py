"""The rules for Prometheus: `python -m app.monitoring.alerts.prometheus > deploy/prometheus/alerts.yml`.

With `--as-set`, by the settings as they are set.

Made of the same data as our own alerts, by the defaults of the settings. What Prometheus cannot say is left out: a
threshold of its own for the end of an alert, for which it has only a time, and chance, where a failure rate grows. A
maintenance window keeps them silent, too.
"""

import json
import sys
from collections.abc import Iterator, Sequence

from ...config import Settings, default_settings, load_settings
from .queries import span, stopped
from .rule import Level, Rule
from .rules import rules

HEADER = """\
# Alerts for Prometheus, under the conditions of `GET /monitoring/alerts`. Written by `make schema` from
# app/monitoring/alerts/rules.py with the defaults of the settings, never by hand. docs/guide/alerts.md says more.

groups:
  - name: afresh
    rules:
"""


def render(chosen: Sequence[Rule]) -> str:
    """The text of the file."""
    return HEADER + "\n".join(line for rule in chosen for level in rule.levels for line in _alert(rule, level)) + "\n"


def render_defaults(settings: Settings | None = None) -> str:
    """The same, by these settings, or by their defaults whatever is set."""
    return render(rules(settings or default_settings()))


def alert_name(rule: Rule) -> str:
    """``error-rate`` as ``AfreshErrorRate``."""
    return "Afresh" + "".join(word.capitalize() for word in rule.name.split("-"))


def expression(rule: Rule, level: Level) -> str:
    """When it holds."""
    # Where a level has a condition of its own, that takes the place of a higher number.
    only = rule.only.get(level.severity)
    limit = rule.levels[0].opens if only else level.opens
    # A limit that is just below a round number means at least that number.
    way = "<" if rule.below else ">=" if float(f"{limit:g}") > limit else ">"
    parts = [f"({rule.query}) {way} {limit:g}"]
    if rule.least:
        parts.append(f"({rule.volume}) >= {rule.least}")
    if only:
        parts.append(f"({only})")
    matching = f" and on ({rule.label}) " if rule.label else " and "
    return f"{matching.join(parts)} unless on () ({stopped(rule.reach)})"


def _alert(rule: Rule, level: Level) -> Iterator[str]:
    subject = f"{{{{ $labels.{rule.label} }}}}" if rule.label else ""
    yield f"      - alert: {alert_name(rule)}"
    yield f"        expr: {_text(expression(rule, level))}"
    if rule.after:
        yield f"        for: {span(rule.after)}"
    if rule.quiet:
        yield f"        keep_firing_for: {span(rule.quiet)}"
    yield "        labels:"
    yield f"          severity: {level.severity}"
    yield f"          rule: {rule.name}"
    yield "        annotations:"
    heading = " ".join(rule.heading(subject).split())
    yield f"          summary: {_text(heading)}"
    if rule.unit:
        yield f"          description: {_text(_description(rule, level))}"
    yield f"          what_to_do: {_text(rule.what_to_do)}"


def _description(rule: Rule, level: Level) -> str:
    return f'{{{{ $value | printf "%.3g" }}}} {rule.unit}; the limit is {level.opens:g}.'


def _text(text: str) -> str:
    """A string that YAML reads back as it is: in single quotes, or as JSON has it, which is one of YAML's forms."""
    return f"'{text}'" if '"' in text and "'" not in text else json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.write(render_defaults(load_settings() if "--as-set" in sys.argv else None))
