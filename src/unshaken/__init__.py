"""Test, certify and improve the robustness of vision models.

>>> import unshaken
>>> result = unshaken.audit("demo:standard", "demo", [{"method": "fog", "severities": [3]}], limit=20,
...                         out=getfixture("tmp_path") / "run")  # doctest: +SKIP
"""

from unshaken.core.package import open_package

open_package(__name__)
