"""Results as typed models that are written to JSON and read back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from cinn_clusters.errors import BundleError
from cinn_clusters.files import JsonObject, read_json, write_json


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _listed(values: Any) -> list[Any]:
    return list(np.asarray(values).tolist())


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A number; None where it is not finite, which JSON cannot say."""
Numbers = Annotated[tuple[Number, ...], BeforeValidator(_listed)]
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
        """Plain values for JSON."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)

    def write(self, path: Path, *, overwrite: bool = True) -> None:
        """Write a JSON file, whole or not at all."""
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


def by_name(names: tuple[str, ...], values: np.ndarray) -> ByName:
    """Values (D,) by target."""
    return {name: float(value) for name, value in zip(names, values, strict=True)}
