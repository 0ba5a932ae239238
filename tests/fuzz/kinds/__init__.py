"""One module for each kind of input."""

from __future__ import annotations

import pkgutil

NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
"""Names of the kinds."""
