"""X-ray maps as astronomers handle them: reading, rates, framing, classical morphology."""
