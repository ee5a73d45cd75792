# %% [markdown]
# # 5. The MLP ensemble, and which observable matters for what
#
# The original's benchmark is an ensemble of MLPs that predicts a point. Permutation importance, the
# shuffling of one observable between clusters, shows what it leans on, and hides what two observables both tell.

# %%
# %matplotlib inline
import numpy as np

import cinn_clusters as cc
from cinn_clusters.figures.sensitivity_matrix import (
    SensitivityMatrix,
    sensitivity_analysis,
)

observables, targets = cc.write_mock("mock", num_clusters=60, seed=1, overwrite=True)
run = cc.prepare(cc.TableFiles(observables, targets), "run", overwrite=True)
report = cc.baseline("run", overwrite=True)
for name, error in report.targets.items():
    print(
        f"{name:22s} MAE {error.mae:.3f} {error.unit} (the median: {error.mae_of_the_median:.3f})"
    )

# %%
matrices = cc.sensitivity("run", num_repeats=10, refit_members=1, overwrite=True)
matrices["sensitivity_matrix"].round(3)

# %% [markdown]
# R500 is a function of M500 and redshift. Shuffled alone, either looks replaceable; left out,
# it is.

# %%
matrices["ablation_matrix"].round(3)

# %%
matrix = matrices["grouped_matrix"]
grouped = SensitivityMatrix(
    matrix.to_numpy(),
    matrices["grouped_errors"].to_numpy(),
    scale=run.catalogue.theta.std(0),
    observables=list(matrix.index),
    targets=list(matrix),
)
figure = sensitivity_analysis(grouped, "increase of MAE when a group is shuffled")
assert np.isfinite(matrix.to_numpy()).all()
figure
