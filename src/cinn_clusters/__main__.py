"""``python -m cinn_clusters`` is the ``cinn-clusters`` command."""

from cinn_clusters.cli import main

if __name__ == "__main__":
    main()
