"""``python -m tensorlite`` is the command ``tensorlite``."""
import sys

from tensorlite.cli import main

sys.exit(main())
