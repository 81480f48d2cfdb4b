from . import test_bir_autofill
from . import test_lakehouse_access
from . import test_lakehouse_snapshot
from . import test_bir_submit
from . import test_bir_cases
from . import test_bir_series
