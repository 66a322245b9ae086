"""An audit's examples explained in place, and another model refused."""

import pytest

from unshaken.api import audit, explain_audit
from unshaken.core.errors import RunError
from unshaken.explain.engine.before_after import map_file
from unshaken.store.run_dir import RunDir


def test_maps_of_an_audit_stand_in_its_report(tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text("- {method: contour, severities: [4]}\n")
    out = tmp_path / "run"
    audit("demo:standard", "demo", plan=str(plan), limit=6, out=out)
    assert explain_audit(out, "gradient") == ["contour-4"]
    run = RunDir(out)
    assert "What the model looks at" in run.read("report.html").decode()
    kept = run.read_tensors(*map_file("contour-4"))
    assert kept.tensors["after"].shape == (len(kept.ids), 28, 28)
    with pytest.raises(RunError, match="examples are those of another model than"):
        explain_audit(out, model="demo:robust")
