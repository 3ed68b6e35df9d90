"""worldrt: walk through a world that an autoregressive block-diffusion video generator dreams."""

__version__ = "0.1.0"
