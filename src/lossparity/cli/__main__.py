"""python -m lossparity.cli."""

from lossparity.cli import main

raise SystemExit(main())
