# %% [markdown]
# # 6. Scalars and maps together
#
# An embedding is a vector that stands for an X-ray map, named `snap_050_halo_123456_proj_0.jpg`. It is only
# more columns of x that may be missing: one model answers with the map and without it. Every projection is a
# row of its own, all projections of a cluster in the same part of the split.
#
# Here the vectors are made up and know a little of the mass ratio, so that there is something to find.

# %%
import numpy as np
import pandas as pd

import cinn_clusters as cc

observables, targets = cc.write_mock("mock", num_clusters=60, seed=1, overwrite=True)
rows = pd.read_csv(targets).dropna()
rng = np.random.default_rng(0)
names, vectors = [], []
for row in rows.itertuples():
    for projection in range(2):
        names.append(f"snap_{row.Snapshot:03d}_halo_{row.HaloID}_proj_{projection}.jpg")
        vectors.append(np.log(row.last_Mass_ratio) + rng.normal(size=4))
np.save("embeddings.npy", np.array(vectors))
np.save("filenames.npy", np.array(names))

# %%
config = cc.read_config(
    changes=["train.epochs=15", "model.members=4", "train.held_out_groups=4"]
)
embeddings = "embeddings.npy", "filenames.npy"
run = cc.prepare(cc.TableFiles(observables, targets, embeddings), "run", overwrite=True)
cc.train("run", config, overwrite=True)
scores = cc.evaluate("run", cc.Sampling(200), overwrite=True)
with_maps = scores.crps_per_target["last_Mass_ratio"]
without_maps = scores.without_maps.crps_per_target["last_Mass_ratio"]
print(f"CRPS of the mass ratio: {with_maps:.3f} with maps, {without_maps:.3f} without")

# %% [markdown]
# Shuffling the whole embedding between clusters says how much the posterior leans on it.

# %%
cc.baseline("run", overwrite=True)
matrices = cc.sensitivity("run", num_repeats=4, overwrite=True)
matrices["crps_sensitivity_matrix"].round(3)

# %%
assert with_maps < without_maps
