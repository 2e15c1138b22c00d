"""The importer's files of one operator are written here too."""

import sys
from pathlib import Path

for folder in ("importers", "passes"):
    sys.path.append(str(Path(__file__).resolve().parent.parent / folder))
