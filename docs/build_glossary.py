"""Write docs/glossary.md from the schema: ``python docs/build_glossary.py``."""

from __future__ import annotations

import math
from pathlib import Path

from cinn_clusters.posterior.collision import condition
from cinn_clusters.schema import DEFAULT, Column

HEAD = """# Glossary of columns

Made from `src/cinn_clusters/schema.toml` by `python docs/build_glossary.py`. A value outside the limits is refused, as is
a table whose median lies outside the typical range (of the value, or of the value minus the reference column); the
latter check is lifted by `--allow-atypical`. Another simulation's table [declares its own columns](columns.md).

## What "the last collision" means

- **{caution}.**
  Who asks for a major merger reads `p_major_recent` of [`infer`](catalogues.md#whether-or-not-a-collision-is-recorded).
- **In a window.** {condition}.
  The longest possible time since collision, `record_window_Gyr`, is 0.97 Gyr at z = 1, 1.53 at 0.87, 2.41 at 0.7, 3.68 at 0.5 and 8.90 at 0.
- **Quote the median for "when".** A mode depends on the units in which its density is written:
  p(t) = p(log t) / t lets it run to t = 0. Every mode of a result is that per unit of u, the unbounded coordinate of the model.

Shares and windows: `python benchmarks/selection_probability.py ../shared/data/tng_cluster`.

Keys: `HaloID` and `Snapshot` identify a row; `HaloOrigID` identifies a cluster, the same at every snapshot.
"""


def sections() -> dict[str, list[Column]]:
    """Group the columns by what they are for."""
    chosen = (*DEFAULT.observables, *DEFAULT.targets)
    others = [column for column in DEFAULT.columns if column.name not in chosen]
    return {
        "Default observables": [DEFAULT.column(name) for name in DEFAULT.observables],
        "Default targets": [DEFAULT.column(name) for name in DEFAULT.targets],
        "Further observables, by name": [
            c for c in others if not c.name.startswith("mean_")
        ],
        "Further targets, by name": [c for c in others if c.name.startswith("mean_")],
    }


def head() -> str:
    """What stands before the tables."""
    targets = [DEFAULT.column(name) for name in DEFAULT.targets]
    caution = DEFAULT.column(DEFAULT.targets[0]).caution
    words = {"caution": caution, "condition": condition(targets)}
    capitals = {name: text[0].upper() + text[1:] for name, text in words.items()}
    return HEAD.format(**capitals)


def interval(ends: tuple[float, float]) -> str:
    """Show limits; nothing where there are none."""
    return "" if math.isinf(ends[0]) else f"{ends[0]:.4g} to {ends[1]:.4g}"


def glossary() -> str:
    """Return the page."""
    lines = [head()]
    for title, columns in sections().items():
        lines += [
            f"\n## {title}\n",
            "| column | unit | meaning | limits | typical median | relative to |",
            "|---" * 6 + "|",
        ]
        lines += [
            f"| `{c.name}` | {c.unit} | {c.meaning} | {interval(c.bounds)} | {interval(c.typical)} | "
            f"{c.relative_to or ''} |"
            for c in columns
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("glossary.md").write_text(glossary(), encoding="utf-8")
