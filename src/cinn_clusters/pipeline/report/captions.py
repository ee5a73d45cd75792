"""What each figure of a run says, in plain words and with the run's own numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cinn_clusters import schema

Facts = dict[str, Any]
"""``scores``, ``diagnosis`` and ``mae`` of a run, where there are any."""


def reading(name: str, facts: Facts) -> tuple[str, str]:
    """Return title and reading of a figure.

    Args:
        name: Its file without suffix.
        facts: See above; a sentence that lacks its numbers is left out.

    Examples:
        >>> reading("corner", {})[0]
        'One cluster, all pairs'
    """
    title, tell = READINGS.get(name, (name, _nothing))
    return title, tell(facts)


def called(name: str) -> str:
    """What a target is in words, e.g. for a sentence."""
    return schema.column(name).meaning or name


def _nothing(facts: Facts) -> str:
    return ""


def _marginals(facts: Facts) -> str:
    return (
        "Each row is a cluster that the model has not seen, each column a target. The dashed grey curve is what was "
        "known before (the histories of the training clusters), the blue one what is known after seeing this "
        "cluster. Where the two agree, the observables say nothing about that target. The red line is what happened "
        "in the simulation; the golden one is the joint mode, the one most likely history taken as a whole, which "
        "need not stand at the peak of each single curve. No blue lies where no history can be: after the "
        "observation, below zero, above a ratio of one."
    )


def _heat_maps(facts: Facts) -> str:
    told = (
        "A column of a panel holds all posterior draws of the clusters whose truth lies there. Along the diagonal: "
        "well known. The same in every column: not known, and the model says so. "
    )
    contraction = _numbers(facts, "contraction")
    if contraction:
        best, worst = (
            max(contraction, key=contraction.__getitem__),
            min(contraction, key=contraction.__getitem__),
        )
        told += (
            f"The posterior takes away {contraction[best]:.0%} of the prior's variance for the {called(best)}, but "
            f"{contraction[worst]:.0%} for the {called(worst)}."
        )
    return told


def _modes(facts: Facts) -> str:
    return (
        "Single answers against the truth, errors below. The mode of a wide, skewed density is not its centre: for "
        "targets that are hardly known it stays near the most common value, so that large truths are missed by it. "
        "Use medians and intervals of the summary for such targets, not the mode."
    )


def _uncertainties(facts: Facts) -> str:
    coverage = _numbers(facts, "coverage_68")
    told = (
        "If error bars are right and Gaussian, 68 % of the errors lie below the solid grey line and 95 % below the "
        "dashed one. The mode of a skewed posterior errs by more than its standard deviation even if the posterior "
        "is right: judge by coverage. "
    )
    if coverage:
        low, high = min(coverage.values()), max(coverage.values())
        told += (
            f"Central 68 % intervals hold {low:.0%} to {high:.0%} of the truths, target by target."
        )
    return told


def _correlations(facts: Facts) -> str:
    return (
        "All draws of all test clusters, pair by pair. The draws should fill the places where the red crosses lie, "
        "and none where there is no cross nearby: then the model has learned how the targets go together."
    )


def _corner(facts: Facts) -> str:
    return (
        "The posterior of the first cluster above: marginals on the diagonal, regions of 68 and 95 % of the mass "
        "below. Tilted regions mean that learning one number would tell of the other."
    )


def _shuffled(facts: Facts) -> str:
    return (
        "How much larger the error of the MLP ensemble becomes when one observable is shuffled between clusters "
        "(numbers in the target's own unit, ± standard error over clusters). Near zero: not used, or told by another "
        "column as well. Negative: shuffling it helped by chance."
    )


def _grouped(facts: Facts) -> str:
    return (
        "The same with columns that tell of the same thing shuffled together. R500 is a function of M500 and "
        "redshift, so that either one alone looks less important than the pair is."
    )


def _ablation(facts: Facts) -> str:
    return (
        "What shuffling cannot say: the ensemble trained anew without the column. Near zero means that nothing is lost "
        "without it, whatever the shuffled error says, because other columns tell the same."
    )


def _shapley(facts: Facts) -> str:
    return (
        "The error that all observables save together, divided between groups: shares sum to the whole, and what two "
        "groups both tell is split between them."
    )


def _crps(facts: Facts) -> str:
    return (
        "The same question asked of the posterior: how much its CRPS, which judges the whole density and not a single "
        "answer, rises when a column is shuffled."
    )


def _ranks(facts: Facts) -> str:
    return (
        "Where truths rank among their draws. A calibrated posterior stays in the grey band everywhere. A curve "
        "below zero on the left and above on the right means too wide, the mirror image too narrow, a curve on one "
        "side of zero biased. " + _verdicts(facts)
    )


def _coverage(facts: Facts) -> str:
    scores = facts.get("scores")
    told = "How often an interval of a given level holds the truth; below the diagonal error bars are too small. "
    return told + (
        f"The mean distance from the diagonal is {scores['calibration_error']:.3f}."
        if scores
        else ""
    )


def _tarp(facts: Facts) -> str:
    joint = facts.get("diagnosis", {}).get("joint")
    told = (
        "All targets at once: the truth should be no nearer to a random point than the draws are. Points that depend "
        "on the observables (left) see errors that plain ones (right) miss. "
    )
    return told + (
        f"Chance of a larger deviation if calibrated: p = {joint['tarp']['p_value']:.2f}."
        if joint
        else ""
    )


def _skill(facts: Facts) -> str:
    joint = facts.get("diagnosis", {}).get("joint")
    told = (
        "Calibrated is not informative: the prior is calibrated, too. The bars show the share of a reference's error "
        "that the model saves: against the prior, and against what mass and redshift alone would tell. "
    )
    if joint:
        gains = [
            f"{band['value']:.0%} of the energy score of the {name}"
            for name, band in joint["energy_skill"].items()
        ]
        told += (
            f"Taken together it saves {' and '.join(gains)}. References are drawn here from all clusters of the table "
            "outside the fifth that a cluster is in; the scores above draw them from the training clusters alone, "
            "so that their numbers differ."
        )
    return told


def _learning(facts: Facts) -> str:
    return (
        "Mean over the members of the ensemble. Each member keeps its weights of its own best epoch on clusters held "
        "out from its training, so that the gap at the end is not overfitting that the model keeps."
    )


def _numbers(facts: Facts, key: str) -> dict[str, float]:
    return dict(facts.get("scores", {}).get(key, {}))


def _verdicts(facts: Facts) -> str:
    findings = facts.get("diagnosis", {}).get("findings", [])
    wrong = [
        f"{called(entry['subject'])}: {entry['name']}"
        for entry in findings
        if entry["name"] != "calibrated"
    ]
    if not findings:
        return ""
    return f"Findings: {'; '.join(wrong)}." if wrong else "Nothing speaks against calibration."


READINGS: dict[str, tuple[str, Callable[[Facts], str]]] = {
    "1.posterior_distribution": ("What is known of some clusters", _marginals),
    "2.prediction_performance1": ("Posterior draws against truths", _heat_maps),
    "2.prediction_performance2": ("Single answers against truths", _modes),
    "3.uncertainties": ("Errors against error bars", _uncertainties),
    "4.cross_correlations": ("How targets go together", _correlations),
    "5.sensitivity_analysis": ("Which observable tells of which target", _shuffled),
    "5.sensitivity_grouped": ("The same, by groups", _grouped),
    "5.sensitivity_shapley": ("The same, shared fairly", _shapley),
    "5.sensitivity_ablation": ("The same, trained anew", _ablation),
    "5.sensitivity_crps": ("The same for the posterior", _crps),
    "corner": ("One cluster, all pairs", _corner),
    "sbc_ecdf": ("Ranks of the truths", _ranks),
    "coverage": ("Coverage of intervals", _coverage),
    "tarp": ("Joint calibration", _tarp),
    "skill": ("What the model is worth", _skill),
    "learning_curves": ("How training went", _learning),
}
"""In the order in which a report shows them."""
