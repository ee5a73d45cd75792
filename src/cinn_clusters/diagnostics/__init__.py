"""How good a posterior is: posterior samples and ground truth in, numbers out, for any model."""
