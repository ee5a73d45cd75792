# %% [markdown]
# # 1. Two tables become pairs
#
# A simulation leaves two tables: what a survey would see of each cluster, and what happened to it. Here is
# how they become pairs that a network can learn from, without data leakage from test clusters. The catalogue is the mock one; put your own two files in its place.

# %%
import cinn_clusters as cc

observables, targets = cc.write_mock("mock", num_clusters=60, seed=1, overwrite=True)
run = cc.prepare(cc.TableFiles(observables, targets), "run", overwrite=True)
run.catalogue.table.head()

# %% [markdown]
# Every row that was left out is logged with its reason. Rows without a recorded collision have no history to learn
# from: all that follows is conditional on a collision having been recorded.

# %%
for dropped in run.catalogue.dropped:
    print(f"{dropped.rows:5d} rows of {dropped.clusters} clusters: {dropped.reason}")

# %% [markdown]
# ## A grouped split
#
# Snapshots of one cluster share their last collision. In a split by rows, as in the original scripts, the
# exact targets of a test row are in training, too. The audit counts how often.

# %%
for overlap in cc.audit_split(run.catalogue, run.split):
    print(f"{overlap.what:45s} {overlap.shared} of {overlap.total}")
assert not any(overlap.shared for overlap in cc.audit_split(run.catalogue, run.split))

# %%
leaking = cc.prepare(
    cc.TableFiles(observables, targets),
    "leaking",
    options=cc.Preparation(protocol="original"),
    overwrite=True,
)
for overlap in cc.audit_split(leaking.catalogue, leaking.split):
    print(f"{overlap.what:45s} {overlap.percent:.0f} % in training")

# %% [markdown]
# ## What the network sees
#
# Masses as ratios to M500, times as the share of the age at which the collision happened, all scaled on
# training clusters only. The way back is exact, so that densities are in physical units.

# %%
theta = run.catalogue.theta[run.split.test]
inputs = run.catalogue.inputs(run.transforms.inputs)[run.split.test]
print(run.transforms.standardise_inputs(inputs).numpy().std(0).round(2))
