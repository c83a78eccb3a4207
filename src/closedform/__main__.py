"""``python -m closedform``."""

import sys

from closedform.cli import main

sys.exit(main())
