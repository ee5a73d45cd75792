"""Samples of a posterior to its file and their summary, in pieces of bounded memory.

A cluster that was seen from several directions gets the mixture p(theta) = 1/V sum_v q(theta | x_v)
of the posteriors of its V views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters.posterior.collision import Unconditional, unconditional_columns
from cinn_clusters.posterior.disagreement import disagreement
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Kernels, Query, Sampling
from cinn_clusters.posterior.summary import summarise
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.rng import numpy_stream
from cinn_clusters.schema import is_embedding
from cinn_clusters.storage.posterior_file import (
    NUM_DENSITIES,
    SampleLayout,
    library_attributes,
    sample_writer,
)

DISAGREEMENT = "disagreement_nats"
"""Disagreement of the members of the ensemble on an object, beside its summary."""
EXTRAPOLATED = "num_extrapolated"
"""Observables of an object beyond the training support, where they are clipped."""
_SAMPLES_IN_MEMORY = 2_000_000
KeepSamples = Callable[[slice, np.ndarray, Query], None]
"""Takes a slice of objects, their samples (S, n, D) and their first views."""


def ignore_samples(objects: slice, samples: np.ndarray, views: Query) -> None:
    """Keep no samples: the summary is all that is wanted."""


@dataclass(frozen=True, eq=False)
class PosteriorContent:
    """What a posterior file and its summary hold beside the samples.

    Args:
        attributes: Further global attributes.
        ground_truth: Parameters of the simulation, (N, D), where they are known.
        dequantised: The same for a likelihood, (N, D): log-densities of these and of the first
            samples are written; None: of none.
        with_map: Whether the summary has the maximum a posteriori.
        unconditional: Probability of a record of each object: the summary says something of
            objects whether or not a collision is recorded, too.
        kernels: What looks for modes, as ``Sampling`` has it.
    """

    attributes: Mapping[str, str | float] = field(default_factory=dict)
    ground_truth: np.ndarray | None = None
    dequantised: np.ndarray | None = None
    with_map: bool = False
    unconditional: Unconditional | None = None
    kernels: Kernels = "auto"

    def rows(self, objects: slice) -> PosteriorContent:
        """What the summary of some objects holds."""
        if self.unconditional is None:
            return self
        return replace(self, unconditional=self.unconditional.rows(objects))


def write_posterior(
    posterior: Posterior,
    query: Query,
    path: Path,
    sampling: Sampling,
    *,
    content: PosteriorContent | None = None,
    on_progress: OnProgress = ignore_progress,
) -> pd.DataFrame:
    """Sample, write and summarise.

    Args:
        posterior: The density.
        query: Views of N objects; those of one object stand together and share the index of their
            keys, which becomes the ``cluster`` coordinate.
        path: netCDF file.
        sampling: How samples are drawn.
        content: What the file holds beside them.
        on_progress: Called with the number of objects done.

    Returns:
        The summary, N rows.
    """
    content = content or PosteriorContent()
    layout = _layout(posterior, query, sampling, content)
    with sample_writer(path, layout) as writer:

        def keep(objects: slice, samples: np.ndarray, views: Query) -> None:
            writer.put(objects, samples)
            if content.dequantised is not None:
                truth = content.dequantised[objects]
                log_probs = densities(posterior, samples, truth, views)
                writer.put_log_prob(objects, *log_probs)

        return summarise_samples(
            posterior,
            query,
            sampling,
            content=content,
            keep=keep,
            on_progress=on_progress,
        )


def summarise_samples(
    posterior: Posterior,
    query: Query,
    sampling: Sampling,
    *,
    content: PosteriorContent,
    keep: KeepSamples = ignore_samples,
    on_progress: OnProgress = ignore_progress,
) -> pd.DataFrame:
    """Sample and summarise in pieces of bounded memory.

    Args:
        posterior: The density.
        query: Views of N objects; those of one object stand together.
        sampling: How samples are drawn.
        content: What the summary holds beside the targets.
        keep: Called with each slice of objects, their samples (S, n, D) and their first views.
        on_progress: Called with the number of objects done.

    Returns:
        The summary, N rows.
    """
    first, counts = group_views(query)
    sampling = sampling.for_job(len(query))
    content = replace(content, kernels=sampling.kernels)
    if not len(counts):
        no_samples = posterior.sample(query, sampling.num_samples)
        return _summary(posterior, query, no_samples, content)
    pieces = []
    for objects, samples in _sample_objects(posterior, query, sampling):
        views = query.rows(first[objects])
        keep(objects, samples, views)
        of_objects = content.rows(objects)
        pieces.append(_summary(posterior, views, samples, of_objects))
        on_progress(Progress(objects.stop, len(counts), "infer"))
    return pd.concat(pieces, ignore_index=True)


def _summary(
    posterior: Posterior, views: Query, samples: np.ndarray, content: PosteriorContent
) -> pd.DataFrame:
    """Summary of n objects by their samples (S, n, D)."""
    summary = summarise(
        posterior, views, samples, with_map=content.with_map, kernels=content.kernels
    )
    if content.unconditional is None:
        return summary
    columns = unconditional_columns(posterior, views, samples, content.unconditional)
    return summary.join(columns)


def describe_ensemble(
    posterior: Posterior, query: Query, sampling: Sampling
) -> pd.DataFrame:
    """Disagreement of the ensemble and number of extrapolated observables of each view, V rows."""
    columns = {
        DISAGREEMENT: disagreement(
            posterior, query, seed=sampling.seed, kernels=sampling.kernels
        ),
        EXTRAPOLATED: posterior.transforms.num_clipped(query.inputs),
    }
    return pd.DataFrame(columns)


def densities(
    posterior: Posterior,
    samples: np.ndarray,
    truth: np.ndarray,
    query: Query,
    kernels: Kernels = "reference",
) -> tuple[np.ndarray, np.ndarray]:
    """Return log-densities of the first samples, at most (200, N), and of the truth, (N,)."""
    first = samples[:NUM_DENSITIES]
    log_prob = posterior.log_prob(first, query, kernels=kernels)
    return log_prob, posterior.log_prob(truth, query, kernels=kernels)


def group_views(query: Query) -> tuple[np.ndarray, np.ndarray]:
    """Return the first view of each object and the number of its views, (N,) each."""
    if not len(query.keys):
        return np.arange(len(query)), np.ones(len(query), dtype=int)
    _, first, counts = np.unique(
        query.keys.index, return_index=True, return_counts=True
    )
    return first, counts


def mix_views(samples: np.ndarray, counts: np.ndarray, seed: int = 0) -> np.ndarray:
    """Mix the posteriors of the views of each object with equal weights.

    Args:
        samples: Samples of V views that stand object after object, (S, V, D).
        counts: Number of views of each object, (N,), V in all.
        seed: It decides which sample comes from which view.

    Returns:
        Samples (S, N, D), as many of each view as S allows; sample s of a view stays sample s.

    Examples:
        >>> samples = np.broadcast_to(np.array([1.0, 2.0, 9.0])[:, None], (4, 3, 1))
        >>> np.sort(mix_views(samples, np.array([2, 1]))[:, :, 0], axis=0).T.tolist()
        [[1.0, 1.0, 2.0, 2.0], [9.0, 9.0, 9.0, 9.0]]
    """
    num_samples = len(samples)
    stream = numpy_stream(seed, "views", num_samples)
    order = stream.permutation(num_samples)
    starts = np.cumsum(counts) - counts
    turns = order[:, None] % counts
    views = starts + turns
    rows = np.arange(num_samples)
    return np.asarray(samples[rows[:, None], views])


def _layout(
    posterior: Posterior, query: Query, sampling: Sampling, content: PosteriorContent
) -> SampleLayout:
    first, counts = group_views(query)
    keys = (
        query.keys.iloc[first] if len(query.keys) else pd.DataFrame(index=query.places)
    )
    inputs = dict(zip(posterior.inputs, query.inputs[first].T, strict=True))
    if counts.max(initial=1) > 1:  # an object of several views has several embeddings
        inputs = {
            name: value for name, value in inputs.items() if not is_embedding(name)
        }
    return SampleLayout(
        posterior.targets,
        sampling.num_samples,
        keys,
        {**library_attributes(sampling.seed), **content.attributes},
        inputs,
        content.ground_truth,
        has_densities=content.dequantised is not None,
        schema=posterior.transforms.schema,
        dtype=posterior.transforms.sample_dtype,
    )


def _sample_objects(
    posterior: Posterior, query: Query, sampling: Sampling
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (slice of objects, samples (S, n, D)), the views of each object mixed."""
    first, counts = group_views(query)
    most_views = int(counts.max(initial=1))
    if most_views == 1:
        yield from posterior.sample_batches(query, sampling)
        return
    samples_an_object = sampling.num_samples * most_views
    step = max(1, _SAMPLES_IN_MEMORY // samples_an_object)
    num_objects = len(counts)
    for begin in range(0, num_objects, step):
        end = min(begin + step, num_objects)
        objects = slice(begin, end)
        num_views = counts[objects]
        first_view = first[begin]
        last_view = first_view + int(num_views.sum())
        views = query.rows(slice(first_view, last_view))
        batches = posterior.sample_batches(views, sampling)
        samples = np.concatenate([batch for _, batch in batches], axis=1)
        yield objects, mix_views(samples, num_views, sampling.seed)
