# %% [markdown]
# # 3. The figures of the original
#
# Each figure is a function of arrays that returns a matplotlib figure: use them with samples of any model.

# %%
# %matplotlib inline
import numpy as np

import cinn_clusters as cc
from cinn_clusters.figures.correlations import corner, cross_correlations
from cinn_clusters.figures.error_bars import uncertainties
from cinn_clusters.figures.inference import Inference
from cinn_clusters.figures.marginals import posterior_distribution
from cinn_clusters.figures.performance import (
    prediction_heat_maps,
    truth_against_estimate,
)

catalogue = cc.read_catalogue(
    *cc.write_mock("mock", num_clusters=60, seed=1, overwrite=True)
)
split = cc.split_by_cluster(catalogue.clusters, seed=42)
config = cc.read_config(
    changes=["train.epochs=15", "model.members=4", "train.held_out_groups=4"]
)
posterior = cc.fit(catalogue, split, config)
test = catalogue.rows(split.test)
inputs, truth = test.inputs(posterior.inputs), test.theta
samples = posterior.sample(inputs, num_samples=300)
targets = tuple(map(cc.schema.column, posterior.targets))
inference = Inference(
    samples, truth, np.median(samples, axis=0), "posterior median", targets
)

# %% [markdown]
# **Figure 1**: marginal posteriors of two clusters. Where blue and grey agree, the observables say nothing.

# %%
few = np.array([0, 5])
prior = catalogue.theta[split.train]
posterior_distribution(
    inference.rows(few), prior, ["first", "second"], age=test.age[few]
)

# %% [markdown]
# **Figure 2**: posterior samples against the ground truth, then point estimates against it.

# %%
prediction_heat_maps(inference)

# %%
truth_against_estimate(inference)

# %% [markdown]
# **Figure 3**: are error bars as large as errors?

# %%
uncertainties(inference)

# %% [markdown]
# **Figure 4**: correlations between targets, over all clusters and for one.

# %%
cross_correlations(inference)

# %%
points = {"ground truth": truth[0], "posterior median": inference.estimate[0]}
age = float(test.age[0])
figure = corner(samples[:, 0], targets, points=points, age=age, title="one cluster")
assert len(figure.axes) == 36
figure
