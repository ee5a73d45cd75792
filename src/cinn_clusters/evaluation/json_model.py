"""Results as typed models that are written to JSON and read back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictInt,
    StrictStr,
    ValidationError,
)

from cinn_clusters.errors import BundleError
from cinn_clusters.files import JsonObject, read_json, write_json


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _listed(values: Any) -> list[Any]:
    return list(np.asarray(values).tolist())


_FINITE = BeforeValidator(_finite)
NOT_FINITE = "not_finite"
"""Entry of a JSON file that says which of its numbers are not finite, and why."""
_SETTINGS = {"config", "options"}
_ONE_CLUSTER = "of one cluster, or of no finite mean: nothing can be resampled"
_REASONS = {
    "nll": "a ground truth lies where the model has no density",
    "se": _ONE_CLUSTER,
    "lower": _ONE_CLUSTER,
    "upper": _ONE_CLUSTER,
    "contraction": "all ground truths are equal, or there is one row",
    "skill": "the reference has no error, so that no share of it can be saved",
    "crps_skill": "the reference has no error, so that no share of it can be saved",
    "energy_skill": "the reference has no error, so that no share of it can be saved",
    "z_mean": "all samples of an object are equal",
    "z_sd": "all samples of an object are equal",
}
"""Why a number can fail to be finite, by its name or that of its section."""
Number = Annotated[float | None, _FINITE]
"""A number; None where it is not finite, which JSON cannot say."""
Numbers = Annotated[tuple[Number, ...], BeforeValidator(_listed)]
KeyColumn = tuple[StrictInt | StrictStr, ...]
"""What identifies objects: integers or text."""
ByName = dict[str, Number]
"""A number by target."""


class JsonModel(BaseModel):
    """A frozen result; fields that were not given are not written."""

    model_config = ConfigDict(frozen=True, from_attributes=True, populate_by_name=True)

    @classmethod
    def of(cls, result: object) -> Self:
        """Take over the fields of a result of ``diagnostics``."""
        return cls.model_validate(result)

    def to_json(self) -> JsonObject:
        """Plain values for JSON, with a reason for each number that is not finite, if any is."""
        values = self.model_dump(mode="json", exclude_unset=True, by_alias=True)
        if gaps := self.not_finite():
            values[NOT_FINITE] = gaps
        return values

    def not_finite(self) -> dict[str, str]:
        """Names of the numbers that are not finite, such as ``contraction.mass``, and why."""
        return {path: _reason(path) for path in _gaps(self)}

    def write(self, path: Path, *, overwrite: bool = True) -> None:
        """Write a JSON file, whole or not at all; what is not finite is null there, with a reason.

        All scores are written here.
        """
        write_json(path, self.to_json(), overwrite=overwrite)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a JSON file that ``write`` made.

        Raises:
            BundleError: If the file is missing, damaged or another's.
        """
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors()[0]
            got = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise BundleError(
                path, f"{cls.__name__} as this version writes them", got
            ) from error


def _gaps(model: JsonModel) -> Iterator[str]:
    """Dotted names of the numbers of a result that are None since they are not finite."""
    for name in sorted(model.model_fields_set - _SETTINGS):
        value = getattr(model, name)
        is_number = _FINITE in type(model).model_fields[name].metadata
        if value is None and is_number:
            yield name
        yield from (f"{name}.{inner}" for inner in _inner_gaps(value))


def _inner_gaps(value: object) -> Iterator[str]:
    """Names of the numbers inside a result, or inside results and numbers by name."""
    if isinstance(value, JsonModel):
        yield from _gaps(value)
    entries = value.items() if isinstance(value, dict) else ()
    for key, entry in entries:
        if entry is None:
            yield str(key)
        yield from (f"{key}.{inner}" for inner in _inner_gaps(entry))


def _reason(path: str) -> str:
    """Why a number of some name is not finite."""
    parts = reversed(path.split("."))
    reasons = (_REASONS[name] for name in parts if name in _REASONS)
    return next(reasons, "the samples or the ground truths are too far apart")


def by_name(names: tuple[str, ...], values: np.ndarray) -> ByName:
    """Values (D,) by target."""
    return {name: float(value) for name, value in zip(names, values, strict=True)}
