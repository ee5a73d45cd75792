# %% [markdown]
# # 4. Can it be trusted?
#
# Calibrated: intervals of 68 % hold the ground truth in 68 % of all cases. Informative: better than the prior.
# Neither follows from the other, so both are measured, with bands that resample whole clusters.

# %%
# %matplotlib inline
import cinn_clusters as cc
from cinn_clusters.figures.calibration import Curve, coverage_curves

observables, targets = cc.write_mock("mock", num_clusters=60, seed=1, overwrite=True)
cc.prepare(cc.TableFiles(observables, targets), "run", overwrite=True)
config = cc.read_config(
    changes=["train.epochs=15", "model.members=4", "train.held_out_groups=4"]
)

# %% [markdown]
# Cross-validation: every cluster is scored by a model that has not seen it.

# %%
scores = cc.crossval("run", config, cc.Sampling(200), num_folds=3, overwrite=True)
print(f"energy score {scores.energy_score.mean:.3f} +- {scores.energy_score.se:.3f}")
for reference, skill in scores.skill.items():
    print(f"  saved against the {reference}: {skill.energy_skill:+.1%}")
assert scores.unphysical < 0.1  # subclusters above the main cluster; of bounds, none

# %% [markdown]
# The diagnostics end in words: too narrow, too wide, biased, misshapen, uninformative, or calibrated.

# %%
diagnosis = cc.diagnose("run/crossval/posterior.nc", overwrite=True)
for finding in diagnosis.findings:
    print(f"{finding.subject:22s} {finding.name:14s} {finding.evidence}")

# %%
coverage = {name: target.coverage for name, target in diagnosis.targets.items()}
coverage_curves(
    {name: Curve(c.level, c.found, c.lower, c.upper) for name, c in coverage.items()}
)
