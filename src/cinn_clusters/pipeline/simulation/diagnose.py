"""Diagnose a posterior file: numbers with bands, then a verdict in words."""

from __future__ import annotations

from pathlib import Path

from cinn_clusters.claims import reserving
from cinn_clusters.errors import DataError, OutputError
from cinn_clusters.evaluation.diagnosis import diagnose_posterior
from cinn_clusters.evaluation.diagnosis_report import Diagnosis
from cinn_clusters.evaluation.matched import TruthFiles, match_ground_truth
from cinn_clusters.files import demand_free, sha256_of
from cinn_clusters.storage.posterior_file import read_attributes
from cinn_clusters.storage.run_paths import ResultPaths


@reserving()
def diagnose(
    posterior: str | Path,
    files: TruthFiles | None = None,
    *,
    out: str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Diagnosis:
    """Diagnose a posterior file; writes diagnostics.json.

    Args:
        posterior: netCDF file in the ArviZ layout, ours or any other.
        files: Tables of the ground truth; not needed for a file that lies in a run.
        out: JSON file; default: ``diagnostics.json`` beside the posterior.
        seed: Seed of references, bootstrap and classifiers.
        overwrite: Replace a file that stands there.

    Returns:
        What the file holds.

    Raises:
        BundleError: If the posterior or the run is missing or damaged.
        DataError: If the posterior cannot be matched with its ground truth, or all its objects
            are one cluster.
        OutputError: If the result stands there already or cannot be written.

    Examples:
        >>> import cinn_clusters as cc
        >>> diagnosis = cc.diagnose("run/posterior.nc", overwrite=True)
        >>> list(diagnosis.targets)[0]
        'last_T_coll'
    """
    posterior = Path(posterior)
    out = ResultPaths(posterior.parent).diagnostics if out is None else Path(out)
    if out.resolve() == posterior.resolve():
        raise OutputError(out, "another file than the posterior", "the same")
    demand_free(out, overwrite)
    matched = match_ground_truth(posterior, files)
    try:
        diagnosis = diagnose_posterior(matched, seed=seed)
    except DataError as error:
        raise error.at(str(posterior)) from error
    origin = {"posterior": posterior.name, "posterior_sha256": sha256_of(posterior)}
    if model_sha256 := read_attributes(posterior).get("model_sha256"):
        origin["model_sha256"] = str(model_sha256)
    diagnosis = diagnosis.model_copy(update=origin)
    diagnosis.write(out, overwrite=overwrite)
    return diagnosis
