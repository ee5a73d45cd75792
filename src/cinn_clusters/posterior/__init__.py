"""A trained flow that answers in physical units. Torch ends here."""
