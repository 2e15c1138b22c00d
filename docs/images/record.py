"""Records a run for the README: python docs/images/record.py MODEL PICTURE > docs/images/run.svg"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from edgewise.cli import run as command
from edgewise.tools.run import Job, run

model, picture = map(Path, sys.argv[1:])
facts = run(Job(model), [picture])
facts["runs"][0]["inputs"] = [picture.name]
out = Console(record=True, file=io.StringIO(), width=72, highlight=False, force_terminal=True)
out.print(f"[bold]$[/] edgewise run {model.name} {picture.name}")
command.show(out, facts)
svg = out.export_svg(title="Edgewise", unique_id="run")
print(re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL))
