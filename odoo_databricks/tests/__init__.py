from . import test_bir_autofill
