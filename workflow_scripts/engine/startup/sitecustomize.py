"""What Python runs first in every job: engine/jobs.py puts this folder on the path of modules.

Importing libraries makes a million objects and no garbage. Without the search for it PyTorch alone takes 1.6 s of
processor time instead of 2.4, with pandas, SciPy and diffusers 3.9 s instead of 7.9 (two quiet cores), in each of some
two hundred jobs. `core.job.run` starts the collector again, and leaves out what is there by then.
"""

import gc

gc.disable()
