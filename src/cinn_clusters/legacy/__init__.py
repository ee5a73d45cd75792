"""Files of the original scripts."""
