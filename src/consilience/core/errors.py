"""Findings about inputs and the exceptions a user meets: InputError (exit 2), RunError (exit 1), Interrupted (130)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["note", "warn", "error"]

# C0 and C1 controls except newline and tab: text from files may carry terminal escapes
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: object) -> str:
    """Text that is safe to print: control characters, terminal escapes among them, are removed."""
    return _CONTROL.sub("", str(text))


@dataclass(frozen=True)
class Finding:
    """One thing noticed about an input: what, where, found against expected, what to do about it."""

    level: Level
    what: str
    where: str = ""
    found: str = ""
    expected: str = ""
    fix: str = ""

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"where: {self.where}")
        if self.found or self.expected:
            sides = [
                f"found: {self.found}" if self.found else "",
                f"expected: {self.expected}" if self.expected else "",
            ]
            parts.append("; ".join(s for s in sides if s))
        if self.fix:
            parts.append(f"to do: {self.fix}")
        return clean("\n  ".join(parts))

    def as_dict(self) -> dict[str, str]:
        return {k: clean(v) for k, v in asdict(self).items()}


class ConsilError(Exception):
    """Base of the errors that end a command with one message and no traceback."""

    exit_status = 1


class RunError(ConsilError):
    """The run failed after its inputs were accepted (exit status 1)."""

    exit_status = 1


class InputError(ConsilError):
    """Bad usage or bad input (exit status 2): one message, nothing written or lost."""

    exit_status = 2

    def __init__(self, what: str | Finding, where: str = "", found: str = "", expected: str = "", fix: str = ""):
        self.finding = what if isinstance(what, Finding) else Finding("error", what, where, found, expected, fix)
        super().__init__(str(self.finding))


def raise_errors(findings: Iterable[Finding]) -> None:
    """Raise InputError for the first finding of level "error" (the rest are appended to the message)."""
    errors = [f for f in findings if f.level == "error"]
    if not errors:
        return
    if len(errors) == 1:
        raise InputError(errors[0])
    first, *rest = errors
    more = "; also: " + "; ".join(f.what for f in rest)
    raise InputError(first.what + more, first.where, first.found, first.expected, first.fix)


class Interrupted(KeyboardInterrupt):
    """A signal asked the job to end (exit status 130)."""
