from . import bir_autofill_wizard
from . import bir_autofill_wizard_line
from . import bir_reopen_wizard
