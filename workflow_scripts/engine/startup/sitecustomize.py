"""What Python runs first in every job: engine/jobs.py puts this folder on the path of modules.

Importing PyTorch, SciPy and diffusers makes a million objects and no garbage; looking for it takes half of the time
(on two quiet cores 7.9 s of processor time, 3.9 s without), in each of some two hundred jobs. `core.job.run` starts the
collector again, and leaves out what is there by then.
"""

import gc

gc.disable()
