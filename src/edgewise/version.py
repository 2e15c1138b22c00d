"""The version of this package, which is also part of what the cache's names are made of."""

__version__ = "0.1.0"
