"""Columns of values as data frames of pandas or polars, which are imported here only."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlxp_core.errors import ExtraMissingError

if TYPE_CHECKING:
    import pandas
    import polars

Columns = Mapping[str, list[Any]]


def pandas_frame(columns: Columns) -> pandas.DataFrame:
    """Return columns of equal lengths as a pandas data frame; what is missing is NaN or None.

    Raises:
        ExtraMissingError: pandas is not installed.
    """
    frame: pandas.DataFrame = _library("pandas").DataFrame(dict(columns))
    return frame


def polars_frame(columns: Columns) -> polars.DataFrame:
    """Return columns of equal lengths as a polars data frame; values of different types in a column become strings.

    Raises:
        ExtraMissingError: polars is not installed.
    """
    library = _library("polars")

    def series(name: str, values: list[Any]) -> Any:
        values = [float(value) if type(value) is int else value for value in values] if _is_mixed(values) else values
        try:
            return library.Series(name, values, strict=True)
        except (TypeError, OverflowError, library.exceptions.PolarsError):
            return library.Series(name, [None if value is None else str(value) for value in values])

    frame: polars.DataFrame = library.DataFrame([series(name, values) for name, values in columns.items()])
    return frame


def _is_mixed(values: list[Any]) -> bool:
    """Return whether there are integers and floats, and nothing else but None."""
    return {type(value) for value in values} - {type(None)} == {int, float}


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ExtraMissingError(
            f"{name} is not installed in this environment: pip install 'hydra-mlxp[results]' (or {name} by itself)."
        ) from error
