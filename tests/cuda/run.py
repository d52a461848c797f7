"""cases.py on the pretended GPU: `python -m tests.cuda.run CASE ...`.

Processes that train together import this file, and nothing that they do not need.
"""

import os
from multiprocessing.process import BaseProcess
from typing import Any

import tests.cuda.pretended as pretended  # before torch

pretended.install()
if __name__ == "__mp_main__":
    bootstrap: Any = BaseProcess._bootstrap  # type: ignore[attr-defined]
    # What is pretended may hang where the interpreter is taken down.
    BaseProcess._bootstrap = lambda *a: os._exit(bootstrap(*a))  # type: ignore[attr-defined]
if __name__ == "__main__":
    from tests.cuda.cases import main

    main()
