"""Content of ``diagnostics.json``: numbers with bands, and findings in words."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from cinn_clusters.diagnostics.bands import Estimate
from cinn_clusters.evaluation.json_model import (
    ByName,
    JsonModel,
    KeyColumn,
    Number,
    Numbers,
)


class Band(JsonModel):
    """An estimate with its bootstrap band."""

    value: Number
    lower: Number
    upper: Number


Bands = dict[str, Band]


def bands_by_name(estimates: Mapping[str, Estimate]) -> Bands:
    """Estimates as they are written, by name."""
    return {name: Band.of(entry) for name, entry in estimates.items()}


class UniformityTest(JsonModel):
    """ECDF of values that are uniform if calibrated, with its simultaneous band."""

    grid: Numbers
    ecdf: Numbers
    lower: Numbers
    upper: Numbers
    ks: float
    p_value: float


class RankTest(JsonModel):
    """Chi-square test of the ranks of SBC."""

    counts: Numbers
    statistic: Number
    p_value: Number
    p_value_of_rows: Number


class CoverageCurve(JsonModel):
    """Share of truths in central intervals (or HPD regions) by level."""

    level: Numbers
    found: Numbers
    lower: Numbers = ()
    upper: Numbers = ()


class TailCoverage(JsonModel):
    """Coverage of a wide interval."""

    expected: Number
    found: Band


class TertileCoverage(JsonModel):
    """Coverage of 68 % intervals over a third of the rows, sorted by a property."""

    lower: float = Field(alias="from")
    upper: float = Field(alias="to")
    rows: int
    coverage: Band


class TargetDiagnosis(JsonModel):
    """What is wrong with the marginal of a target, and what it is worth."""

    bias: Band
    width: Band
    tail_weight: Band
    calibration_error: Number
    signed_calibration_error: Band
    coverage: CoverageCurve
    tails: tuple[TailCoverage, ...]
    coverage_68_by_tertile: dict[str, tuple[TertileCoverage, ...]]
    pit: UniformityTest
    sbc: RankTest | None
    z_mean: Number
    z_sd: Number
    contraction: Number
    crps: Band
    crps_skill: Bands
    conditional_t: dict[str, ByName]


class ConditionalTests(JsonModel):
    """Level that all tests of bias and width against the observables share."""

    critical: Number
    p_value: float


class PairDiagnosis(JsonModel):
    """Correlation of two targets, of truths and of samples, and t of the difference."""

    targets: tuple[str, str]
    of_truths: Number
    of_samples: Number
    t: Number


class CorrelationTest(JsonModel):
    """Correlations of all pairs of targets, which share one level."""

    critical: Number
    p_value: float
    pairs: tuple[PairDiagnosis, ...]


class LocalTest(JsonModel):
    """L-C2ST: whether a classifier can tell ground truth from samples, and at which objects."""

    statistic: float
    null_mean: float
    p_value: float
    share_of_objects_below_5_percent: Number
    by_object: dict[str, KeyColumn | Numbers]


class HpdDiagnosis(JsonModel):
    """Coverage of joint highest-density regions."""

    calibration_error: Number
    signed_calibration_error: Band
    coverage: CoverageCurve
    ranks: UniformityTest


class LikelihoodDiagnosis(JsonModel):
    """Negative log-likelihood in physical units; without a mean where a truth has no density."""

    rows_outside: int
    mean: Band | None
    nats_gained_on_gaussian: Bands = Field(default_factory=dict)


class JointDiagnosis(JsonModel):
    """All targets together."""

    energy_score: Band
    energy_skill: Bands
    tarp: UniformityTest
    tarp_plain: UniformityTest
    lc2st: LocalTest
    correlations: CorrelationTest | None = None
    hpd: HpdDiagnosis | None = None
    nll: LikelihoodDiagnosis | None = None


class FindingEntry(JsonModel):
    """A verdict on a target, or on all jointly."""

    subject: str
    name: str
    evidence: str


class Diagnosis(JsonModel):
    """Whether a posterior can be trusted, and whether it says anything."""

    posterior: str = ""
    posterior_sha256: str = ""
    model_sha256: str = ""
    rows: int
    clusters: int
    draws: int
    targets: dict[str, TargetDiagnosis]
    joint: JointDiagnosis
    conditional: ConditionalTests
    findings: tuple[FindingEntry, ...]
    skipped: tuple[str, ...]
    ignored_variables: tuple[str, ...]
