"""The endpoint's tokens, limits, deadlines, health, metrics and description."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest
from starlette.requests import Request

from tests.loops import run_apart
from tests.serve.score.conftest import as_json, dyadic, noise, png
from unshaken.core.batch import Batch
from unshaken.core.errors import ModelError, ParameterError
from unshaken.serve.proxy import Proxy
from unshaken.serve.request_log import log_to
from unshaken.serve.score.options import Limits, ScoreOptions
from unshaken.serve.score.part import open_score_part
from unshaken.serve.score.samples import Samples
from unshaken.serve.score.scorer import Scorer
from unshaken.serve.score.service import ScoreService

PNG = {"content-type": "image/png"}
IMAGE = png(noise())


class Tokens:
    """Readers by token."""

    def reader_of(self, token):
        return {"good": "ann"}.get(token)


def score(client, query="", **headers):
    return client.post(f"/v1/score{query}", content=IMAGE, headers={**PNG, **headers})


@pytest.fixture
def slow(monkeypatch, scorer):
    """Holds the model's thread from the second batch after the warm-up on, until it is let go."""
    held, let_go, run = threading.Event(), threading.Event(), scorer.run

    def hold(works):
        if threading.current_thread().name == "unshaken-score":
            held.set()
            assert let_go.wait(10)
        return run(works)

    monkeypatch.setattr(scorer, "run", hold)
    yield held, let_go
    let_go.set()


def test_beyond_the_loopback_a_bearer_token_is_needed(open_client, scorer):
    client = open_client(scorer, readers=Tokens())
    for path in ("/v1/model", "/v1/metrics", "/v1/openapi.json"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert client.get("/v1/health").status_code == client.get("/v1/ready").status_code == 200
    assert score(client).status_code == 401
    for wrong in ("Bearer bad", "Basic good", "good", "Bearer", b"Bearer \xc3\xa9"):
        assert score(client, authorization=wrong).status_code == 401, wrong
    assert score(client, authorization="Bearer good").status_code == 200
    assert score(client, authorization="bearer good").status_code == 200


def test_a_proxy_names_the_caller_but_not_for_the_page_of_another_site(open_client, scorer):
    behind = Proxy.parse(["10.0.0.5"], "X-Forwarded-User")
    client = open_client(scorer, readers=Tokens(), proxy=behind)
    assert score(client, **{"x-forwarded-user": "eve"}).status_code == 200
    for sent in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert score(client, **{"x-forwarded-user": "eve"}, **sent).status_code == 403
    elsewhere = open_client(scorer, readers=Tokens(), proxy=Proxy.parse(["10.0.0.6"], "X-Forwarded-User"))
    assert score(elsewhere, **{"x-forwarded-user": "eve"}).status_code == 401


def test_a_cookie_is_no_token(open_client, scorer):
    client = open_client(scorer, readers=Tokens())
    client.cookies.set("unshaken_reader", "good")
    assert score(client).status_code == 401


def test_many_wrong_tokens_from_one_address_are_slowed_down(open_client, scorer):
    client = open_client(scorer, readers=Tokens())
    statuses = [score(client, authorization=f"Bearer {i}").status_code for i in range(11)]
    assert statuses == [401] * 10 + [429]
    assert score(client, authorization="Bearer good").status_code == 200


def test_a_caller_may_send_so_much_a_minute(open_client, scorer):
    client = open_client(scorer, limits=Limits(per_minute=2))
    answers = [score(client) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 61


def test_a_refusal_is_one_line_without_token_query_or_body(open_client, scorer, tmp_path):
    log = logging.getLogger("unshaken.refusals")
    log_to(str(tmp_path / "log"))
    try:
        client = open_client(scorer, readers=Tokens())
        score(client, "?top=secret", authorization="Bearer secret")
        score(client, "?top=secret", authorization="Bearer good")
        client.get("/v1/a%0d%0ab")
        client.get("/v1/health")
    finally:
        for handler in log.handlers[:]:
            log.removeHandler(handler)
            handler.close()
        log.propagate, _ = True, log.setLevel(logging.NOTSET)
    text = (tmp_path / "log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["status"], line["caller"]) for line in lines] == [(401, ""), (400, "ann"), (404, "")]
    assert "secret" not in text
    assert lines[2]["path"] == "/v1/a\r\nb"


def test_beyond_its_room_the_queue_answers_429_and_is_not_ready(open_client, scorer, slow):
    held, let_go = slow
    client = open_client(scorer, limits=Limits(waiting=2))
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(score, client) for _ in range(2)]
        assert held.wait(10)
        while client.app.state.score.batcher.admitted < 2:
            time.sleep(0.001)
        answer = score(client)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/v1/ready").status_code == 503
        assert client.get("/v1/health").status_code == 200
        let_go.set()
        assert [w.result().status_code for w in waiting] == [200, 200]
    assert client.get("/v1/ready").status_code == 200
    assert score(client).status_code == 200


def test_a_deadline_that_passes_is_told(open_client, scorer, slow):
    client = open_client(scorer)
    answer = score(client, "?deadline=0.05")
    assert answer.status_code == 504
    slow[1].set()
    assert score(client).status_code == 200


def test_what_a_client_does_not_wait_for_is_dropped(scorer, slow):
    held, let_go = slow
    service, ran = ScoreService(scorer, Limits()), []
    hold = service.batcher.run
    service.batcher.run = lambda works: ran.append(len(works)) or hold(works)
    samples = Samples(("0",), Batch(dyadic(1, 0), None, ("0",)), {})

    async def ask(messages):
        request = Request({"type": "http"}, messages.get)
        found = service.answers(request, samples, ScoreOptions(), passes=1, deadline=time.monotonic() + 10)
        return await asyncio.gather(found, return_exceptions=True)

    async def scenario():
        async with service.lifespan():
            first = asyncio.create_task(ask(asyncio.Queue()))
            await asyncio.to_thread(held.wait, 10)
            messages = asyncio.Queue()
            gone = asyncio.create_task(ask(messages))
            await asyncio.sleep(0.01)
            messages.put_nowait({"type": "http.disconnect"})
            (error,) = await gone
            let_go.set()
            return error.status_code, len(await first)

    assert run_apart(scenario()) == (499, 1)
    assert ran == [1]


def test_a_model_that_fails_is_a_problem_and_no_end(open_client, scorer, monkeypatch, caplog):
    run = client_run(scorer)
    monkeypatch.setattr(scorer, "run", run)
    client = open_client(scorer)
    run.fails = True
    with caplog.at_level(logging.CRITICAL, logger="unshaken.serve.score.batcher"):
        answer = score(client)
    assert (answer.status_code, answer.json()["detail"]) == (500, "The model failed on these images.")
    run.fails = False
    assert score(client).status_code == 200


def client_run(scorer):
    """The scorer's `run`, which can be made to fail."""
    run = scorer.run

    def either(works):
        if either.fails:
            raise RuntimeError("/secret/path")
        return run(works)

    either.fails = False
    return either


def test_metrics_count_requests_images_classes_and_rejections(open_client, scorer):
    client = open_client(scorer)
    answers = client.post("/v1/score", json=as_json(*(png(noise(seed=s)) for s in range(4)), b"x")).json()["answers"]
    score(client, "?top=0")
    text = client.get("/v1/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values['unshaken_score_requests_total{status="200"}'] == "1.0"
    assert values['unshaken_score_requests_total{status="400"}'] == "1.0"
    assert values["unshaken_score_images_total"] == "4.0"
    assert values["unshaken_score_unusable_images_total"] == "1.0"
    assert values["unshaken_score_admitted_passes"] == "0.0"
    assert float(values["unshaken_score_passes_per_second"]) > 0
    by_class = {k: float(v) for k, v in values.items() if k.startswith("unshaken_score_predictions_total")}
    assert sum(by_class.values()) == 4
    rejected = sum(not a["detectors"]["knn"]["accepted"] for a in answers if "class" in a)
    assert float(values['unshaken_score_rejected_images_total{detector="knn"}']) == rejected


def test_answers_and_examples_are_as_the_description_says(client):
    document = client.get("/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {"/v1/score", "/v1/model", "/v1/health", "/v1/ready", "/v1/metrics"}
    store = {"components": document["components"]}
    for path, name in {"/v1/model": "ModelAnswer", "/v1/ready": "HealthAnswer", "/v1/nothing": "Problem"}.items():
        jsonschema.validate(client.get(path).json(), {**store, "$ref": f"#/components/schemas/{name}"})
    content = document["paths"]["/v1/score"]["post"]["requestBody"]["content"]
    for example in content["application/json"]["examples"].values():
        jsonschema.validate(example["value"], {**store, **content["application/json"]["schema"]})
        answer = client.post("/v1/score?certify=20&perturb=quick", json=example["value"])
        assert answer.status_code == 200, answer.text
        jsonschema.validate(answer.json(), {**store, "$ref": "#/components/schemas/ScoreAnswer"})
        assert answer.json()["answers"][0]["id"] == "pixel"
    resolved = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in resolved or name in ("HealthAnswer", "ModelAnswer")


def test_a_model_without_a_size_and_a_share_that_cannot_be_promised_are_refused(scorer, model):
    model.view, view = None, model.view
    try:
        with pytest.raises(ModelError, match=r"SPEC\?size=224"):
            Scorer(model)
    finally:
        model.view = view
    with pytest.raises(ParameterError, match="calibration samples"):
        Scorer(scorer.model, scorer.detectors, accept=0.99)


def test_specs_and_folders_make_the_same_endpoint(tmp_path):
    part = open_score_part("demo", accept=0.9, history=tmp_path, max_batch=8, device="cpu")
    assert part.programs == ("/v1/",)
    assert part.state.scorer.most == 8
    with pytest.raises(ParameterError, match="accept=1"):
        open_score_part("demo", accept=1.0)
