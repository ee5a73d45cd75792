"""What a posterior has to beat."""
