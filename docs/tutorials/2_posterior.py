# %% [markdown]
# # 2. A posterior of the merger history
#
# An ensemble of conditional invertible networks learns p(history | observables). Each member is an exact,
# invertible map to a Gaussian: sampling is cheap and densities are exact, in physical units.

# %%
import numpy as np

import cinn_clusters as cc

catalogue = cc.read_catalogue(
    *cc.write_mock("mock", num_clusters=60, seed=1, overwrite=True)
)
split = cc.split_by_cluster(catalogue.clusters, seed=42)
config = cc.read_config(
    changes=["train.epochs=15", "model.members=4", "train.held_out_groups=4"]
)
posterior = cc.fit(catalogue, split, config)
posterior.targets

# %% [markdown]
# Posterior samples for clusters that it has not seen, shape (S, N, D), in the units of the catalogue:

# %%
test = catalogue.rows(split.test)
inputs = test.inputs(posterior.inputs)
samples = posterior.sample(inputs, num_samples=500)
samples.shape

# %% [markdown]
# Not one of them is unphysical: every collision lies before the observation, every ratio in (0, 1].

# %%
times = samples[:, :, posterior.targets.index("last_T_coll")]
ratios = samples[:, :, posterior.targets.index("last_Mass_ratio")]
assert (times > 0).all() and (times <= test.age + 1e-5).all()
assert (ratios > 0).all() and (ratios <= 1).all()

# %% [markdown]
# A table with medians, intervals and modes, one line a cluster:

# %%
summary = cc.summarise(posterior, inputs, samples, with_map=True)
summary[
    ["last_V_coll_p16", "last_V_coll_median", "last_V_coll_p84", "last_V_coll_map"]
].head()

# %% [markdown]
# The density of the recorded histories, and a model that can be taken elsewhere: safetensors and JSON, no
# pickle.

# %%
log_density = posterior.log_prob(test.theta, inputs)
cc.save_posterior(posterior, "model", config, overwrite=True)
again = cc.load_posterior("model")
assert np.array_equal(again.sample(inputs, 10), posterior.sample(inputs, 10))
print(f"median log-density per physical unit: {np.median(log_density):.2f}")
