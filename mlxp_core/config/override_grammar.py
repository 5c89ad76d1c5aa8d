"""Read and write overrides in Hydra's grammar."""

from __future__ import annotations

import re

from hydra.core.override_parser.types import Quote, QuotedString

# Keys that belong to one run: a sweep sets them for each job, and a rerun must not copy them
OF_ONE_RUN = (
    "hydra.mode",
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
    "hydra.job.num",
    "hydra.job.id",
)


def override(key: str, value: str) -> str:
    """Return an override that sets `key` to exactly the text `value` (interpolations in it stay interpolations)."""
    if re.fullmatch(
        r"/[\w/.-]*|0|[1-9][0-9]*|(?!(true|false|null|inf|nan)$)[A-Za-z]+", value, re.ASCII | re.IGNORECASE
    ):
        return f"{key}={value}"
    return f"{key}={QuotedString(value, Quote.single).with_quotes()}"


def key_of(text: str) -> str:
    """Return the key of an override: `a.b` for `+a.b@c=1`."""
    return text.lstrip("+~").partition("=")[0].partition("@")[0]


def literal(text: str) -> str:
    """Escape interpolations in a text, so that they stand for themselves."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
