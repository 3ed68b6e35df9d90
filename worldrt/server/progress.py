"""What is being made ready, and how long it may take by what it took before."""

import time

from worldrt.protocol.replies import Loading

MOST = 0.95
"""Part that is never passed before the end."""


class Progress:
    """One stage of loading, or several whose names change on the way.

    Args:
        expected_s: seconds that it took the last time.
    """

    def __init__(self, expected_s: float) -> None:
        self._expected_s = expected_s
        self._began = time.monotonic()
        self.stage = "Beginning"

    @property
    def took_s(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._began

    def message(self) -> Loading:
        """How far it is."""
        took = self.took_s
        left = self._expected_s - took
        return Loading(
            stage=self.stage,
            fraction=min(took / self._expected_s, MOST),
            eta_s=left if left > 0 else None,
        )
