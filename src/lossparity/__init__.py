"""lossparity: does this framework compute this loss, and its gradient, as defined?"""

from __future__ import annotations

__version__ = "0.1.0"
