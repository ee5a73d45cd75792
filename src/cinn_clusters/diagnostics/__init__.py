"""How good a posterior is: arrays in, numbers out, for any posterior of anyone."""
