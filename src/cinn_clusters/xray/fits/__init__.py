"""FITS files: headers, which of their images, and what it holds."""
