"""Catalogues of any size: partitions answered by workers, in bounded memory."""
