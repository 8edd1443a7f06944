"""What is held of the repository itself; elsewhere (beside an installed wheel) there is none."""

from __future__ import annotations

from tests.house.checkout import ROOT

collect_ignore_glob = [] if (ROOT / "noxfile.py").exists() else ["test_*.py"]
