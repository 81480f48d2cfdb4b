"""Parts of pipeline_host.py: they run in the job's environment, with its pyspark.

``sql_text`` and ``delta_log`` are the engine's own modules; they need the standard library only.
"""

import os

__path__.append(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, "engine"))
