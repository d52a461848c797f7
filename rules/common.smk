"""Shared by all rules: the validated config, the image of the computing rules, the study's combinations. No rules."""

from pathlib import Path

ROOT = Path(workflow.current_basedir).parent

# Scripts import `workflow_scripts`; the second name is the one that passes into a container.
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.environ["APPTAINERENV_PYTHONPATH"] = str(ROOT)

from workflow_scripts.config import validate
from workflow_scripts.files import InputError

try:
    config = validate(config).model_dump(mode="json")
except InputError as error:
    raise WorkflowError(str(error)) from None

IMAGE = "containers/copycat.sif"
