"""`python -m callqa`: the same verbs as the `callqa` command."""

import sys

from callqa.cli import main

sys.exit(main())
