"""Self-supervised embeddings of X-ray maps: views, encoders, one file a method (extra ``maps``)."""
