"""`python -m workflow_scripts.config schema|reference`: write what is generated from the config's models."""

import sys

from workflow_scripts.config.reference import main

main(sys.argv[1:])
