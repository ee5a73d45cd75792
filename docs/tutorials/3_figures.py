# %% [markdown]
# # 3. The figures of the original
#
# Each figure is a function of arrays that returns a matplotlib figure: use them with draws of any model.

# %%
# %matplotlib inline
import cinn_clusters as cc
from cinn_clusters.figures.correlations import corner, cross_correlations
from cinn_clusters.figures.error_bars import uncertainties
from cinn_clusters.figures.marginals import posterior_distribution
from cinn_clusters.figures.performance import prediction_heat_maps, truth_against_mode

catalogue = cc.read_catalogue(*cc.write_mock("mock", num_clusters=60, seed=1, overwrite=True))
split = cc.split_by_cluster(catalogue.clusters, seed=42)
config = cc.read_config(changes=["train.epochs=15", "model.members=4", "train.held_out_groups=4"])
posterior = cc.fit(catalogue, split, config)
test = catalogue.rows(split.test)
inputs, truth, targets = test.inputs(posterior.inputs), test.theta, posterior.targets
samples = posterior.sample(inputs, num_samples=300)
mode, _ = cc.joint_mode(posterior, inputs, samples)

# %% [markdown]
# **Figure 1**: what is known of two clusters. Where blue and grey agree, the observables say nothing.

# %%
few = [0, 5]
posterior_distribution(
    samples[:, few],
    truth[few],
    mode[few],
    catalogue.theta[split.train],
    targets,
    ["first", "second"],
    age=test.age[few],
)

# %% [markdown]
# **Figure 2**: all draws against the truth, then single answers against it.

# %%
prediction_heat_maps(samples, truth, targets)

# %%
truth_against_mode(truth, mode, targets)

# %% [markdown]
# **Figure 3**: are error bars as large as errors?

# %%
uncertainties(samples, truth, mode, targets)

# %% [markdown]
# **Figure 4**: how targets go together, over all clusters and for one.

# %%
cross_correlations(samples, truth, mode, targets)

# %%
figure = corner(
    samples[:, 0],
    targets,
    truth=truth[0],
    mode=mode[0],
    age=float(test.age[0]),
    title="one cluster",
)
assert len(figure.axes) == 36
figure
