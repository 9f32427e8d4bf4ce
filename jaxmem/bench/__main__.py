"""`python -m jaxmem.bench`."""

import sys

from jaxmem.bench import main

sys.exit(main())
