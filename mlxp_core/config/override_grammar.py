"""Overrides in Hydra's own grammar."""

from __future__ import annotations

import re

from hydra.core.override_parser.types import Quote, QuotedString

# What each run has of its own: a sweep gives it in each job, and a run that starts another time must not take it over
OF_ONE_RUN = (
    "hydra.mode",
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
    "hydra.job.num",
    "hydra.job.id",
)


def override(key: str, value: str) -> str:
    """An override that gives `key` exactly the text `value` (interpolations in it stay interpolations)."""
    if re.fullmatch(
        r"/[\w/.-]*|0|[1-9][0-9]*|(?!(true|false|null|inf|nan)$)[A-Za-z]+", value, re.ASCII | re.IGNORECASE
    ):
        return f"{key}={value}"
    return f"{key}={QuotedString(value, Quote.single).with_quotes()}"


def key_of(text: str) -> str:
    """The key that an override is about: `+a.b@c=1` is about `a.b`."""
    return text.lstrip("+~").partition("=")[0].partition("@")[0]


def literal(text: str) -> str:
    """`text` with no interpolation in it: what looks like one stands for itself."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
