"""`python -m consilience` is the command `consil`."""

import sys

from consilience.cli import main

sys.exit(main())
