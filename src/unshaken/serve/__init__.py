"""Web applications over run directories and reviews; needs the extra `serve`."""

from unshaken.core.imports import need

for _module, _package in (
    ("fastapi", "fastapi"),
    ("uvicorn", "uvicorn"),
    ("prometheus_client", "prometheus-client"),
    ("python_multipart", "python-multipart"),
    ("sqlalchemy", "sqlalchemy"),
    ("alembic", "alembic"),
):
    need(_module, _package, "serve", "a web application")
