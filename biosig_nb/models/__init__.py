"""Networks, at their published sizes; each has a `body` and a `head`."""
from biosig_nb.models.counting import count_parameters

__all__ = ["count_parameters"]
